"""What a command means stays what it meant: names of runs and stage folders as stores of earlier versions have them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from shell import Shell

from hpcurate.cli.start.launch import read_request
from hpcurate.cli.start.overrides import sort_arguments
from hpcurate.planning.pipeline import Pipeline
from hpcurate.runs.folder import UNNAMED, run_identity
from hpcurate.runs.prepare import Request

OUTPUT = "/store/runs/R/output"
WORDS, VIDEO = ["+pipeline=words"], ["+pipeline=video", "input=/data/videos"]
IN_VIDEO = ["probe-a736bbe865fe", "split-c4f81fd88738", "clips-1d15d7e308fb"]
PINNED = [
    (WORDS, "4738801d1c1570fd", "source-788ba475d09d", ["lower_case-a123f40cea8a", "show-1695886310f4", "word_count-ef537e492392"]),
    ([*WORDS, "limit=2"], "824206d5f2309998", "source-788ba475d09d", ["lower_case-a123f40cea8a", "show-1695886310f4", "word_count-ef537e492392"]),
    ([*WORDS, "part=0/2"], "d51f27592350045b", "source-a86d977013d2", ["lower_case-9ba909ec75c6", "show-74c153c87ece", "word_count-1591f3962cd2"]),
    (VIDEO, "3d9caf6e43f1506e", "source-26c262e80b6d", [*IN_VIDEO, "write-9fbe86632089", "index-3e46d3805e57"]),
    ([*VIDEO, "output=/data/out"], "1c67c015e329d62a", "source-26c262e80b6d", [*IN_VIDEO, "write-398e7201d397", "index-d5e0682576bf"]),
    (
        [*VIDEO, "stages.split.method=stride", "stages.motion.threshold=0.5"], "66a6bce5486b7a7a", "source-26c262e80b6d",
        ["probe-a736bbe865fe", "split-2528a9b24006", "clips-d071ab20a706", "write-286a11a4a805", "index-cac6b7925192"],
    ),
    (
        ["+pipeline=frames", "input=/data/videos", "part=0/4,1/2"], "9c18c041f13a5fea", "source-e356d2c647c3",
        ["probe-51453a2562ba", "split-140a7bc74ebc", "frames-9873d8c73710", "write-03a59cbbe5ac"],
    ),
]  # fmt: skip
"""(command, digest that names the run, folder of the source, folders of the stages), computed by hpcurate 0.1.0 before
`part` was called so; the run's own output folder being OUTPUT. Those of clips, write and index are newer: since these
stages write the names that Cosmos-Curate has, they have the version 2."""


def pipeline_of(request: Request, output: str) -> Pipeline:
    """The pipeline that writes to this folder, or to the one that was named."""
    return request.build(request.steps(request.output or output))


@pytest.mark.parametrize(("words", "identity", "source", "folders"), PINNED)
def test_the_same_command_is_the_same_run_in_the_same_folders(
    words: Sequence[str], identity: str, source: str, folders: list[str]
) -> None:
    """A change here would do the work of every store again."""
    request, _ = read_request(sort_arguments([*words, "store=/nowhere/store", "launcher=local"]))
    assert identity == run_identity(pipeline_of(request, UNNAMED), request.output, request.limit)[:16]
    made = pipeline_of(request, OUTPUT)
    assert (source, folders) == (made.source.folder, [stage.folder for stage in made.stages])


def test_a_stage_that_writes_and_is_done_again_stays_done(shell: Shell) -> None:
    """Its epoch is recorded for the pipeline with the run's own output, not only for the one without a name."""
    (shell.cwd / "conf" / "pipeline").mkdir(parents=True)
    (shell.cwd / "conf" / "pipeline" / "records.yaml").write_text(
        "# @package _global_\nname: records\nsource: {_target_: hpcurate.source.Files, path: '${input}'}\n"
        "stages:\n  write: {_target_: stages.files.WriteJson, output: '${output}'}\n"
    )
    words = ["+pipeline=records", f"input={shell.cwd / 'conf'}"]
    shell.inline(*words)
    shell.inline(*words, "rerun=write")
    assert "nothing to do" in shell.inline(*words).stderr
    assert 2 == len(list(shell.store.glob("stages/write-*")))
