"""The page of a run, live: when it is rendered again, and what whoever watches is sent."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import msgspec
import pytest
from films import Films, copy_of
from reports import run_report, stage_report

from hpcurate.cli.live_report import address_lines
from hpcurate.report.live import RESTS, LivePage, Seen, due_at, seen_of, shows, work_line
from hpcurate.report.page.model import Options
from hpcurate.report.page.pictures import Limits
from hpcurate.report.run_view import RunView
from hpcurate.runs.folder import find_run
from hpcurate.runs.state import RunState
from hpcurate.runs.summary import StageInWork
from hpcurate.serving.tunnel import full_name, own_name
from hpcurate.store.layout import Store
from hpcurate.web.server import Address

AT_WORK = StageInWork(workers=1, read=1, shards=1, silent=0, tasks=())


def test_what_moves_by_itself_is_no_reason_to_render() -> None:
    """Time, and how far the shards in work are; what is committed and the state are."""
    before = shows(run_report())
    later = stage_report(progress=0.7, left_s=3.0, in_work=AT_WORK)
    assert before == shows(run_report(as_of="2026-01-01T00:00:09Z", stages={"a": later}))
    assert before != shows(run_report(stages={"a": stage_report(shards_done=3)}))
    assert before != shows(run_report(state=RunState.COMPLETE))
    assert before != shows(run_report(next="another command"))


def test_the_line_names_the_stages_at_work() -> None:
    """How far each is and how long it takes, where that is known; complete ones and those that wait are left out."""
    stages = {
        "probe": stage_report(shards_done=4, in_work=AT_WORK),
        "split": stage_report(progress=0.434, left_s=300.0, in_work=AT_WORK),
        "clips": stage_report(progress=None, in_work=AT_WORK),
        "index": stage_report(),
    }
    assert "split 43%, 5 min left; clips" == work_line(run_report(stages=stages))


@pytest.mark.parametrize("state", RunState)
def test_only_a_running_run_is_live(state: RunState) -> None:
    """Any other state is its end, until somebody resumes it."""
    seen = seen_of(run_report(state=state, stages={"a": stage_report(in_work=AT_WORK)}), page=7)
    assert (7, state.value, state is RunState.RUNNING) == (seen.page, seen.state, seen.live)
    assert bool(seen.work) == seen.live


def test_a_rendering_is_followed_by_rest() -> None:
    """In proportion to what it took: a large run does not keep a core busy."""
    assert (10.0, 10.0 + RESTS * 4.0) == (due_at(10.0, 0.0), due_at(10.0, 4.0))


def test_who_came_by_ssh_is_told_the_tunnel() -> None:
    """To the host where it was typed, or as the site profile calls it; to a job's node through that; else none."""
    here = Address("127.0.0.1", 8123, "secret")
    tunnel = "ssh -N -L 8123:127.0.0.1:8123 "
    assert ["run, live, until Ctrl-C: http://127.0.0.1:8123/?token=secret"] == address_lines("run", here, {})
    by_ssh = {"SSH_CONNECTION": "somewhere"}
    login = f"{own_name()}@login.site"
    assert f"  {tunnel}{own_name()}@{full_name()}" == address_lines("run", here, by_ssh)[-1]
    assert f"  {tunnel}{login}" == address_lines("run", here, by_ssh, "login.site")[-1]
    in_job = address_lines("run", here, {**by_ssh, "SLURM_JOB_ID": "1"}, "login.site")[-1]
    assert f"  {tunnel}-J {login} {own_name()}@{full_name()}" == in_job
    assert 1 == len(address_lines("run", Address("0.0.0.0", 8123, "secret"), by_ssh))


# -- a real run -----------------------------------------------------------------------------------------


@pytest.fixture
def store(films: Films, tmp_path: Path) -> Path:
    """A copy of the store with the run of the films."""
    return copy_of(films, tmp_path)


@pytest.fixture
def told() -> Queue[Seen]:
    """What whoever watches was sent."""
    return Queue()


@pytest.fixture
def live(store: Path, told: Queue[Seen], tmp_path: Path) -> Iterator[LivePage]:
    """Its page, looked at by a thread while somebody watches."""
    (tmp_path / "pages").mkdir()
    view = RunView(find_run(Store(str(store)), None), repeated=True)
    page = LivePage(view, Options(pictures=Limits(count=0)), str(tmp_path / "pages"), told.put)
    thread = threading.Thread(target=page.keep_looking)
    thread.start()
    yield page
    page.end()
    thread.join(20)
    assert not thread.is_alive()


def test_it_is_rendered_once_while_nothing_changes(live: LivePage, tmp_path: Path) -> None:
    """Into a file, as `hpcurate report` writes it, with what makes it live."""
    first, second = live.look(), live.look()
    assert (1, 1, "complete", False) == (first.page, second.page, first.state, first.live)
    assert ["1.html"] == [path.name for path in (tmp_path / "pages").iterdir()]
    with live.page() as page:
        text = page.read().decode()
    assert "connect-src &#39;self&#39;" in text
    assert 'data-page="1">complete<' in text


def test_nobody_looks_while_nobody_watches(live: LivePage, told: Queue[Seen]) -> None:
    """Who comes is sent a look at once."""
    live.look()
    assert told.empty()
    with live.watched():
        assert "complete" == told.get(timeout=20).state


def test_a_look_that_fails_is_said(live: LivePage, told: Queue[Seen], store: Path) -> None:
    """The page that was rendered stays, and the thread goes on."""
    live.look()
    shutil.rmtree(store / "runs")
    with live.watched():
        seen = told.get(timeout=20)
    assert (1, False) == (seen.page, seen.live)
    assert seen.trouble
    live.page().close()


def test_what_is_sent_is_plain_data() -> None:
    """As JSON has it."""
    seen = seen_of(run_report(), 1)
    assert seen == msgspec.json.decode(msgspec.json.encode(seen), type=Seen)
