"""Why a stage cannot be started: the paths that its author edits, the same failures once, and what may help."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from planned import planned

import hpcurate
from hpcurate.failures import AttemptEnd, Ending, FailureKind, Report
from hpcurate.planning.pipeline import Environment
from hpcurate.report.remedies import enough
from hpcurate.report.setups import Place, alike
from hpcurate.report.tracebacks import of_the_checkout, places
from hpcurate.verdict import Allowance

CODE = "/s/runs/r/code-0123456789ab"
ENGINE = str(Path(hpcurate.__file__).parent)
TRACE = f"""Traceback (most recent call last):
  File "{CODE}/hpcurate/stage_process/main.py", line 9, in run
    stage.setup(worker)
  File "{ENGINE}/worker/hosts/inprocess.py", line 9, in run
    stage.setup(worker)
  File "{CODE}/stages/mine.py", line 3, in setup
    load()
    ^^^^^^
  [Previous line repeated 2 more times]
  File "{CODE}/stages/gone.py", line 3, in load
    json.loads("{{")
  File "/usr/lib/json.py", line 1, in loads
ValueError: no
  File "of a message", line 1, in x
"""


def test_a_traceback_has_the_paths_that_somebody_edits(tmp_path: Path) -> None:
    """It named the frozen copy, below the frames of the engine. What is no longer there keeps its path."""
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / "mine.py").touch()
    assert of_the_checkout(TRACE, places(str(tmp_path))) == [
        "Traceback (most recent call last):",
        f'  File "{tmp_path}/stages/mine.py", line 3, in setup',
        "    load()",
        "    ^^^^^^",
        "  [Previous line repeated 2 more times]",
        f'  File "{CODE}/stages/gone.py", line 3, in load',
        '    json.loads("{")',
        '  File "/usr/lib/json.py", line 1, in loads',
        "ValueError: no",
        '  File "of a message", line 1, in x',
    ]


def test_a_stage_that_comes_with_hpcurate_is_where_that_is_installed() -> None:
    """A frozen copy is no place to look for a bug in it."""
    trace = f'Traceback:\n  File "{CODE}/stages/hello.py", line 1, in setup\nE: x'
    assert f'  File "{Path(ENGINE).parent}/stages/hello.py", line 1, in setup' in of_the_checkout(trace, places(""))


@pytest.mark.parametrize(
    "trace",
    [
        "",
        "Killed",
        f'Traceback:\n  File "{CODE}/hpcurate/gone.py", line 1, in load\n    x\nImportError: no',
        f'Traceback:\n  File "{CODE}/odd\udcff name.py", line 3\n    def (\nSyntaxError: invalid syntax',
    ],
)
def test_any_traceback_keeps_what_it_says(trace: str) -> None:
    """None at all, one of the engine alone, one of a file that is no Python, names of any bytes."""
    assert trace.split("\n") == of_the_checkout(trace, places(""))


def report(worker: str, node: str, message: str = "E: x") -> Report:
    """Of a worker that could not be set up."""
    return Report(worker=worker, node=node, kind=FailureKind.SETUP, message=message)


HERE = Place("/home/me/my clips", "/s")


def test_the_same_failure_of_many_workers_is_one() -> None:
    """The most frequent first, with its nodes."""
    reports = [report("w0", "n1", "once"), *(report(f"w{n}", f"n{n % 3}") for n in range(1, 21))]
    found = alike(planned(), [(one, ("T:", one.message)) for one in reports], HERE)
    assert [("E: x", 20, ("n0", "n1", "n2")), ("once", 1, ("n1",))] == [
        (one.message, one.workers, one.nodes) for one in found
    ]


MINE, S = "'/home/me/my clips'", "--store /s"
IN_ENV = Environment(prefix="/s/envs/seg-0123456789ab", digest="seg-0123456789ab", python=("/s/envs/seg/bin/python",))


@pytest.mark.parametrize(
    ("env", "help"),
    [
        (Environment(), "install it where hpcurate runs: pip install torch"),
        (Environment(prefix="/opt/e", digest="/opt/e"), "install it there: /opt/e/bin/python -m pip install torch"),
        (Environment(container=True, python=("ch-run", "i")), "install torch in its container, ch-run i"),
        (
            IN_ENV,
            f"add torch to envs/seg.yml, then: cd {MINE} && hpcurate envs lock seg {S} && hpcurate envs build seg {S}",
        ),
    ],
)
def test_a_module_that_is_missing_is_installed_where_the_stage_runs(env: Environment, help: str) -> None:
    """By what its environment is."""
    stage = msgspec.structs.replace(planned(), env=env)
    (found,) = alike(stage, [(report("w", "n", "ModuleNotFoundError: No module named 'torch.nn'"), ())], HERE)
    assert help == found.help
    (other,) = alike(stage, [(report("w", "n"), ())], HERE)
    assert "" == other.help


# -- more of what was not enough --------------------------------------------------------------------


def short(memory_mb: int = 0, peak_mb: int = 0) -> AttemptEnd:
    """An attempt without enough memory."""
    return AttemptEnd(attempt=1, ending=Ending.OOM, memory_mb=memory_mb, peak_mb=peak_mb)


@pytest.mark.parametrize(
    ("ends", "options", "most_mb", "override"),
    [
        ([short(419, 416)], {}, 1676, "resources.memory=838MB"),
        ([short(419), short(838)], {}, 1676, "resources.memory=1676MB"),
        ([short(1676)], {}, 1676, "resources.memory=3352MB"),
        ([short(838, 900)], {"processes": 2}, 4000, "resources.memory=838MB"),
        ([short(419, 4000)], {"max_memory": "1GB"}, 1024, "resources.memory=5000MB"),
        ([short(9000)], {"max_memory": "9GB"}, 9216, "resources.memory=18GB"),
        ([], {}, 1676, "resources.memory=838MB"),
        ([short(1000)], {}, 1000, "sbatch.partition=NAME"),
    ],
)
def test_more_memory_than_was_seen_in_use(
    ends: list[AttemptEnd], options: dict[str, object], most_mb: int, override: str
) -> None:
    """For one stage process; where no node has it, a partition that does."""
    stage = planned(resources={"memory": "419MB", "time": "1h"}, **options)
    assert f"stages.one.{override}" == enough("oom", stage, ends, Allowance(memory_mb=most_mb))


@pytest.mark.parametrize(
    ("kind", "options", "override"),
    [
        ("timeout", {"task_timeout": 1.5}, "stages.one.task_timeout=6"),
        ("gpu_oom", {"resources": {"gpus": 0.25}}, "stages.one.resources.gpus=1"),
        ("gpu_oom", {"resources": {"gpus": 1}}, "stages.one.sbatch.constraint=NAME"),
        ("exception", {}, ""),
        ("crash", {}, ""),
    ],
)
def test_what_else_may_not_be_enough(kind: str, options: dict[str, object], override: str) -> None:
    """A batch had twice its time already; of a GPU that is shared, a whole one. Nothing else is a matter of more."""
    assert override == enough(kind, planned(**options), [], None)
