"""Does the simulation catch what is wrong? Each mutant is played until it does: `python -m tests.simulation mutants`.

This process imports hpcurate once and forks a child for each mutant. There a change within functions becomes their
code; one that is also outside of functions is imported: all of hpcurate once more, with the changed files.
"""

from __future__ import annotations

import argparse
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import attrs
import greenlet  # noqa: F401 - imported once, for all children
import msgspec  # noqa: F401

from tests.simulation.checkpoint_mutants import CHECKPOINTING
from tests.simulation.found import FOUND
from tests.simulation.group_mutants import GROUPING
from tests.simulation.keep_mutants import KEEPING
from tests.simulation.mutants import MUTANTS as PROTOCOL
from tests.simulation.mutants import Mutant
from tests.simulation.needs import NEEDS
from tests.simulation.result_mutants import RESULTS
from tests.simulation.retry_mutants import RETRYING

ROOT = Path(__file__).parents[2]
MUTANTS = (*PROTOCOL, *NEEDS, *RETRYING, *KEEPING, *CHECKPOINTING, *RESULTS, *GROUPING)
MOST = 400
"""Episodes that are played with one mutant at most."""
MOST_S = 25.0
"""So long is one looked for at most."""
SIDE_BY_SIDE = 2
SIMULATED = "tests.simulation."


@attrs.define(frozen=True)
class Outcome:
    """What became of a mutant."""

    name: str
    scenario: str
    seed: int = -1
    step: int = 0
    violation: str = ""
    """The invariant that broke, and how; empty: it survived."""
    played: int = 0
    seconds: float = 0.0
    control: str = ""
    """What the code as it is does with the same seed, which has to be nothing."""

    def __str__(self) -> str:
        if not self.violation:
            return f"{self.name:34} SURVIVED {self.played} episodes of {self.scenario!r}, {self.seconds:.1f} s"
        broke = self.violation.partition("\n")[0]
        return f"{self.name:34} {self.scenario:20} seed {self.seed:4}, step {self.step:5}: {broke[:110]}"


# -- the changed code -----------------------------------------------------------------------------------


def changed_sources(mutant: Mutant) -> dict[str, str]:
    """Module → its changed text. Raises ValueError where what is to be changed is not there just once."""
    found: dict[str, str] = {}
    for edit in mutant.edits:
        module = "hpcurate." + edit.file.removesuffix(".py").replace("/", ".")
        text = found.get(module) or (ROOT / "hpcurate" / edit.file).read_text()
        if text.count(edit.old) != 1:
            raise ValueError(f"{mutant.name}: hpcurate/{edit.file} has this {text.count(edit.old)} times:\n{edit.old}")
        found[module] = text.replace(edit.old, edit.new)
    return found


def take_over(sources: dict[str, str]) -> None:
    """From here on this process runs the changed text of these modules, of which it has imported the old one."""
    changed: dict[tuple[str, str], CodeType] = {}
    for module, text in sources.items():
        file = sys.modules[module].__file__ or ""
        found = changed_functions(compile(Path(file).read_text(), file, "exec"), compile(text, file, "exec"))
        if found is None:
            return _import_again(sources)
        changed |= {(file, name): code for name, code in found.items()}
    for one in gc.get_objects():
        if type(one) is FunctionType and (one.__code__.co_filename, one.__code__.co_qualname) in changed:
            one.__code__ = changed[one.__code__.co_filename, one.__code__.co_qualname]
    return None


def changed_functions(old: CodeType, new: CodeType) -> dict[str, CodeType] | None:
    """Name within its module → the new code of what is not nested in another one; None for a change outside. Pure."""
    before, after = list(_functions(old)), list(_functions(new))
    names = [code.co_qualname for code in after]
    if [*_bodies(old)] != [*_bodies(new)] or names != [c.co_qualname for c in before] or len({*names}) < len(names):
        return None
    if any(a.co_freevars != b.co_freevars for a, b in zip(before, after, strict=True)):
        return None
    return {b.co_qualname: b for a, b in zip(before, after, strict=True) if a != b}


def _functions(code: CodeType) -> Iterator[CodeType]:
    """Of a module or the body of a class. The latter is run once: it is what has no local variables of its own."""
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from [inner] if inner.co_flags & inspect.CO_OPTIMIZED else _functions(inner)


def _bodies(code: CodeType) -> Iterator[Any]:
    """What a module and its classes do by themselves, without their functions."""
    plain = [one for one in code.co_consts if not isinstance(one, CodeType)]
    yield code.co_code, code.co_names, plain
    for inner in code.co_consts:
        if isinstance(inner, CodeType) and not inner.co_flags & inspect.CO_OPTIMIZED:
            yield from _bodies(inner)


def _import_again(sources: dict[str, str]) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "hpcurate" or name.startswith(SIMULATED)]:
        del sys.modules[name]
    sys.meta_path.insert(0, Changed(sources))


class Changed(importlib.abc.MetaPathFinder):
    """Finds some modules in a changed form."""

    def __init__(self, sources: dict[str, str]) -> None:
        self._sources = sources

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """See `MetaPathFinder`."""
        if fullname not in self._sources:
            return None
        file = str(ROOT / (fullname.replace(".", "/") + ".py"))
        return importlib.util.spec_from_file_location(fullname, file, loader=_Loader(fullname, file, self._sources))


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, fullname: str, path: str, sources: dict[str, str]) -> None:
        super().__init__(fullname, path)
        self._text = sources[fullname]

    def get_code(self, fullname: str) -> Any:
        return compile(self._text, self.path, "exec", dont_inherit=True)


# -- in a child -----------------------------------------------------------------------------------------


def _play(mutant: Mutant, seed: int, tracing: bool = False) -> Any:
    from tests.simulation.episode import play
    from tests.simulation.plan import Plan, changed
    from tests.simulation.scenarios import plan_of

    plan = plan_of(mutant.scenario, seed) if mutant.scenario else Plan()
    return play(seed, changed(plan, mutant.settings), tracing=tracing)


def hunt(mutant: Mutant, most: int = MOST) -> Outcome:
    """Play with a mutant until it is caught. In a process of its own."""
    take_over(changed_sources(mutant))
    started = time.process_time()
    outcome = Outcome(mutant.name, mutant.scenario)
    for played, seed in enumerate(range(mutant.seed, mutant.seed + most), 1):
        result = _play(mutant, seed)
        outcome = attrs.evolve(outcome, played=played, seconds=time.process_time() - started)
        if result.violation:
            return attrs.evolve(outcome, seed=seed, step=result.steps, violation=result.violation)
        if outcome.seconds > MOST_S:
            break
    return outcome


def controls(caught: Sequence[tuple[Mutant, int]]) -> list[str]:
    """What is found in the code as it is, with the seeds that catch mutants. In a process of its own."""
    return [_play(mutant, seed).violation for mutant, seed in caught]


def trace(mutant: Mutant, seed: int) -> list[str]:
    """What happens with a mutant, line by line. In a process of its own."""
    take_over(changed_sources(mutant))
    result = _play(mutant, seed, tracing=True)
    return [*map(str, result.trace), result.violation]


def _child(answer: Any, function: Any, arguments: tuple[Any, ...]) -> None:
    """Quiet, and without collecting: that would raise into the threads of the dead."""
    gc.disable()
    signal.alarm(int(MOST_S) * 3)
    with open(os.devnull, "w") as nowhere:
        sys.stdout = sys.stderr = nowhere
        try:
            answer.send(function(*arguments))
        except Exception as error:
            answer.send(error)
    answer.close()
    os._exit(0)


# -- all of them ----------------------------------------------------------------------------------------


def in_children(function: Any, each: Sequence[tuple[Any, ...]]) -> list[Any]:
    """What the function returns for each, side by side, in order. One that raised, or died, gives its error."""
    context = multiprocessing.get_context("fork")
    left, running, found = list(enumerate(each)), {}, {}
    while left or running:
        while left and len(running) < SIDE_BY_SIDE:
            number, arguments = left.pop(0)
            here, there = context.Pipe(duplex=False)
            process = context.Process(target=_child, args=(there, function, arguments))
            process.start()
            there.close()
            running[here] = number, process
        for here in wait(list(running)):
            number, process = running.pop(here)  # type: ignore[call-overload]
            try:
                found[number] = here.recv()  # type: ignore[union-attr]
            except EOFError:
                found[number] = RuntimeError("it does not end, or died")
            process.join()
    return [found[number] for number in range(len(each))]


def hunt_all(mutants: Sequence[Mutant], most: int = MOST) -> list[Outcome]:
    """What became of each. A seed in which the code as it is breaks something, too, says nothing of a mutant."""
    found = {one.name: one for one in _hunt_once(mutants, most)}
    for _ in range(3):
        spoilt = [mutant for mutant in mutants if found[mutant.name].violation and found[mutant.name].control]
        again = [attrs.evolve(mutant, seed=found[mutant.name].seed + 1) for mutant in spoilt]
        found |= {one.name: one for one in _hunt_once(again, most)}
    return [found[mutant.name] for mutant in mutants]


def _hunt_once(mutants: Sequence[Mutant], most: int) -> list[Outcome]:
    given = in_children(hunt, [(mutant, most) for mutant in mutants])
    outcomes = [
        one if isinstance(one, Outcome) else Outcome(mutant.name, mutant.scenario, control=repr(one))
        for one, mutant in zip(given, mutants, strict=True)
    ]
    caught = [(mutant, one.seed) for one, mutant in zip(outcomes, mutants, strict=True) if one.violation]
    (found,) = in_children(controls, [(caught,)])
    if isinstance(found, Exception):
        raise found
    said = dict(zip((mutant.name for mutant, _ in caught), found, strict=True))
    return [attrs.evolve(one, control=said.get(one.name, one.control)) for one in outcomes]


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation mutants")
    parser.add_argument("name", nargs="*", help="only those whose names have one of these words")
    parser.add_argument("--scenario", help="only those of scenarios whose names have this word")
    parser.add_argument("--most", type=int, default=MOST, help="episodes for each")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--trace", action="store_true", help="what happened where it was caught")
    parser.add_argument("--found", action="store_true", help="what was wrong once, instead")
    given = parser.parse_args()
    mutants = [
        m for m in (FOUND if given.found else MUTANTS) if not given.name or any(word in m.name for word in given.name)
    ]
    mutants = [mutant for mutant in mutants if (given.scenario or "") in mutant.scenario]
    started = time.monotonic()
    importlib.import_module("tests.simulation.array")
    outcomes = hunt_all(mutants, given.most)
    if given.json:
        print(json.dumps([attrs.asdict(one) for one in outcomes]))
        return 0
    for one, mutant in zip(outcomes, mutants, strict=True):
        if given.trace and one.violation:
            print("\n".join(in_children(trace, [(mutant, one.seed)])[0]))
        print(one, *([f"\n    WITHOUT IT, TOO: {one.control}"] if one.control else []))
    left = [one for one in outcomes if not one.violation or one.control]
    print(f"{len(outcomes) - len(left)} of {len(outcomes)} mutants caught; {time.monotonic() - started:.1f} s")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
