"""`hpcurate form` over HTTP: filled in, tried, started, watched, cancelled; and secrets that nothing shows."""

from __future__ import annotations

import hashlib
import html
import json
import os
import re
import stat
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from form_server import OTHER, SECRET, FormServer, form_server, write_project
from shell import Shell

from hpcurate.form.runs import StartedRuns

TEXT = "a, 'b' \"c\" [d] {e: f} ${params.size} \\${g} $(h) `i`; ünï\n  second line=1 \\"
"""What a shell, Hydra, OmegaConf or YAML would make something else of."""


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A project with a pipeline that asks for all kinds of values."""
    made = Shell(tmp_path_factory.mktemp("form"))
    write_project(made.cwd)
    return made


WORDS = ("tell", "launcher=local", "--secrets", "my-secrets")
LONG = {"params.hf_token": "HF_TOKEN", "env.OTHER_KEY": "MY_OTHER", "params.wait_s": "60"}


@pytest.fixture(scope="module")
def left(shell: Shell) -> Iterator[str]:
    """The page of a run that goes on, though the form that has started it has ended."""
    with form_server(shell, *WORDS, f"store={shell.store}") as server:
        _, path, _ = server.open("/start", {"digest": server.planned(LONG)})
        assert next(True for _ in server.watch(path) if "/report" in server.answers[-1])
    yield path
    runs = StartedRuns(str(shell.folder / "state" / "hpcurate" / "form"), str(shell.cwd))
    for started in runs.all():  # whatever the tests have left
        runs.stop(started)


@pytest.fixture(scope="module")
def server(shell: Shell, left: str) -> Iterator[FormServer]:
    """One form for all tests of this file."""
    with form_server(shell, *WORDS, f"store={shell.store}") as served:
        yield served


GIVEN = {"params.hf_token": "HF_TOKEN", "env.OTHER_KEY": "MY_OTHER"}


def shown(text: str) -> str:
    """A page as a person reads it."""
    return html.unescape(re.sub(r"<[^>]*>", "", text))


def everything(folder: Path) -> dict[str, bytes]:
    """Every file below, its name included, but the user's own file of secrets."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "my-secrets")
    return {str(path): str(path).encode() + path.read_bytes() for path in files}


class CommandLines(threading.Thread):
    """Looks at the arguments of all processes that can be seen, again and again."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen = set[bytes]()
        self._end = threading.Event()

    def run(self) -> None:
        """Until the end."""
        while not self._end.wait(0.02):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    self.seen.add(path.read_bytes())

    def __enter__(self) -> CommandLines:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self.join()


def forms_of(value: str) -> set[bytes]:
    """A value as files, JSON, Python, pages and addresses write it."""
    quoted = urllib.parse.quote(value)
    forms = {
        value,
        json.dumps(value)[1:-1],
        repr(value)[1:-1],
        html.escape(value),
        quoted,
        urllib.parse.quote_plus(value),
    }
    return {form.encode() for form in forms}


def test_a_run_gets_what_was_typed_and_secrets_by_name(shell: Shell, server: FormServer) -> None:
    """Nobody who looks at store, processes or pages sees a secret."""
    with CommandLines() as lines:
        _run_with_secrets(shell, server)
    assert any(b"hpcurate.form.kept" in line for line in lines.seen), "it looked often enough"
    texts = {**everything(shell.folder), "answers": "\n".join(server.answers).encode(), "ps": b"\n".join(lines.seen)}
    for value in (SECRET, OTHER):
        assert [] == [name for name, data in texts.items() for form in forms_of(value) if form in data]


def _run_with_secrets(shell: Shell, server: FormServer) -> None:
    """Through dry run, start and watching to the end: the stage has text, list and both secrets as they were given; of
    what fails the page says why, and what to type.
    """
    fields = {**GIVEN, "params.text": TEXT.replace("\n", "\r\n"), "params.names": "[x, 'y z', 1]"}
    fields |= {"stages.tell.behind": "${name}", "stages.tell.fails": "true"}
    before = set((shell.store / "runs").glob("2*"))
    digest = server.planned(fields)
    said = shown(server.answers[-3])
    assert "dry_run=true: nothing was written or submitted" in said
    assert "HF_TOKEN=\"$(sed -n 's/^HF_TOKEN=//p'" in said
    assert before == set((shell.store / "runs").glob("2*"))
    with ThreadPoolExecutor() as both:
        clicks = [both.submit(server.open, "/start", {"digest": digest}) for _ in range(2)]
    (path,) = {click.result()[1] for click in clicks}
    events = list(server.watch(path))
    assert ("seen", "end") == (events[0], events[-1])
    page = server.open(path)[2]
    assert 'id="state">complete' in page
    assert re.search(r"1 dead letter, by reason:.*refused with \*\*\*HF_TOKEN\*\*\*", shown(page), re.DOTALL)
    assert re.search(r"What to type next\s+export HF_TOKEN=.*hpcurate retry", shown(page), re.DOTALL)
    (row,) = shell.rows("tell")
    digests = [hashlib.sha256(one.encode()).hexdigest() for one in (SECRET, OTHER)]
    assert [TEXT, ["x", "y z", 1], "${name}", *digests] == json.loads(json.loads(row)["prompt"])
    status, _, report = server.open(f"{path}/report")
    assert (status, True) == (200, report.startswith("<!doctype html>"))
    log = "".join(p.read_text() for p in shell.store.rglob("*.log"))
    assert "the token is ***HF_TOKEN*** ***OTHER_KEY***" in log


def test_what_is_remembered_is_the_users_alone(shell: Shell, server: FormServer, left: str) -> None:
    """The folder 0700, files 0600; the form lists the start and has its values again."""
    folder = shell.folder / "state" / "hpcurate" / "form"
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert (0o700, {0o600}) == (stat.S_IMODE(folder.stat().st_mode), modes)
    assert left in server.open("/")[2]
    again = server.open(f"/?again={left.rpartition('/')[2]}")[2]
    assert '<option value="HF_TOKEN" selected>' in again
    assert 'name="params.wait_s" value="60"' in again


REFUSED = [
    ({"limit": "two"}, "limit", "expected a whole number"),
    ({"params.wait_s": "soon"}, "params.wait_s", "expected a number"),
    ({"params.size": "huge"}, "params.size", "expected one of small, large"),
    ({"params.names": "{a"}, "params.names", "expected a value as YAML has it"),
    ({"params.hf_token": ""}, "params.hf_token", "it is needed"),
    ({"params.hf_token": "PATH"}, "params.hf_token", "choose one of the names"),
    ({"params.text": "x ${oc.env:HOME}"}, "params.text", "${oc.env: would be something else"),
    ({"params.text": f"Bearer {SECRET}"}, "params.text", "contains the value of HF_TOKEN"),
    ({"params.text": "a\0b"}, "params.text", "NUL"),
    ({"store": ""}, "store", "it is needed"),
]


@pytest.mark.parametrize(("fields", "key", "message"), REFUSED)
def test_what_is_wrong_stands_at_its_field(server: FormServer, fields: dict[str, str], key: str, message: str) -> None:
    """Nothing can be started then; what was typed is still there, but for a secret."""
    status, _, page = server.open("/preview", {**GIVEN, **fields})
    assert status == 422
    assert re.search(
        rf'<a href="#f-{key.replace(".", "-")}">{re.escape(key)}</a>: [^<]*{re.escape(html.escape(message))}', page
    )
    assert 'id="start"' not in page
    assert SECRET not in page


def test_what_the_command_refuses_stands_at_its_field(server: FormServer) -> None:
    """Only the command knows what may be a list, or a folder."""
    page = server.open("/preview", {**GIVEN, "params.names": "{a: 1}"})[2]
    assert re.search(r'<a href="#f-params-names">params.names</a>: params.names: expected list', page)


def test_a_start_that_is_refused_says_why(server: FormServer) -> None:
    """What the command printed is shown; there is no run."""
    _, path, _ = server.open("/start", {"digest": server.planned({**GIVEN, "store": "/proc/no"})})
    list(server.watch(path))
    page = server.open(path)[2]
    assert 'id="state">refused' in page
    assert "/proc/no" in re.findall(r'<pre id="output">(.*?)</pre>', page, re.DOTALL)[0]
    assert 409 == server.open(f"{path}/report")[0]


def test_a_start_needs_its_dry_run(server: FormServer) -> None:
    """A digest of other values starts nothing; neither does another site, or somebody without the token."""
    status, _, page = server.open("/start", {"digest": "0" * 64})
    assert (409, True) == (status, "need a dry run first" in page)
    request = urllib.request.Request(
        f"{server.base}/start", data=b"digest=0", headers={"Origin": "http://evil.example"}
    )
    with pytest.raises(urllib.error.HTTPError, match="403"):
        server._opener.open(request)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(server.base)
    for path in ("/runs/../../x", "/runs/20260101-000000-00000000", "/assets/..%2fapp.py", "/runs/%2e%2e%2flast_store"):
        assert 404 == server.open(path)[0]
    assert "there is no such start" in shown(server.open("/runs/20260101-000000-00000000")[2])
    assert (200, "/") == server.open("/preview")[:2]
    with pytest.raises(urllib.error.HTTPError, match="400"):
        server._opener.open(f"{server.base}/preview", data=b"store=%ff")


def test_a_run_goes_on_without_its_page_and_is_cancelled_from_another(server: FormServer, left: str) -> None:
    """It belongs to no page: the next one finds it by what is written down, and does not start it twice."""
    assert 'id="state">running' in server.open(left)[2]
    assert left == server.open("/start", {"digest": server.planned(LONG)})[1], "the same is at work already"
    assert 409 == server.open(f"{left}/cancel", {})[0]
    assert (200, left) == server.open(f"{left}/cancel", {"confirm": "yes"})[:2]
    assert "end" == list(server.watch(left))[-1]
    assert 'id="state">cancelled' in server.open(left)[2]


def test_a_file_that_others_may_read_is_refused(shell: Shell) -> None:
    """With what to type; before anything listens."""
    loose = shell.cwd / "loose"
    loose.write_text("HF_TOKEN=0123456789\n")
    loose.chmod(0o640)
    done = shell.type("form", "tell", "--secrets", "loose", "--dry-run", status=2)
    assert f"{os.path.realpath(loose)}: others may read or write it; type chmod 600" in done.stderr
    assert "0123456789" not in done.stderr
