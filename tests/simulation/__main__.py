"""`python -m tests.simulation`: play many episodes, or one again.

python -m tests.simulation run [--scenario NAME]... [--seeds 0:500] [--processes 2]
python -m tests.simulation replay --scenario NAME --seed N [--shrink]
python -m tests.simulation replay --seed N --set tasks=2 --set kills=1 ...
python -m tests.simulation mutants [NAME]... [--trace]
python -m tests.simulation coverage [--scenario NAME]... [--seeds 0:12]
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import os
import sys
from collections import Counter

import attrs

from tests.simulation.campaign import many, tasks_of
from tests.simulation.episode import Result, play
from tests.simulation.plan import Plan
from tests.simulation.scenarios import SCENARIOS, plan_of
from tests.simulation.shrinking import settings_of, shrink


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="play many episodes")
    run.add_argument("--scenario", action="append", choices=sorted(SCENARIOS))
    run.add_argument("--seeds", default="0:200", help="from:to")
    run.add_argument("--processes", type=int, default=2)
    replay = verbs.add_parser("replay", help="play one again, and print what happened")
    replay.add_argument("--scenario", choices=sorted(SCENARIOS))
    replay.add_argument("--seed", type=int, required=True)
    replay.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    replay.add_argument("--shrink", action="store_true")
    replay.add_argument("--quiet", action="store_true", help="no trace")
    verbs.add_parser("mutants", help="small wrong changes, each of which has to be caught", add_help=False)
    verbs.add_parser("coverage", help="which branches of the protocol are reached", add_help=False)
    apart = {"mutants": "hunting", "coverage": "branches"}  # in a process that has imported nothing of hpcurate
    if sys.argv[1:] and sys.argv[1] in apart:
        os.execv(sys.executable, [sys.executable, "-m", f"tests.simulation.{apart[sys.argv[1]]}", *sys.argv[2:]])
    given = parser.parse_args()
    return _run(given) if given.verb == "run" else _replay(given)


def _run(given: argparse.Namespace) -> int:
    low, _, high = given.seeds.partition(":")
    tally = many(tasks_of(given.scenario or list(SCENARIOS), range(int(low), int(high))), given.processes)
    print(tally)
    for what, count in Counter(one.violation.partition("\n")[0][:60] for one in tally.violations).most_common():
        first = next(one for one in tally.violations if one.violation.startswith(what))
        print(f"{count} × {first.violation[:600]}")
        print(f"   python -m tests.simulation replay --scenario {first.scenario!r} --seed {first.seed}")
    return 1 if tally.violations else 0


def _replay(given: argparse.Namespace) -> int:
    gc.disable()
    plan = plan_of(given.scenario, given.seed) if given.scenario else Plan()
    plan = attrs.evolve(plan, **dict(_setting(text) for text in given.set))
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        result = play(given.seed, plan)
        if given.shrink and result.violation:
            result = shrink(result)
        result = play(result.seed, result.plan, tracing=True)
    if not given.quiet:
        for event in result.trace:
            print(event)
    print_result(result)
    return 1 if result.violation else 0


def print_result(result: Result) -> None:
    """What became of an episode, and how to play it again."""
    print(f"\n{result.violation or 'all is well'}")
    print(f"{result.steps} steps, {result.seconds:.0f} s, interleaving {result.interleaving:08x}")
    print(f"python -m tests.simulation replay --seed {result.seed} {settings_of(result.plan)}")


def _setting(text: str) -> tuple[str, object]:
    name, _, value = text.partition("=")
    kind = type(getattr(Plan(), name))
    if kind is bool:
        return name, value == "True"
    return name, tuple(value.split("+")) if kind is tuple else kind(value)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # threads of the dead are not collected
