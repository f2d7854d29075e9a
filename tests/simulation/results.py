"""Results and needs in the simulation: what one stage has returned is a parameter of another, and a third waits for it.

`double` → `collect` (the sum of all), `double` → `shift` (adds that sum), `double` → `late` (needs `shift`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from hpcurate.planning.results import digest_of
from hpcurate.results import Result
from tests.simulation.filesystem import Disk, Node
from tests.simulation.kernel import Violation

if TYPE_CHECKING:
    from tests.simulation.truth import Truth

STAGES = ("double", "collect", "shift", "late")
SUM = Result("collect", "value")
WAITS_FOR = {"shift": "collect", "late": "shift"}
"""Of which a stage reads nothing."""
READS = {"shift": "double", "late": "double"}
"""Stages that do not read the one before them."""


def sum_of(disk: Disk, store: str, results: str) -> int:
    """The value that a digest names: one that `collect` has returned at some time. Raises Violation."""
    for folder in disk.listed(f"{store}/stages"):
        for name, node in disk.below(f"{store}/stages/{folder}") if folder.startswith("collect-") else ():
            for line in node.data.splitlines() if name.endswith("/tasks.jsonl") else ():
                value = json.loads(line)["value"]
                if digest_of({SUM: value}) == results:
                    return int(value)
    raise Violation(f"I10: a shard is made for a result {results!r} that nobody has returned")


@attrs.define(eq=False)
class Needs:
    """Watches one store: who waits for a stage begins after it, and a round works with the value of its lists."""

    truth: Truth

    def __attrs_post_init__(self) -> None:
        self.truth.disk.hooks.append(self.heard)

    def heard(self, what: str, names: list[str], node: Node | None) -> None:
        """One change: see `Truth.heard`."""
        if names[1] != self.truth.store[1:] or node is None or not node.data:
            return
        if len(names) == 7 and names[2] == "runs" and names[6] == "plan.json":
            self._submitted(json.loads(node.data))
        elif len(names) == 6 and names[2] == "stages" and names[4] == "lists" and names[5][0] != ".":
            self._listed(names[3], names[5])

    def _submitted(self, plan: Mapping[str, Any]) -> None:
        """What the plan has is the value of every line that its workers will see."""
        stage = plan["stage"]
        value = stage["spec"]["parameters"].get("total", {}).get("$result", {}).get("value")
        should = "" if value is None else digest_of({SUM: value})
        if should != plan["results"] or (stage["name"] == "shift") is not bool(should):
            raise Violation(f"I3: the plan of {stage['name']} has {value!r}, and is for {plan['results']!r}")
        path = f"{self.truth.store}/stages/{stage['folder']}/lists"
        for name in plan["lists"]:
            found = {line.get("results", "") for line in self._lines(f"{path}/{name}.jsonl")}
            if found - {should}:
                raise Violation(f"I3: a round of {stage['name']} with {value!r} has list {name}, which is for {found}")

    def _listed(self, folder: str, name: str) -> None:
        """A list of the stage that it waits for is complete."""
        needed, stages = WAITS_FOR.get(folder.rpartition("-")[0]), f"{self.truth.store}/stages"
        if needed is None or self.truth.mayhem:
            return
        for other in self.truth.disk.listed(stages):
            for path, _ in self.truth.disk.below(f"{stages}/{other}/lists") if other.startswith(f"{needed}-") else ():
                lines = list(self._lines(f"{stages}/{other}/lists/{path}")) if path[0] != "." else []
                if lines and all(self.truth.stats(other, line["id"]) for line in lines):
                    return
        raise Violation(f"I10: list {name} of {folder} is written, and no list of {needed} is complete")

    def _lines(self, path: str) -> Iterator[dict[str, Any]]:
        node = self.truth.disk.find(path)
        yield from (json.loads(line) for line in (node.data if node else b"").splitlines() if line)
