"""A run over films: each has a story that ends in another way."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import attrs
from story_stages import Film, Halve, Look, Publish, Split, Whole

import hpcurate
from hpcurate import Chain, Step
from hpcurate.planning.options import StageOptions
from hpcurate.report.run_view import RunView
from hpcurate.report.story import Story
from hpcurate.report.trace import Trace, trace
from hpcurate.runs.folder import Run

FILMS = {"a/one.mp4": 4, "b/one.mp4": 2, "none.mp4": 0, "bad.mp4": 13, "<b>\n\udcff.mp4": 2}


@attrs.define
class Films:
    """A run, and its folder."""

    folder: Path
    run: Run

    def trace(self, wanted: str) -> Trace:
        """Look anew."""
        return trace(RunView(self.run), wanted)

    def lines(self, stage: str) -> list[bytes]:
        """Rows of a stage as they are on disk, in the order of its shards."""
        found = sorted(Path(self.run.store.root).glob(f"stages/{stage}-*/shards/*/[!.]*/tasks.jsonl"))
        return [line for path in found for line in path.read_bytes().splitlines()]

    def story(self, wanted: str) -> Story:
        """The only one."""
        [story] = self.trace(wanted).stories
        return story


def film_run(folder: Path, store: Path | None = None, **more: Any) -> Films:
    """Five films: four and two scenes, none, one that fails, one with an odd name; two films in a shard."""
    (folder / "out").mkdir(exist_ok=True)
    two, out, store = StageOptions(shard_tasks=2, batch_size=2), str(folder / "out"), store or folder / "store"
    stages = {
        "split": Step(Split(str(folder / "bug")), two),
        "look": Step(Chain([Look(), Halve()]), two),
        "publish": Step(Publish(out), StageOptions(batch_size=100)),
        "whole": Whole(),
    }
    films = [Film(id=f"film-{name[:5]}", source=name, scenes=count) for name, count in FILMS.items()]
    budget = hpcurate.Budget(failed=9)
    return Films(
        folder, hpcurate.run(stages, films, store=store, launcher="inline", output=out, budget=budget, **more).run
    )


def copy_of(films: Films, folder: Path) -> Path:
    """The same store once more."""
    return Path(shutil.copytree(films.run.store.root, folder / "store", symlinks=True))
