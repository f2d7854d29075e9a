"""On a real Slurm: a server as a job, reached from elsewhere by the line that is printed, through a real sshd."""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path

import pytest
from shell import Shell
from slurm_fixture import SlurmSite
from sshd import missing, running_sshd, typed

from hpcurate.cli.servers import await_server, cancel_lines
from hpcurate.runs.code import freeze_code
from hpcurate.runs.folder import open_store
from hpcurate.runs.launcher import ServerNeeds
from hpcurate.serving.awaited import NeverListened, wait_until_ready, waiting_line
from hpcurate.serving.servers import Server, ServerSpec, servers_of
from hpcurate.serving.standing import State, look
from hpcurate.serving.submitting import submit_server
from hpcurate.store.layout import Store
from launchers.slurm import SlurmLauncher

pytestmark = [pytest.mark.slurm, pytest.mark.skipif(missing() != "", reason=f"not found: {missing()}")]
SPEC = ServerSpec(what="hello", entry="served_hello.make", made=1e9)
NEEDS = ServerNeeds(stage="hello", memory_mb=200, time="2m")


@pytest.fixture
def store(shell: Shell, slurm: SlurmSite, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Of a shell that finds the test's Slurm, as this process does."""
    shell.extra = dict(slurm.env)
    for name, value in slurm.env.items():
        monkeypatch.setenv(name, value)
    return open_store(str(shell.store))


def submitted(store: Store, launcher: SlurmLauncher, entry: str = SPEC.entry) -> Server:
    """With the code of the tests, frozen."""
    spec = ServerSpec(what=SPEC.what, entry=entry, made=time.time())
    return submit_server(
        store, "hello", spec, NEEDS,
        services=launcher.services, queue=launcher.queue,
        freeze=lambda server: freeze_code(["served_hello"], server.path),
    )  # fmt: skip


def opened(address: str) -> str:
    """What a browser shows there, which keeps cookies; it is tried until the tunnel stands."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    deadline = time.monotonic() + 10
    while True:
        try:
            with browser.open(address, timeout=5) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError:
            raise
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def test_a_server_on_a_node_is_reached_through_the_line_that_is_printed(
    store: Store, shell: Shell, slurm: SlurmSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Submitted, waited for, opened through the tunnel, cancelled, gone; another start refuses the first token."""
    launcher = SlurmLauncher(partition="cpu")
    with running_sshd(tmp_path) as config:
        server, tokens = submitted(store, launcher), []
        for turn in ("first", "second"):
            assert await_server(server, launcher, "login.cluster.edu") == 0
            out = capsys.readouterr().out
            line, address = re.findall(r"^  (ssh .*|http://.*)$", out, re.MULTILINE)
            assert re.fullmatch(r"ssh -N -L \d+:127\.0\.0\.1:\d+ -J \w+@login\.cluster\.edu \w+@127\.0\.0\.1", line)
            tokens.append(address.partition("token=")[2])
            with typed(line, config):
                assert re.fullmatch(r"hello from cpu\d", opened(address))
                if turn == "second":
                    with pytest.raises(urllib.error.HTTPError, match="401"):
                        opened(address.replace(tokens[1], tokens[0]))
                done = shell.type("cancel", server.name, f"store={store.root}")
            assert f"{server.name}: cancelled\n" == done.stdout
            slurm.wait_idle(20)
            assert ("cancelled", None) == (getattr(server.ended, "why", ""), server.listening)
            if turn == "first":
                server = submitted(store, launcher)
    assert tokens[0] != tokens[1]


def test_a_server_that_waits_is_cancelled_before_it_begins(store: Store, slurm: SlurmSite) -> None:
    """It is said why it waits; nothing of it ever runs."""
    launcher = SlurmLauncher(partition="cpu", sbatch={"hold": True})
    server = submitted(store, launcher)
    (there,) = look([server], launcher.queue)
    assert (State.QUEUED, "JobHeldUser" in waiting_line(there)) == (there.state, True)
    assert [f"{server.name}: cancelled"] == cancel_lines(server)
    assert (None, []) == (server.process, slurm.squeue())


def test_a_server_that_ends_before_it_listens_shows_its_log(store: Store, slurm: SlurmSite) -> None:
    """And why, in one message; its job asks for a warning before its end, and never begins a second time."""
    server = submitted(store, launcher := SlurmLauncher(partition="cpu"), "served_hello.fail")
    with pytest.raises(NeverListened, match=r"served\.say: there is nothing to say"):
        wait_until_ready(server, launcher.queue, lambda line: None)
    (script,) = Path(server.path).glob("*_submission.sh")
    assert {"#SBATCH --signal=B:USR2@30", "#SBATCH --no-requeue"} <= set(script.read_text().splitlines())
    slurm.wait_idle(20)


def test_a_form_is_a_job_as_well(shell: Shell, slurm: SlurmSite) -> None:
    """Its page is there, and what it starts would be jobs of their own."""
    shell.extra = dict(slurm.env)
    done = shell.type("form", "words", "--job", "--time", "2m", "launcher.partition=cpu", f"store={shell.store}")
    (address,) = re.findall(r"^  (http://.*)$", done.stdout, re.MULTILINE)
    (server,) = servers_of(Store(str(shell.store)))
    listening = server.listening
    assert listening is not None
    assert listening.token in address
    page = opened(f"http://{listening.host}:{listening.port}/?token={listening.token}")
    assert re.search(r'<option[^>]*value="slurm"[^>]*selected', page)
    assert "cancelled" in shell.type("cancel", server.name, f"store={shell.store}").stdout
    slurm.wait_idle(20)
