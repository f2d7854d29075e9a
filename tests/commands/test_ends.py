"""Each way in which a program can end has its own name, and says what was wrong with what it left."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from engine_stages import Number

from hpcurate import Command, FileTask, Record
from hpcurate.errors import ProgramKilled, ProgramNotFound
from hpcurate.stage_process import program, room
from hpcurate.system.processes import start_time
from hpcurate.testing import Outcome, try_stage

ONE = [Number(id="a", value=1)]


def python(code: str, *more: str, **options: Any) -> Command:
    """A command that runs a program of Python."""
    return Command(argv=["python", "-c", code.replace("{", "{{").replace("}", "}}"), *more], **options)


def shell(line: str, *more: str, **options: Any) -> Command:
    """A command that runs a line of a shell."""
    return Command(argv=["sh", "-c", line, "sh", *more], **options)


def writes(text: str) -> Command:
    """A command that writes this as its values."""
    declared = {"n": "int", "x": "float", "s": "str", "b": "bool", "l": "list", "d": "dict"}
    return Command(argv=["cp", "/dev/stdin", "{values}"], values=declared) if text is None else python(
        "import sys; open(sys.argv[1], 'w').write(sys.argv[2])", "{values}", text.replace("{", "{{").replace("}", "}}"),
        values=declared,
    )  # fmt: skip


def ended(stage: Command, folder: Path, tasks: list[Any] | None = None) -> Outcome:
    """What became of one task."""
    return try_stage(stage, tasks or ONE, folder)


def failure(stage: Command, folder: Path) -> tuple[str, str, str]:
    """(error, message, details) of the dead letter of one task."""
    (letter,) = ended(stage, folder).failed
    return letter["error"], letter["message"], letter["traceback"]


WHOLE = '{"n": 1, "x": 2, "s": "s", "b": true, "l": [], "d": {}}'


def test_values_are_what_was_declared(tmp_path: Path) -> None:
    """A whole number may stand for a real one."""
    (task,) = ended(writes(WHOLE), tmp_path / "t").tasks
    assert {"n": 1, "x": 2.0, "s": "s", "b": True, "l": [], "d": {}, "value": 1} == task.values
    assert float is type(task.values["x"])


WRONG = {
    "not written": ("", "values: the program did not write JSON"),
    "an array": ("[]", "values: expected a JSON object, got list"),
    "misspelt": (WHOLE.replace('"n"', '"nn"'), "values: 'nn' is not declared; did you mean 'n'?"),
    "left out": (WHOLE.replace('"n": 1, ', ""), "values: there is no 'n', which is declared"),
    "another type": (WHOLE.replace("1,", "1.5,"), "values: n: expected int, got 1.5"),
    "true is no number": (WHOLE.replace("1,", "true,"), "values: n: expected int, got true"),
    "NaN": (WHOLE.replace("2,", "NaN,"), "values: x: NaN and infinite numbers are no JSON"),
    "infinite within": (WHOLE.replace("[]", "[[-Infinity]]"), "values: l: NaN and infinite numbers are no JSON"),
    "deep": ("[" * 100_000, "values: the program did not write JSON"),
    "deep within": (WHOLE.replace("[]", "[" * 900 + "]" * 900), "values: l: lists and objects in each other, too deep"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_values_are_refused(tmp_path: Path, name: str) -> None:
    """With the name of the value, and what was expected."""
    text, message = WRONG[name]
    error, said, _ = failure(writes(text), tmp_path / "t")
    assert ("BadValues", message) == (error, said[: len(message)])


def test_values_that_are_not_written_are_missed(tmp_path: Path) -> None:
    """Exit code 0 alone is not enough."""
    for number, (name, why) in enumerate(
        {"true": "No such file or directory", "mkfifo": "it is no file", "mkdir": "it is no file"}.items()
    ):
        stage = Command(argv=[name, "{values}"], values={"n": "int"})
        error, said, _ = failure(stage, tmp_path / str(number))
        assert ("BadValues", f"values: the program did not write them: {why}") == (error, said)


@pytest.mark.parametrize("argv", [["{out.x}"], ["{values}"], ["{tasks}", "{returned}"]])
def test_what_is_missing_is_told_with_the_command_and_what_it_printed(tmp_path: Path, argv: list[str]) -> None:
    """Many programs print what went wrong and end with 0: the dead letter had only the path that is not there."""
    declared = {"outputs": {"x": "x.txt"}} if "{out.x}" in argv else {"values": {"n": "int"}}
    if "{returned}" in argv:
        declared = {}
    _, _, details = failure(shell("echo cannot read it", *argv, **declared), tmp_path / "t")
    command, *lines = details.splitlines()
    assert command.startswith("$ sh -c 'echo cannot read it' sh /")
    assert ["cannot read it"] == lines


def test_an_exit_code_fails_the_task_with_the_end_of_the_output(tmp_path: Path) -> None:
    """And with the command, as a line that can be pasted into a shell."""
    error, said, details = failure(shell("seq 100; echo cannot read $1 >&2; exit 3", "{value}"), tmp_path / "t")
    assert ("ProgramFailed", "sh: exit code 3: cannot read 1") == (error, said)
    command, *lines = details.splitlines()
    assert "$ sh -c 'seq 100; echo cannot read $1 >&2; exit 3' sh 1" == command
    assert (20, "cannot read 1") == (len(lines), lines[-1])


def test_arguments_that_no_system_takes_fail_the_task(tmp_path: Path) -> None:
    """They were an OSError of the engine's own, with its stack, and `retry_on: [ProgramFailed]` did not know it."""
    task = Record(id="a", values={"text": "x" * 200_000})
    (letter,) = ended(Command(["echo", "{text}"]), tmp_path / "t", [task]).failed
    expected = "echo: cannot be started: Argument list too long; give what is long in a file"
    assert ("ProgramFailed", expected) == (letter["error"], letter["message"])


@pytest.mark.parametrize(("code", "meaning"), [(127, "it found no such program"), (137, "killed by signal 9")])
def test_what_shells_mean_by_a_code_is_said(tmp_path: Path, code: int, meaning: str) -> None:
    """A wrapper hides what became of the program that it ran."""
    error, said, _ = failure(shell(f"exit {code}"), tmp_path / "t")
    assert ("ProgramFailed", True) == (error, meaning in said)


def test_an_exit_code_drops(tmp_path: Path) -> None:
    """Each with its own reason; the others fail."""
    tasks = [Number(id=str(n), value=n) for n in range(4)]
    outcome = ended(shell("exit $1", "{value}", drop_on=[1, 2]), tmp_path / "t", tasks)
    assert [("1", "sh: exit code 1"), ("2", "sh: exit code 2")] == [(d["id"], d["reason"]) for d in outcome.dropped]
    assert (["0"], ["3"]) == ([task.id for task in outcome.tasks], [letter["id"] for letter in outcome.failed])


OUTPUTS = {
    "nothing": ("true", "OutputMissing", "output o: the program did not write it: No such file or directory"),
    "a link": ("ln -s /etc/hosts $1", "BadOutput", "output o: {o} is a symbolic link to '/etc/hosts'"),
    "a pipe": ("mkfifo $1", "BadOutput", "output o: {o} is no file: a pipe, a socket or a device"),
    "an empty folder": ("mkdir -p $1/a/b", "BadOutput", "output o: {o} is a folder without a file"),
    "a link out of a folder": ("mkdir $1; echo > $1/a; ln -s ../../x $1/b", "BadOutput", "output o: {o}/b is a symbol"),
    "an absolute link": ("mkdir $1; echo > $1/a; ln -s $1/a $1/b", "BadOutput", "output o: {o}/b is a symbolic link"),
    "a loop": ("mkdir $1; echo > $1/a; ln -s b $1/b", "BadOutput", "output o: {o}/b is a symbolic link"),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_what_no_shard_keeps_is_no_output(tmp_path: Path, name: str) -> None:
    """It may be gone as soon as the program is, or lead to what others change."""
    line, error, message = OUTPUTS[name]
    found, said, _ = failure(shell(line, "{out.o}", outputs={"o": "o.bin"}), tmp_path / "t")
    message = message.replace("{o}", str(tmp_path / "t" / "trial" / "files" / "a" / "o.bin"))
    assert (error, message) == (found, said[: len(message)])


def test_an_output_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    """Next to a file that can be: the shard was committed, and nobody saw what was in there, or removed it."""
    (tmp_path / "o" / "d").mkdir(parents=True)
    (tmp_path / "o" / "x").touch()
    (tmp_path / "o" / "d").chmod(0)
    code = """
import os
from hpcurate.stage_process.room import check_output
if not os.geteuid():  # root may do all
    for path in ('.', 'o', 'o/d'):
        os.chown(path, 65534, 65534)
    os.setuid(65534)
check_output('o', 'o')
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr.endswith("BadOutput: output o: o/d cannot be read: Permission denied\n")


def test_an_output_may_be_a_folder_or_empty(tmp_path: Path) -> None:
    """One that is declared with a `/` is made before; links within it stay."""
    stage = shell("echo 1 > $1/x; ln -s x $1/y; : > $2", "{out.d}", "{out.e}", outputs={"d": "d/", "e": "sub/e"})
    (task,) = ended(stage, tmp_path / "t").tasks
    assert ("1\n", "") == ((Path(task.files["d"]) / "y").read_text(), Path(task.files["e"]).read_text())


def test_it_runs_in_an_empty_folder_that_is_removed(tmp_path: Path) -> None:
    """Nothing comes from its stdin. Even folders that it made read-only are gone."""
    line = 'test -z "$(ls -A)" && test "$PWD" = "$1" && ! read x && mkdir -p a/b && touch a/b/c && chmod 500 a/b a && pwd > $2'
    (task,) = ended(shell(line, "{scratch}", "{out.o}", outputs={"o": "o"}), tmp_path / "t").tasks
    place = Path(Path(task.files["o"]).read_text().strip())
    assert (False, True) == (place.exists(), place.is_absolute())


def test_rooms_of_a_killed_process_are_removed_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage process that is killed removes nothing; one that lives keeps its own."""
    monkeypatch.setattr(room, "own_folder", lambda: str(tmp_path))
    mine = room.Rooms()
    host, pid, start, _ = os.listdir(tmp_path / "programs")[0].split("-", 3)
    (tmp_path / "programs" / f"{host}-{pid}-1-dead" / "x").mkdir(parents=True)
    (tmp_path / "programs" / f"another-{pid}-1-x").mkdir()
    room.Rooms()
    names = [name.rpartition("-")[0] for name in os.listdir(tmp_path / "programs")]
    assert sorted([f"{host}-{pid}-{start}"] * 2 + [f"another-{pid}-1"]) == sorted(names)
    mine.close()


def test_a_flood_of_output_fills_neither_memory_nor_log(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """100 MB: its beginning and its end are in the log, and how much is left out."""
    code = "import sys\nline = 'x' * 999 + '\\n'\nfor n in range(100_000): sys.stdout.write(line)\nprint('the end')"
    assert 1 == len(ended(python(code), tmp_path / "t").tasks)
    printed = capfdbinary.readouterr().out
    assert len(printed) < 2 * program.LOGGED
    assert b"bytes of output are left out here]\nits end:\n" in printed
    assert b"\nthe end\n" in printed[-2000:]


def test_what_is_left_behind_is_ended_and_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One in the background that holds its output open, and one in a session of its own, as daemons are."""
    line = "sleep 601 & setsid sleep 602 & echo $! > $1"
    began = time.monotonic()
    (task,) = ended(shell(line, "{out.o}", outputs={"o": "o"}), tmp_path / "t").tasks
    assert time.monotonic() - began < 10
    said = capfd.readouterr().out
    assert ("left behind by process", 2) == (said[said.index("left behind") :][:22], said.count("(sleep)"))
    assert start_time(int(Path(task.files["o"]).read_text())) is None


def test_an_output_that_is_still_being_written_is_none(tmp_path: Path) -> None:
    """It would be cut at any place."""
    line = "(exec > $1; while :; do echo x; sleep 0.01; done) & while ! test -s $1; do sleep 0.01; done"
    error, said, _ = failure(shell(line, "{out.o}", outputs={"o": "o"}), tmp_path / "t")
    assert ("StillWriting", "sh: it ended, and left process ") == (error, said[:31])


@pytest.mark.parametrize("number", ["KILL", "TERM", "SEGV"])
def test_a_signal_is_no_verdict_about_the_task(tmp_path: Path, number: str) -> None:
    """The stage process is to end by it, so that the rules for crashes hold."""
    with pytest.raises(ProgramKilled, match=f"^sh: killed by SIG{number}$"):
        ended(shell(f"kill -{number} $$"), tmp_path / "t")


def test_a_program_that_is_not_there_is_missed_at_set_up(tmp_path: Path) -> None:
    """Of every task the same would be said."""
    with pytest.raises(ProgramNotFound, match="no-such-program: there is no such program in PATH here"):
        ended(Command(argv=["no-such-program"]), tmp_path / "t")


@pytest.mark.parametrize(("text", "reason"), [("", "Permission denied"), ("#!/no/such", "No such file or directory")])
def test_a_program_that_cannot_be_started_is_named(tmp_path: Path, text: str, reason: str) -> None:
    """One that each task names for itself, or a script without its interpreter."""
    script = tmp_path / "script"
    script.write_text(text)
    script.chmod(0o755 if text else 0o644)
    task = FileTask(id="a", source="s", path=str(script), size=1, mtime_ns=1)
    (letter,) = ended(Command(argv=["{path}"]), tmp_path / "t", [task]).failed
    assert ("ProgramNotFound", f"script: cannot be started: {reason}") == (letter["error"], letter["message"])


def test_variables_and_the_python_of_the_environment(tmp_path: Path) -> None:
    """`python` is the one that runs the stage; a variable may name fields, too."""
    code = "import os, sys; open(sys.argv[1], 'w').write(sys.prefix + ' ' + os.environ['OF'])"
    stage = python(code, "{out.o}", outputs={"o": "o"}, variables={"OF": "task {id}"})
    (task,) = ended(stage, tmp_path / "t").tasks
    assert f"{sys.prefix} task a" == Path(task.files["o"]).read_text()


def test_odd_names_arrive_as_they_are(tmp_path: Path) -> None:
    """No shell takes an argument apart: blanks, quotes, newlines, undecodable bytes, braces, a leading dash."""
    odd = "-n $(id) 'a' \"b\"\n{path} \udcff;*"
    stage = python(
        "import os, sys; open(sys.argv[1], 'wb').write(os.fsencode(sys.argv[2]))",
        "{out.o}",
        "{source}",
        outputs={"o": "o"},
    )
    task = FileTask(id=odd, source=odd, path="/x", size=1, mtime_ns=1)
    (made,) = ended(stage, tmp_path / "t", [task]).tasks
    assert (os.fsencode(odd), odd) == (Path(made.files["o"]).read_bytes(), made.id)


def test_a_null_byte_fails_that_task_alone(tmp_path: Path) -> None:
    """No argument can have one."""
    tasks = [FileTask(id=name, source=name, path="/x", size=1, mtime_ns=1) for name in ("a\0b", "c")]
    outcome = ended(Command(argv=["true", "{source}"]), tmp_path / "t", tasks)
    assert ([("ProgramFailed", "true: cannot be started: embedded null byte")], ["c"]) == (
        [(letter["error"], letter["message"]) for letter in outcome.failed], [task.id for task in outcome.tasks],
    )  # fmt: skip


def test_what_is_none_cannot_be_an_argument(tmp_path: Path) -> None:
    """It would arrive as a word."""
    error, said, _ = failure(Command(argv=["echo", "{note}"]), tmp_path / "t")
    assert ("StageError", "{note}: None is no text, number or file") == (error, said[:39])


# -- batches ---------------------------------------------------------------------------------------------

BATCH = """
import json, sys
tasks = [json.loads(line) for line in open(sys.argv[1])]
with open(sys.argv[2], 'w') as file:
    for task in tasks:
        if task['value'] == 0:
            print(json.dumps({'parent': task['id'], 'drop': 'is 0'}), file=file)
        for n in range(task['value']):
            path = task['out']['parts'] + f'/{n}.txt'
            open(path, 'w').write(str(n))
            print(json.dumps({'parent': task['id'], 'values': {'n': n}, 'files': {'part': path}}), file=file)
    print(json.dumps({'parent': [t['id'] for t in tasks[1:3]], 'id': 'both', 'values': {'n': -1}}), file=file)
    print(json.dumps({'parent': 't4', 'id': 't4', 'values': {'n': 3}, 'weight': 7}), file=file)
"""


def test_a_batch_runs_once(tmp_path: Path) -> None:
    """Lines of JSON go in and come out: children with files of their own, of several parents, the task itself, drops."""
    tasks = [Number(id=f"t{n}", value=n % 3) for n in range(5)]
    stage = python(BATCH, "{tasks}", "{returned}", outputs={"parts": "parts/"}, values={"n": "int"})
    outcome = ended(stage, tmp_path / "t", tasks)
    assert [("t0", "is 0"), ("t3", "is 0")] == [(row["id"], row["reason"]) for row in outcome.dropped]
    made = {(task.parents, task.values["n"]): task for task in outcome.tasks}
    assert {(("t1",), 0), (("t2",), 0), (("t2",), 1), (("t4",), 0), (("t1", "t2"), -1), ((), 3)} == made.keys()
    assert ("1", 2) == (Path(made[("t2",), 1].files["part"]).read_text(), made[("t2",), 1].values["value"])
    assert ("t4", 7.0, "both") == (made[(), 3].id, made[(), 3].weight, made[("t1", "t2"), -1].id)


def test_a_batch_that_fails_is_split(tmp_path: Path) -> None:
    """So that the others pass."""
    tasks = [Number(id=f"t{n}", value=n) for n in range(3)]
    outcome = ended(shell('! grep -q \'"value": 1\' "$1"', "{tasks}"), tmp_path / "u", tasks)
    assert (["t0", "t2"], ["t1"]) == ([task.id for task in outcome.tasks], [one["id"] for one in outcome.failed])


def returns(line: str, folder: Path, **options: Any) -> Outcome:
    """A program that returns this line for the task a."""
    stage = Command(
        argv=[
            "python",
            "-c",
            "import sys; open(sys.argv[1], 'w').write(sys.argv[2])",
            "{returned}",
            line.replace("{", "{{").replace("}", "}}"),
        ],
        **options,
    )
    return ended(stage, folder)


BAD = {
    "no JSON": ("{", "no JSON: Expecting property name"),
    "an array": ("[]", "expected a JSON object, got list"),
    "of nobody": ('{"parent": "x"}', "parent: expected the id of a task in {tasks}, got ['x']"),
    "of a number": ('{"parent": 1}', "parent: expected the id of a task, or a list of them, got 1"),
    "a drop and more": ('{"parent": "a", "drop": "x", "values": {}}', "a line that drops is"),
    "unknown": ('{"parent": "a", "value": 1}', "'value': a Record has no such field; did you mean 'values'?"),
    "undeclared": ('{"parent": "a", "values": {"x": 1}}', "values: 'x' is not declared"),
    "a file of others": ('{"parent": "a", "files": {"f": "/etc/hosts"}}', "'/etc/hosts' is no file of these tasks"),
    "a number as its id": ('{"parent": "a", "id": 5}', "id: expected a text, got 5"),
    "a number for a file": ('{"parent": "a", "files": {"f": 1}}', "Expected `str`, got `int`"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_task_is_refused(tmp_path: Path, name: str) -> None:
    """With the number of the line."""
    line, message = BAD[name]
    (letter,) = returns(f"\n{line}\n", tmp_path / "t").failed
    expected = f"returned, line 2: {message}"
    assert ("BadReturned", expected) == (letter["error"], letter["message"][: len(expected)])


def test_a_returned_file_is_none_that_a_link_leads_to(tmp_path: Path) -> None:
    """It was taken for a file of the output: five attempts of the whole shard ended, each as the program was through."""
    code = """
import json, os, sys
for line in open(sys.argv[1]):
    out = json.loads(line)['out']['o']
    os.mkdir(out + '/d')
    open(out + '/d/x', 'w').close()
    os.symlink('d', out + '/l')
    open(sys.argv[2], 'w').write(json.dumps({'parent': 'a', 'files': {'x': out + '/l/x'}}))
"""
    (letter,) = ended(python(code, "{tasks}", "{returned}", outputs={"o": "o/"}), tmp_path / "t").failed
    assert ("BadReturned", True) == (
        letter["error"],
        "l/x' lies behind a link; name the file itself" in letter["message"],
    )


def test_it_may_return_tasks_of_a_class(tmp_path: Path) -> None:
    """Fields that the line has not are its parent's."""
    outcome = returns('{"parent": "a", "mark": "m"}', tmp_path / "t", returns="engine_stages:Marked")
    (task,) = outcome.tasks
    assert ("Marked", 1, "m", ("a",)) == (type(task).__name__, task.value, task.mark, task.parents)
    (letter,) = returns('{"parent": "a"}', tmp_path / "u", returns="engine_stages:Marked").failed
    assert "returned, line 1: Object missing required field `mark`" in letter["message"]


def test_what_is_not_returned_is_dropped(tmp_path: Path) -> None:
    """As of any stage."""
    (row,) = returns("", tmp_path / "t").dropped
    assert ("a", "not returned") == (row["id"], row["reason"])


# -- joins -----------------------------------------------------------------------------------------------


def test_a_join_reads_what_all_agree_in(tmp_path: Path) -> None:
    """A name that two tasks give another value is refused by that name, as no one value would be right."""
    tasks = [
        Record(id="a", values={"model": "m", "f1": 0.5}),
        Record(id="b", values={"model": "m", "size": 3, "f1": 1}),
    ]
    stage = shell('echo "$1 $2" > $3', "{model}", "{size}", "{out.o}", outputs={"o": "o"}, gather=True)
    (made,) = ended(stage, tmp_path / "t", tasks).tasks
    assert ("m 3\n", {"model": "m", "size": 3}, ("a", "b")) == (
        Path(made.files["o"]).read_text(), made.values, made.parents,
    )  # fmt: skip
    with pytest.raises(Exception, match="f1}: the tasks that come together here differ in it"):
        ended(Command(argv=["true", "{f1}"], gather=True), tmp_path / "u", tasks)
