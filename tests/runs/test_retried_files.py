"""Retrying input files that were repaired: tried as they are now, said, and never mixed with what they were."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from retry_stages import Read, Upper

import hpcurate
from hpcurate import Retry
from hpcurate.errors import StoreError
from hpcurate.source import Files


@attrs.define
class Bench:
    """Three files and a store."""

    folder: Path
    said: list[str] = attrs.field(factory=list)

    def write(self, **texts: str) -> None:
        """Files of these names."""
        (self.folder / "in").mkdir(exist_ok=True)
        for name, text in texts.items():
            (self.folder / "in" / f"{name}.txt").write_text(text)

    def run(self, **options: object) -> hpcurate.Outcome:
        """The command."""
        self.said.clear()
        told = {"launcher": "inline", "store": self.folder / "store", "echo": self.said.append}
        stages = [Read(), Upper(str(self.folder / "flag"))]
        return hpcurate.run(stages, Files(str(self.folder / "in")), **{**told, **options})  # type: ignore[arg-type]

    def texts(self) -> set[str]:
        """All rows of the last stage."""
        rows = self.folder.glob("store/stages/upper-*/shards/*/[!.]*/tasks.jsonl")
        return {line.partition('"text":"')[2].partition('"')[0] for path in rows for line in path.open()}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """One of its files is broken."""
    made = Bench(tmp_path)
    made.write(a="a", b="broken", c="c")
    return made


def test_a_repaired_file_is_tried_as_it_is_now(bench: Bench) -> None:
    """And the next command does not call its result an old one; edited once more, it does."""
    assert 1 == bench.run().summary["stages"]["read"]["failed"]
    bench.write(b="good")
    assert 0 == bench.run(retry=Retry()).summary["stages"]["read"]["failed"]
    assert "read: 1 changed since they were taken in, e.g. 'b.txt'; tried as they are now" in bench.said
    assert {"Aa", "Cc", "GOODgood"} == bench.texts()
    bench.run()
    expected = "input: 1 item changed since they were taken in, e.g. 'b.txt'; a retry has tried them as they are now"
    assert expected in bench.said
    bench.write(b="once more", a="other")
    bench.run()
    assert any(line.startswith("input: 2 items changed") and "old results stay" in line for line in bench.said)


def test_a_repaired_file_that_is_done_again_is_not_counted_twice(bench: Bench) -> None:
    """With changed=redo its row is another one: what was retried of the old one is part of the run no more."""
    bench.run()
    bench.write(b="good")
    bench.run(retry=Retry())
    outcome = bench.run(changed="redo")
    assert (3, 3, 0) == tuple(outcome.summary["stages"]["upper"][key] for key in ("in", "out", "failed"))


def test_a_later_stage_does_not_mix_two_contents_of_a_file(bench: Bench) -> None:
    """What was read of the old one would meet what is read of the new one."""
    bench.write(b="b")
    (bench.folder / "flag").touch()
    bench.run()
    (bench.folder / "flag").unlink()
    bench.write(b="changed")
    assert 1 == bench.run(retry=Retry()).summary["stages"]["upper"]["failed"]
    why = "upper: 1 not tried, e.g. 'b.txt': it was changed after the stages before had read it; type the run's command"
    assert f"{why} with changed=redo" in bench.said
    assert {"Aa", "Cc"} == bench.texts()
    with pytest.raises(StoreError, match="it was changed after the stages before had read it"):
        bench.run(retry=Retry())


def test_what_a_retry_has_read_of_a_repaired_file_is_no_mix(bench: Bench) -> None:
    """The first stage has read the file as it is: a later one may be tried."""
    bench.run()
    bench.write(b="good")
    (bench.folder / "flag").touch()
    bench.run(retry=Retry())
    (bench.folder / "flag").unlink()
    bench.run(retry=Retry(stage="upper"))
    assert {"Aa", "Cc", "GOODgood"} == bench.texts()
