"""Near duplicates of texts, by MinHash and bands: texts that share most of their runs of words.

sign → bands → candidates → components → near: a text's signature is cut into bands; texts that agree in a band are
compared; pairs that are alike make components; of each the longest text is kept.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import attrs

from hpcurate import GroupStage, Resources, Stage, Task, WorkerInfo
from hpcurate.errors import ConfigError
from hpcurate.spec import InputFile
from stages.dedup.components import components, links, longest
from stages.dedup.earlier import Earlier
from stages.dedup.kept import check_lists
from stages.dedup.signatures import Signing, Unit, band_keys, signatures, similarities, sketch, sketch_rows
from stages.texts.tasks import TextTask

ALONE = "no other text in its band"
UNLIKE = "no text in its band is alike"
NEAR = "near duplicate of another"
EARLIER = "near duplicate of one of an earlier run"


@attrs.define(frozen=True, kw_only=True)
class Signed:
    """What is needed of a text to compare it."""

    text: str
    """Its id."""
    length: int
    """Characters."""
    sketch: str
    """See `stages.dedup.signatures`."""


@attrs.define(kw_only=True)
class BandTask(Task):
    """One band of a text's signature."""

    band: str
    """Number and digest: the same for texts that agree in all of its rows."""
    of: Signed


@attrs.define(kw_only=True)
class PairTask(Task):
    """Two texts that are alike."""

    one: Signed
    other: Signed
    similarity: float


@attrs.define(kw_only=True)
class VerdictTask(Task):
    """A text that is not kept; its id is the text's."""

    twin: str
    """Id of the one that is kept."""
    similarity: float
    """Estimated, with the one that is kept. Below the threshold where others stand between them."""
    members: int
    """How many texts belong together."""


class Sign(Stage[TextTask, TextTask]):
    """Give each text its MinHash signature; drop what is like a text that an earlier run kept."""

    resources = Resources(cpus=1, memory="2GB", time="2h")
    batch_size = 1000
    version = 1

    def __init__(
        self,
        unit: Unit = "words",
        n: int = 5,
        bands: int = 14,
        rows: int = 8,
        seed: int = 1,
        threshold: float = 0.75,
        against: list[InputFile] | None = None,
    ) -> None:
        """Set what is compared. The defaults are those of FineWeb (Penedo et al. 2024, section 3.4).

        Args:
            unit: `words`, or `characters` for languages that put no spaces between words.
            n: words, or characters, that stand side by side in a shingle.
            bands: of a signature. Texts are compared if they agree in one: with similarity s the probability is
                1 - (1 - s^rows)^bands, at the defaults 92 % for 0.8, 77 % for 0.75, 5 % for 0.5.
            rows: numbers of a band. A signature has bands times rows.
            seed: of the signatures.
            threshold: similarity with a text of `against` from which one is dropped.
            against: lists that earlier runs have published (`dedup/kept.parquet`); all in memory, 0.6 GB for a million.
        """
        self.how = Signing(unit, n, bands, rows, seed)
        self.threshold = _share(threshold)
        self.against = against or []
        check_lists(self.against)

    @cached_property
    def _earlier(self) -> Earlier | None:
        return Earlier(self.against, self.how) if self.against else None

    def setup(self, worker: WorkerInfo) -> None:
        """Read the earlier lists."""
        _ = self._earlier

    def process(self, tasks: list[TextTask]) -> list[TextTask]:
        """The same texts, signed, without those that were there before."""
        for task, signature in zip(tasks, signatures([task.text for task in tasks], self.how)):
            task.signature, task.how = signature, self.how.name
        return [task for task in tasks if self._is_new(task)]

    def _is_new(self, task: TextTask) -> bool:
        twin = self._earlier.like(task.signature) if self._earlier else None
        if twin is None or twin[1] < self.threshold:
            return True
        self.drop(task, EARLIER, value=f"{twin[0]} ({twin[1]})", measure="twin")
        return False


class Bands(Stage[TextTask, BandTask]):
    """A small task for each band of each text. A text without a signature has none."""

    resources = Resources(cpus=1, memory="1GB", time="1h")
    batch_size = 1000
    version = 1

    def __init__(self, bands: int = 14) -> None:
        """Set how many.

        Args:
            bands: as for `Sign`.
        """
        self.bands = bands

    def process(self, tasks: list[TextTask]) -> list[BandTask]:
        """`bands` times as many."""
        return [band for task in tasks for band in self._bands(task)]

    def _bands(self, task: TextTask) -> list[BandTask]:
        if not task.signature:
            self.drop(task, "no words to compare")
            return []
        of = Signed(text=task.id, length=len(task.text), sketch=sketch(task.signature))
        return [self.child(task, BandTask, band=key, of=of) for key in band_keys(task.signature, self.bands)]


class Candidates(GroupStage[BandTask, PairTask]):
    """Compare the texts that agree in a band: pairs that are at least `threshold` alike.

    Of these, as many as connect what belongs together. Most bands have one text, and are dropped here.
    """

    group_by = "band"
    brief_drops = True
    resources = Resources(cpus=1, memory="4GB", time="2h")
    version = 1

    def __init__(self, threshold: float = 0.75) -> None:
        """Set what is alike.

        Args:
            threshold: estimated Jaccard similarity of two texts' shingles, 0 … 1. The default is what FineWeb's bands
                are made for; those of NeMo Curator are made for 0.8.
        """
        self.threshold = _share(threshold)

    def process_group(self, key: str, tasks: list[BandTask]) -> list[PairTask]:
        """Pairs; tasks in none of them are dropped."""
        if len(tasks) == 1:
            self.drop(tasks[0], ALONE)
            return []
        tasks = sorted(tasks, key=lambda task: task.of.text)
        found, nearest = links(sketch_rows([task.of.sketch for task in tasks]), self.threshold)
        paired = {number for one, other, _ in found for number in (one, other)}
        for number, task in enumerate(tasks):
            if number not in paired:
                self.drop(task, UNLIKE, value=nearest[number], threshold=self.threshold, measure="similarity")
        return [
            self.child([tasks[one], tasks[other]], PairTask, one=tasks[one].of, other=tasks[other].of, similarity=value)
            for one, other, value in found
        ]


class Components(Stage[PairTask, VerdictTask]):
    """Connect the pairs, and keep the longest text of each component, of equals the one with the least id.

    All pairs are in memory: about 4 GB for a million of them.
    """

    gather = True
    resources = Resources(cpus=1, memory="16GB", time="4h")
    version = 1

    def process(self, tasks: list[PairTask]) -> list[VerdictTask]:
        """A verdict for each text that is not kept."""
        texts = {end.text: end for task in tasks for end in (task.one, task.other)}
        pairs = dict[str, list[PairTask]]()
        for task in tasks:
            for text in (task.one.text, task.other.text):
                pairs.setdefault(text, []).append(task)
        found = components((task.one.text, task.other.text) for task in tasks)
        return [self._verdict(pairs[fields["id"]], fields) for fields in verdicts(found, texts)]

    def _verdict(self, pairs: list[PairTask], fields: dict[str, Any]) -> VerdictTask:
        return self.child(pairs, VerdictTask, **fields)


class NearDuplicates(GroupStage[TextTask | VerdictTask, TextTask]):
    """Join texts and verdicts by id: texts without a verdict are kept."""

    resources = Resources(cpus=1, memory="2GB", time="1h")
    version = 1

    def process_group(self, key: str, tasks: list[TextTask | VerdictTask]) -> list[TextTask]:
        """The text if it is kept."""
        texts = [task for task in tasks if isinstance(task, TextTask)]
        verdicts = [task for task in tasks if isinstance(task, VerdictTask)]
        for verdict in verdicts:
            self.drop(verdict, "verdict of a text")
            for text in texts:
                self.drop(text, NEAR, value=f"{verdict.twin} ({verdict.similarity})", measure="twin")
        return [] if verdicts else [self.child(text, type(text), id=key, **_fields(text)) for text in texts]


def verdicts(found: list[list[str]], texts: dict[str, Signed]) -> list[dict[str, Any]]:
    """Fields of the verdicts of some components, by id. Pure."""
    rows = [row for members in found for row in _verdicts([texts[member] for member in members])]
    return sorted(rows, key=lambda row: str(row["id"]))


def _verdicts(members: list[Signed]) -> list[dict[str, Any]]:
    kept = longest([(member.length, member.text) for member in members])
    rows = sketch_rows([member.sketch for member in members])
    alike = similarities(rows[kept], rows)
    return [
        {
            "id": member.text,
            "twin": members[kept].text,
            "similarity": round(float(alike[number]), 4),
            "members": len(members),
        }
        for number, member in enumerate(members)
        if number != kept
    ]


def _fields(text: TextTask) -> dict[str, Any]:
    """All that a copy of a text has, but its id and parents."""
    return {f.alias: getattr(text, f.name) for f in attrs.fields(type(text)) if f.name not in ("id", "parents")}


def _share(threshold: float) -> float:
    if not 0 < threshold <= 1:
        raise ConfigError(f"threshold: {threshold}: expected more than 0 and at most 1")
    return threshold
