"""Requests to stages in processes of their own: in order, bounded, checked, replaced where they fail."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Asking, Sent, serving

from hpcurate.serving import answering
from hpcurate.serving.printed import LONGEST
from hpcurate.serving.served import Cancelled, Failed, Given, Result, Working
from hpcurate.serving.service import NotAccepted, Unfit
from hpcurate.store import rows


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    """One worker; a request has two seconds, three may wait."""
    with serving(tmp_path_factory.mktemp("one"), request_time="2s", queue=3, keep_files="1h") as found:
        yield found


def note(asking: Asking, request: str) -> str:
    """The file of a result."""
    file = asking.service.file(request, 0)
    assert file is not None
    return Path(file.path).read_text()


def process_of(asking: Asking) -> str:
    """The stage process that answers now."""
    sent = asking.send(word="who")
    assert isinstance(sent.end(), Result)
    return note(asking, sent.id).rpartition(" by ")[2]


def test_what_is_served(asking: Asking) -> None:
    """Up to the last stage that takes task by task, made from class and task."""
    served = asking.service.served
    assert ("reverse of shouts", ("shout", "reverse")) == (served.title, served.stages)
    assert ["word", "do", "size"] == [field.key for field in served.inputs]
    assert {"reverse.sep": True, "shout.mark": True, "shout.base": False} == {
        field.key: field.quick for field in served.parameters
    }
    helped = {field.key: field.help for field in (*served.inputs, *served.parameters)}
    assert ("That is worked on.", "behind each word.") == (helped["word"], helped["shout.mark"])


def test_a_request_goes_through_all_stages(asking: Asking) -> None:
    """Its task, its file, and no path of this machine."""
    sent = asking.send(word="abc", size=2)
    result = sent.end()
    assert isinstance(result, Result)
    (task,) = result.tasks
    assert ("!CBACBA", {"file": 0, "name": "note.txt", "media": "text/plain"}) == (task["word"], task["note"])
    assert note(asking, sent.id).startswith("ABCABC! by ")
    assert str(asking.folder) not in str(result.tasks)
    assert [Working("reverse", 0, 1)] == [event for event in sent.events if isinstance(event, Working)]


def test_parameters_without_a_new_set_up(asking: Asking) -> None:
    """Those that are declared adjustable, and those of a stage without `setup`; the next request has the served ones."""
    before = process_of(asking)
    sent = asking.send({"shout.mark": "?", "reverse.sep": "-"}, word="ab")
    result = sent.end()
    assert isinstance(result, Result)
    assert "?-B-A" == result.tasks[0]["word"]
    assert note(asking, sent.id).endswith(before)
    plain = asking.ask(word="ab")
    assert isinstance(plain, Result)
    assert "!BA" == plain.tasks[0]["word"]
    assert before == process_of(asking)


def test_parameters_back_and_forth(asking: Asking) -> None:
    """Each answer is that of its own request, whatever was asked before; the served values change nothing."""
    before, dice = process_of(asking), random.Random(19)
    for _ in range(30):
        given = {"shout.mark": dice.choice("!?"), "reverse.sep": dice.choice(["", "-"]), "shout.base": 0}
        given = {key: value for key, value in given.items() if dice.random() < 0.6}
        result = asking.ask(given, word="ab")
        assert isinstance(result, Result)
        assert given.get("reverse.sep", "").join(f"{given.get('shout.mark', '!')}BA") == result.tasks[0]["word"]
    assert before == process_of(asking)


def test_processes_that_were_replaced_hold_nothing(asking: Asking) -> None:
    """No descriptor of the server is left of them."""
    process_of(asking)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        assert isinstance(asking.ask(word="this", do="die"), Failed)
        process_of(asking)
    assert before >= len(os.listdir("/proc/self/fd"))


def test_a_parameter_that_set_up_reads(asking: Asking) -> None:
    """Its stage is set up again, and says so."""
    before = process_of(asking)
    sent = asking.send({"shout.base": 7}, word="ab")
    assert isinstance(sent.end(), Result)
    assert note(asking, sent.id).endswith("+7")
    assert [True, False] == [event.setting_up for event in sent.events if isinstance(event, Working)]
    assert before != process_of(asking)


@pytest.mark.parametrize(
    ("parameters", "inputs", "problems"),
    [
        ({}, {}, {"word": "needs a value"}),
        ({}, {"word": "a", "size": "many"}, {"size": "expected a whole number, got 'many'"}),
        ({}, {"word": "a", "do": "dance"}, {"do": "expected one of shout, fail, drop, die, hang, leak, print, exit, flood, got 'dance'"}),
        ({}, {"word": "a", "wrd": 1}, {"wrd": "there is no such field of the task; did you mean 'word'?"}),
        ({"shout.base": "x"}, {"word": "a"}, {"shout.base": "expected a whole number, got 'x'"}),
        ({"shout.bass": 1}, {"word": "a"}, {"shout.bass": "there is no such parameter; did you mean 'shout.base'?"}),
        ({"shout.mark": "${oc.env:HOME}"}, {"word": "a"}, {"shout.mark": "a request cannot refer to anything: neither ${oc.env:, ${result: nor $file, $result, $stage"}),
        ({}, {"word": "a", "note": "/etc/passwd"}, {"note": "there is no such field of the task; there are: word, do, size"}),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_a_worker_is_asked(
    asking: Asking, parameters: dict[str, object], inputs: dict[str, object], problems: dict[str, str]
) -> None:
    """Of each field; nothing is left of the request."""
    with pytest.raises(Unfit) as caught:
        asking.ask(parameters, **inputs)
    assert problems == caught.value.problems
    assert 0 == asking.service.health()["working"]


def test_a_task_that_fails(asking: Asking) -> None:
    """Its own words, and where."""
    failed = asking.ask(word="this", do="fail")
    assert isinstance(failed, Failed)
    assert ("failed", "ValueError: this is too much") == (failed.kind, failed.message)
    assert "raise ValueError" in failed.traceback


def test_a_task_that_is_dropped(asking: Asking) -> None:
    """Which stage, and what it measured."""
    result = asking.ask(word="this", do="drop", size=3)
    assert isinstance(result, Result)
    assert ((), "not wanted", 3) == (result.tasks, result.dropped[0]["reason"], result.dropped[0]["value"])


def test_what_a_stage_prints(asking: Asking) -> None:
    """Whoever sent the request hears it, and the log has it."""
    sent = asking.send(word="me", do="print")
    sent.end()
    assert "hear me" in asking.log
    assert "hear me" in sent.lines()


@pytest.mark.parametrize(
    ("do", "kind", "said"),
    [
        ("die", "crash", "was killed by SIGKILL"),
        ("exit", "crash", "left with status 3"),
        ("hang", "timeout", "took over 2 s"),
        ("leak", "memory", "it needs more memory than stages.reverse.resources.memory=300MB"),
    ],
)
def test_whatever_becomes_of_a_process_the_next_request_is_answered(
    asking: Asking, do: str, kind: str, said: str
) -> None:
    """By another one."""
    before = process_of(asking)
    failed = asking.ask(word="this", do=do)
    assert isinstance(failed, Failed)
    assert kind == failed.kind
    assert said in failed.message
    assert before != process_of(asking)


def test_lines_without_an_end(asking: Asking) -> None:
    """Are passed on when the request ends, and not held in memory, however long they are."""
    sent = asking.send(word="me", do="flood", size=3_000_000)
    assert isinstance(sent.end(), Result)
    assert {"x" * LONGEST} == set(sent.lines())


def test_a_process_that_is_killed_between_two_requests(asking: Asking) -> None:
    """Is replaced when the next one comes."""
    before = process_of(asking)
    os.kill(int(before.partition("+")[0]), signal.SIGKILL)
    assert before != process_of(asking)


def test_waiting_in_order_within_a_bound_and_taken_back(asking: Asking) -> None:
    """Each knows its place; one more is refused; both who waits and who is in work may leave."""
    first = asking.send(word="first", do="hang")
    first.until(Working)
    waiting = [asking.send(word=str(number)) for number in range(3)]
    assert [1, 2, 3] == [one.places()[-1] for one in waiting]
    with pytest.raises(NotAccepted, match=r"3 requests wait already, which is the most \(queue=\); try later"):
        asking.ask(word="late")
    assert asking.service.cancel(waiting[0].id)
    assert Cancelled() == waiting[0].end()
    assert 1 == waiting[1].places()[-1]
    assert asking.service.cancel(first.id)
    assert Cancelled() == first.end()
    assert [Result, Result] == [type(one.end()) for one in waiting[1:]]
    assert not asking.service.cancel(first.id)


def test_taken_back_while_it_is_set_up_for(asking: Asking) -> None:
    """Nobody waits for that to end."""
    sent = asking.send({"shout.base": -1}, word="this")
    sent.until(Working)
    assert asking.service.cancel(sent.id)
    assert Cancelled() == sent.end()
    assert isinstance(asking.ask(word="this"), Result)


def test_of_a_request_that_gave_nothing_nothing_is_left(asking: Asking) -> None:
    """A result's files stay for a while; others are removed."""
    failed, done = asking.send(word="this", do="fail"), asking.send(word="this")
    assert (Failed, Result) == (type(failed.end()), type(done.end()))
    asking.service.forget()
    assert (False, True) == tuple((asking.folder / "requests" / one.id).exists() for one in (failed, done))
    assert asking.service.file(done.id, 1) is None
    assert asking.service.file("../../etc", 0) is None


class Full(list[str]):
    """A log on a disk that is full."""

    def append(self, line: str) -> None:
        """It says so."""
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_log_or_a_folder_that_fails(tmp_path: Path) -> None:
    """Stops nobody: whose folder it is hears of it, without where it was, and the next one is answered."""
    with serving(tmp_path, log=Full()) as asking:
        sent = asking.send(word="me", do="print")
        assert isinstance(sent.end(), Result)
        assert "hear me" in sent.lines()
        assert isinstance(asking.ask(word="this", do="die"), Failed)
        assert isinstance(asking.ask(word="this"), Result)
        name, folder = asking.service.folder_for()
        shutil.rmtree(folder)
        sent = Sent(name)
        asking.service.submit(Given(id=name, folder=folder, inputs={"word": "this"}), sent.tell)
        assert Failed(kind="crash", stage="", message="FileNotFoundError: No such file or directory") == sent.end()
        assert isinstance(asking.ask(word="this"), Result)


def test_so_many_results_are_kept(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest."""
    monkeypatch.setattr(answering, "MOST_KEPT", 2)
    sent = [asking.send(word=str(number)) for number in range(3)]
    assert [Result] * 3 == [type(one.end()) for one in sent]
    asking.service.forget()
    assert [False, True, True] == [asking.service.file(one.id, 0) is not None for one in sent]


def test_nothing_is_kept_of_a_request_but_its_folder(asking: Asking) -> None:
    """What encodes rows is made once, not for each."""
    assert isinstance(asking.ask(word="a"), Result)
    before = len(rows._CODECS)
    assert isinstance(asking.ask(word="b"), Result)
    assert before == len(rows._CODECS)


def test_the_end(tmp_path: Path) -> None:
    """What is in work may end for a while; what waits is told at once; nothing new comes in."""
    with serving(tmp_path, workers=2, request_time="1m") as asking:
        hanging = [asking.send(word="this", do="hang") for _ in range(2)]
        for one in hanging:
            one.until(Working)
        waiting = asking.send(word="this")
        asking.service.close(0.1)
        ends = [one.end() for one in (*hanging, waiting)]
        assert {("ending", "the server is ending")} == {(e.kind, e.message) for e in ends if isinstance(e, Failed)}
        with pytest.raises(NotAccepted, match="the server is ending"):
            asking.ask(word="late")
    assert not (asking.folder / "requests").exists()
