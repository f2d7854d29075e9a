"""Programs of a project: its scripts and modules are copied with the run, and count for what a stage is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from shell import Shell

from hpcurate import Command
from hpcurate.planning.fingerprint import stage_identity
from hpcurate.planning.programs import program_modules
from hpcurate.programs.project_files import in_project, modules_of, project_files
from hpcurate.runs.code import freeze_code
from hpcurate.spec import from_spec, to_spec

PIPELINE = """
# @package _global_
name: programs
source: {_target_: stages.hello.Prompts, prompts: [One Two, three, Die, Die hard]}
stages:
  shout:
    _target_: hpcurate.command.Command
    argv: [python, tools/shout.py, "{prompt}", "{values}", "--marks=tools/marks/mark.txt", CWD]
    files: [tools/marks]
    values: {loud: str}
    variables: {OF: "${oc.env:SHOUT_TOKEN}"}
  count:
    chain:
      first:
        _target_: hpcurate.command.Command
        argv: [python, -m, counting.words, "{loud}", "{out.words}"]
        outputs: {words: words.txt}
      second:
        _target_: hpcurate.command.Command
        argv: [sh, -c, 'echo "$0 $OF $(cat "$1")"; test "$0" != "DIE!!" || exit 7', "{loud}", "{words}"]
        variables: {OF: "${oc.env:SHOUT_TOKEN}"}
"""
FILES = {
    "tools/shout.py": """
import json, os, sys
from pathlib import Path
from helps import louder
assert os.environ["OF"] == "a-very-secret-token", "the secret"
mark = Path(sys.argv[3].partition("=")[2]).read_text()
json.dump({"loud": louder(sys.argv[1]) + mark}, open(sys.argv[2], "w"))
for name in ("tools/helps/__init__.py", "tools/marks/mark.txt", "counting/words.py"):
    Path(sys.argv[4], name).write_text("raise SystemExit('edited')")
""",
    "tools/helps/__init__.py": "from .upper import louder",
    "tools/helps/upper.py": "def louder(text):\n    return text.upper() + '!'",
    "tools/marks/mark.txt": "!",
    "counting/__init__.py": "",
    "counting/words.py": "import sys\nfrom counting.split import parts\nopen(sys.argv[2], 'w').write(str(len(parts(sys.argv[1]))))",
    "counting/split.py": "def parts(text):\n    return text.split()",
}
TOKEN = "a-very-secret-token"


def written(folder: Path) -> None:
    """The project."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A run of the project, whose first stage edits it."""
    shell = Shell(tmp_path_factory.mktemp("project"))
    written(shell.cwd)
    (shell.cwd / "conf" / "pipeline").mkdir(parents=True)
    (shell.cwd / "conf" / "pipeline" / "programs.yaml").write_text(PIPELINE.replace("CWD", str(shell.cwd)))
    shell.extra["SHOUT_TOKEN"] = TOKEN
    shell.run("+pipeline=programs", "budget.failed=1")
    return shell


def test_programs_run_from_the_frozen_copies(run: Shell) -> None:
    """A script, what lies beside it, a module: all were edited while the run was at work."""
    rows = [json.loads(row) for row in run.rows("count")]
    assert ["ONE TWO!!", "THREE!!", "DIE HARD!!"] == [row["values"]["loud"] for row in rows]
    words = [run.store / "stages" / row["files"]["words"] for row in rows]
    assert ["2", "1", "2"] == [path.read_text() for path in words]
    assert "edited" in (run.cwd / "counting" / "words.py").read_text()


def test_a_dead_letter_has_the_end_of_the_output_and_the_command(run: Shell) -> None:
    """With real paths, and without secrets."""
    (letter,) = (json.loads(row) for row in run.rows("count", "failed.jsonl"))
    assert ("ProgramFailed", "sh: exit code 7: DIE!! ***SHOUT_TOKEN*** 1") == (letter["error"], letter["message"])
    assert letter["traceback"].startswith("$ env OF=***SHOUT_TOKEN*** sh -c 'echo ")
    assert f"'DIE!!' {run.store}/stages/count-" in letter["traceback"]
    shown = run.type("why", "--store", str(run.store)).stdout
    assert "sh: exit code 7: DIE!! ***SHOUT_TOKEN*** 1\n" in shown
    assert "\n          $ env OF=***SHOUT_TOKEN*** sh -c 'echo" in shown
    assert "\n          DIE!! ***SHOUT_TOKEN*** 1\n" in shown


def test_a_secret_is_in_no_file(run: Shell) -> None:
    """It reached the programs, and was printed by one."""
    files = [path for path in run.folder.rglob("*") if path.is_file() and path.name != "shout.py"]
    assert [] == [path for path in files if TOKEN in path.read_text(errors="replace")]
    assert any("***SHOUT_TOKEN***" in path.read_text(errors="replace") for path in files)


# -- what counts -------------------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project, where a command is typed."""
    written(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_what_a_script_imports_is_found(project: Path) -> None:
    """Beside it, as Python does; a package with all of its modules; nothing else of the folder."""
    found = project_files(["python", "tools/shout.py", "{path}", "-", "x=tools/marks/mark.txt"], [])
    assert ["tools/helps/__init__.py", "tools/helps/upper.py", "tools/marks/mark.txt", "tools/shout.py"] == found
    assert "--marks=/p/tools/marks/mark.txt" == in_project("--marks=tools/marks/mark.txt", dict.fromkeys(found), "/p")
    assert ["/p/tools/marks", "tools", "./x"] == [
        in_project(part, dict.fromkeys(found), "/p") for part in ("tools/marks/", "tools", "./x")
    ]


def test_modules_of_an_argv() -> None:
    """Also behind a launcher of others."""
    assert ("torch.distributed.run", "a.b") == modules_of(["python3", "-m", "torch.distributed.run", "-m", "a.b"])
    assert () == modules_of(["git", "commit", "-m", "message"])


@pytest.mark.parametrize("name", ["tools/shout.py", "tools/helps/upper.py", "counting/words.py", "counting/split.py"])
def test_an_edit_makes_another_stage(project: Path, name: str) -> None:
    """Of the script, of what it imports, of a module and what that imports."""
    stages = [Command(["python", "tools/shout.py"]), Command(["python", "-m", "counting.words"])]
    before = [stage_identity(stage) for stage in stages]
    (project / name).write_text("x = 1\n" + FILES[name])
    changed = [one != stage_identity(stage) for one, stage in zip(before, stages)]
    assert [name.startswith("tools"), name.startswith("counting")] == changed


def test_the_identity_is_what_was_written(project: Path) -> None:
    """Placeholders stay text, what is empty is left out, and the folder in which it is typed does not count."""
    stage = Command(["python", "tools/shout.py", "{path}"], outputs={}, drop_on=[], gather=False)
    identity = stage_identity(stage)
    assert {"argv", "files"} == identity["parameters"].keys()
    assert ["python", "tools/shout.py", "{path}"] == identity["parameters"]["argv"]
    assert str(project) not in str(identity)
    assert identity == stage_identity(from_spec(to_spec(stage)))


def test_a_module_is_frozen_with_the_code(project: Path) -> None:
    """Found without being imported."""
    (project / "counting" / "words.py").write_text("import counting.split\nraise SystemExit('it was imported')")
    (project / "frozen").mkdir()
    code = Path(freeze_code(program_modules(Command(["python", "-m", "counting.words"])), str(project / "frozen")))
    assert {"words.py", "split.py", "__init__.py"} == {path.name for path in (code / "counting").iterdir()}
