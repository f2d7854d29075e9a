"""What a command declares, and whether it can ever run. Pure. Python 3.9 or newer."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from itertools import permutations
from typing import Any

import attrs

from hpcurate.errors import ConfigError, PipelineError
from hpcurate.fields import suggestion
from hpcurate.programs.placeholders import names_in
from hpcurate.results import result_of
from hpcurate.secrets import SYMBOL
from hpcurate.spec import Given
from hpcurate.stage_process.records import BASE, TYPES
from hpcurate.stage_process.surroundings import SURROUNDINGS

__all__ = ["OWN", "Declared", "arguments_of", "as_text", "is_literal"]

OWN = {
    "values": "a file where the program writes one JSON object with the declared values",
    "tasks": "a file with the tasks of the batch, a line of JSON each",
    "returned": "a file where the program writes the tasks that it returns, a line of JSON each",
    "cpus": "cores that it may use",
    "gpus": "GPUs that it may use",
    "scratch": "an empty folder on the node's own disk, the current one, removed afterwards",
    **SURROUNDINGS,
}
"""Placeholders that are no name of a task: each with what stands for it."""
OUT = "out."
SHELLS = ("sh", "bash", "dash", "zsh", "ksh")
PLAIN_NUMBERS = frozenset(["cpus", "gpus", "nodes", "port"])
"""Placeholders that may stand in a script."""


@attrs.define(frozen=True, kw_only=True)
class Declared:
    """The parameters of a `Command`, as it has them."""

    argv: Sequence[str]
    variables: dict[str, str]
    outputs: dict[str, str]
    values: dict[str, str]
    drop_on: frozenset[int]
    gather: bool
    returns: str
    placeholders: tuple[str, ...] = attrs.field(init=False)
    """All names in `argv` and `variables`, in order."""

    @placeholders.default
    def _placeholders(self) -> tuple[str, ...]:
        parts = [part for part in (*self.argv, *self.variables.values()) if not is_literal(part)]
        return tuple(dict.fromkeys(name for part in parts for name in names_in(part)))

    @property
    def batch(self) -> bool:
        """Whether it runs once for several tasks, each with outputs of its own."""
        return "tasks" in self.placeholders and not self.gather

    @property
    def returned(self) -> bool:
        """Whether it says itself which tasks go out."""
        return "returned" in self.placeholders

    @property
    def records(self) -> bool:
        """Whether it makes more of a task than it was."""
        return bool(self.outputs or self.values or self.returned)

    def check(self) -> None:
        """Raise ConfigError for what could never run."""
        self._check_names()
        self._check_shells()
        for name, kind in self.values.items():
            if kind not in TYPES:
                raise ConfigError(f"values.{name}={kind!r}: there is no such type; there are: {', '.join(TYPES)}")
        for name, path in self.outputs.items():
            if path.startswith("/") or {"", ".", ".."} & set(path.rstrip("/").split("/")):
                raise ConfigError(f"outputs.{name}={path!r}: a relative path is expected, such as {name}.bin")
        if len({path.rstrip("/") for path in self.outputs.values()}) < len(self.outputs):
            raise ConfigError("outputs: two of them have one path")
        for name, above in permutations(self.outputs, 2):
            if self.outputs[name].startswith(self.outputs[above].rstrip("/") + "/"):
                raise ConfigError(
                    f"outputs.{name}: {self.outputs[name]!r} lies within outputs.{above}; keep them apart"
                )
        for code in self.drop_on:
            if not 0 < code < 256:
                raise ConfigError(f"drop_on={code}: exit codes from 1 to 255 can drop; 0 means that the work is done")
        self._check_placeholders()

    def _check_names(self) -> None:
        for key, names in (("values", self.values), ("outputs", self.outputs)):
            for name in names:
                if not name.isidentifier():
                    raise ConfigError(f"{key}.{name}: letters, digits and _ make a name that can stand in braces")
                if name in {*OWN, *BASE, "out", "files"}:
                    raise ConfigError(f"{key}.{name}: that name is taken; choose another")
        for name in self.values.keys() & self.outputs.keys():
            raise ConfigError(f"outputs.{name}: a value has that name, too; choose another")

    def _check_shells(self) -> None:
        """A shell takes text of a task apart, and runs what is in it."""
        for place, (program, option, script) in enumerate(zip(self.argv, self.argv[1:], self.argv[2:])):
            shell, runs = os.path.basename(program), re.fullmatch("-[a-z]*c", option)
            names = [] if is_literal(script) else [name for name in names_in(script) if name not in PLAIN_NUMBERS]
            if shell in SHELLS and runs and names:
                name = f"{{{names[0]}}}"
                raise ConfigError(
                    f"argv[{place + 2}]: {shell} would take {name} apart, and run what is in it; make it "
                    f'an argument of the script: [{shell}, -c, \'wc -l "$1"\', {shell}, "{name}"]'
                )

    def _check_placeholders(self) -> None:
        names = self.placeholders
        outputs = [name[len(OUT) :] for name in names if name.startswith(OUT)]
        for name in outputs:
            if name not in self.outputs:
                raise ConfigError(f"argv: {{out.{name}}}: there is no such output; {suggestion(name, self.outputs)}")
        if self.batch and (outputs or "values" in names):
            raise ConfigError(
                "argv: with {tasks} the program runs once for several tasks: each line there has under `out` where its "
                "outputs belong, and values stand in the lines of {returned}"
            )
        if self.batch and "checkpoint" in names:
            raise ConfigError("argv: {checkpoint} is that of one task, and with {tasks} the program runs for several")
        for name in self.outputs:
            if name not in outputs and not self.batch:
                raise ConfigError(f"outputs.{name}: the program does not get its path; put {{out.{name}}} in argv")
        if "values" in names and (not self.values or self.returned):
            why = "values stand in the lines of {returned}" if self.returned else "declare them: values={name: type}"
            raise ConfigError(f"argv: {{values}}: {why}")
        if self.values and not {"values", "returned"} & set(names):
            where = "{returned}" if self.batch else "{values}"
            raise ConfigError(f"values: the program does not get the path where to write them; put {where} in argv")
        if self.returns and not self.returned:
            raise ConfigError("returns: the program does not get the path where to write tasks; put {returned} in argv")

    # -- in a pipeline --------------------------------------------------------------------------------

    def check_known(self, known: Collection[str] | None) -> None:
        """Whether each name stands for something, of tasks that have these; None: not known. Raises PipelineError."""
        for name in self.placeholders:
            if known is None or name.startswith(OUT):
                continue
            if name in OWN and name in known:
                raise PipelineError(f"argv: {{{name}}} is {OWN[name]}, and a field of the tasks, too; rename the field")
            if name not in OWN and name not in known:
                there = ", ".join(f"{{{one}}}" for one in (*sorted(known), *OWN))
                close = suggestion(name, [*known, *OWN])
                hint = f"{close} " if close.startswith("did") else ""
                raise PipelineError(f"argv: {{{name}}} stands for nothing; {hint}there are: {there}")

    def known_after(self, known: Collection[str] | None) -> frozenset[str] | None:
        """Names that its Records have, where tasks with these come in; None: not known."""
        return None if known is None or self.returned else frozenset([*known, *self.values, *self.outputs])


def is_literal(part: str) -> bool:
    """Whether it is no text with places: a value of the environment, a result, or what stands for either."""
    return isinstance(part, Given) or bool(SYMBOL.fullmatch(part)) or result_of(part) is not None


def arguments_of(argv: Any) -> list[str]:
    """A list of texts. Raises ConfigError."""
    if isinstance(argv, str):
        raise ConfigError(f"argv={argv!r}: a list of arguments is expected, as no shell takes it apart: {argv.split()}")
    if not isinstance(argv, (list, tuple)) or not argv or argv[0] == "":
        raise ConfigError('argv: a list of arguments is expected, the program first: ["ffmpeg", "-i", "{path}"]')
    return [as_text(f"argv[{place}]", part) for place, part in enumerate(argv)]


def as_text(key: str, value: Any) -> str:
    """A text, or a number as one. Raises ConfigError."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or "\0" in str(value):
        bare = isinstance(value, dict) and len(value) == 1 and set(value.values()) == {None}  # {path} in YAML
        quoted = f'; write "{{{next(iter(value))}}}" in quotes' if bare else ""
        raise ConfigError(f"{key}={value!r}: a text or a number is expected{quoted}")
    return value if isinstance(value, str) else str(value)
