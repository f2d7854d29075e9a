#!/usr/bin/env python3
"""What starting costs: `benchmarks/startup.py [--opens] [--slurm]`.

Whole processes, in turns: bare imports of Hydra and submitit (the peers), what `hpcurate` imports for a submission, a
gate and a worker, and a real gate of a complete run on Slurm, which looks and submits nothing. The first turn fills the
caches of disk and bytecode, and does not count. Not equal: the imports of a submission have read no configuration yet,
and a peer has nothing of its own to look at. Ours put off the interpreter's search for garbage, as our processes do.

`--opens`: the calls with paths of the frozen code and of the rest of the store until 1, 4 and 16 workers on one node
have left a round that is done, counted with strace, beside the same code imported file by file.

`--slurm`: seconds from sbatch's answer to the first claim of the last of 16 workers, beside an array of 16 bare
interpreters that each write a file. Needs scripts/dev-slurm up; eval "$(scripts/dev-slurm env)".
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from bench_stages import Sleep, TimedNap
from rounds import ENVIRONMENT, Command, Way, in_turns, parser, ratios, scratch, table

import hpcurate
from hpcurate.planning.build import Step
from hpcurate.planning.options import StageOptions
from hpcurate.start import module_command

HYDRA = "`import hydra`"
BOTH = "`import hydra, submitit`"
SUBMISSION, GATE, SUPERVISOR = "imports of a submission", "imports of a gate", "imports of a worker"
REAL = "a gate that submits nothing"
OURS = "from hpcurate.system import garbage; garbage.put_off(); import {}; garbage.left_to_the_end()"
"""As each of our processes starts and ends."""
LATE = "hpcurate.source.files, launchers.slurm.launcher, launchers.slurm.preflight, launchers.slurm.refusals"
"""What a submission of files to Slurm imports where it uses it."""
IMPORTS = {
    "`pass`": "pass",
    HYDRA: "import hydra",
    BOTH: "import hydra, submitit",
    SUBMISSION: OURS.format(f"hydra, omegaconf, submitit.slurm.slurm, hpcurate.cli.start.launch, {LATE}"),
    GATE: OURS.format("hpcurate.runs.gate"),
    SUPERVISOR: OURS.format("hpcurate.worker.supervisor"),
}
"""What is timed → the program."""
PEERS = {SUBMISSION: BOTH, GATE: HYDRA, SUPERVISOR: HYDRA, REAL: HYDRA}
MEMORY = "100MB"


def done_run(folder: Path) -> tuple[str, str]:
    """(run folder, frozen code) of a complete run of one stage."""
    naps = [TimedNap(id=f"n{n}", seconds=0.0) for n in range(4)]
    options = StageOptions(shard_tasks=1, workers=1, resources={"cpus": 1, "memory": MEMORY, "time": "10m"})
    launcher = {"_target_": "launchers.local.LocalLauncher", "workers": 1}
    run = hpcurate.run(
        {"sleep": Step(Sleep(), options)}, naps, store=folder / "store", launcher=launcher, wait=True
    ).run
    frozen = Path(run.path, "pipeline.json")
    slurm = {"_target_": "launchers.slurm.SlurmLauncher"}  # whose gates there are
    frozen.write_text(json.dumps({**json.loads(frozen.read_text()), "launcher": slurm}))
    return run.path, str(next(Path(run.path).glob("code-*")))


def processes(repeat: int) -> list[Way]:
    """Each kind of process, in turns."""
    with scratch() as folder:
        run, code = done_run(folder)
        programs = {name: [sys.executable, "-c", program] for name, program in IMPORTS.items()}
        programs[REAL] = module_command(sys.executable, code, "hpcurate.runs.gate", run, "", "0", "60")
        ways = {name: Command(words) for name, words in programs.items()}
        in_turns(ways, 1)
        return in_turns(ways, repeat)


def to_peers(ways: Sequence[Way]) -> dict[str, float]:
    """How often ours fits into the time of its own peer."""
    return {name: ratios(ways, peer)[name] for name, peer in PEERS.items()}


# -- calls to shared storage ------------------------------------------------------------------------------------


def opens(code: str, submission: str, workers: int, *, by_file: bool) -> tuple[int, int]:
    """Calls with paths of (the frozen code, the rest of the store) by so many workers, started one after the other."""
    command = module_command(sys.executable, None if by_file else code, "hpcurate.worker", submission)
    environment = {**ENVIRONMENT, **({"PYTHONPATH": code} if by_file else {})}
    store = code.split("/runs/")[0]
    of_code = of_store = 0
    for index in range(workers):
        with tempfile.NamedTemporaryFile() as trace:
            traced = ["strace", "-f", "-qq", "-y", "-e", "trace=%file,getdents64", "-o", trace.name, *command]
            own = {"HPCURATE_WORKER": str(index)}
            subprocess.run(traced, env={**environment, **own}, stdout=subprocess.DEVNULL, check=True)
            lines = [
                line for line in Path(trace.name).read_text(errors="replace").splitlines() if "execve(" not in line
            ]
        of_code += sum(code in line for line in lines)
        of_store += sum(store in line and code not in line for line in lines)
    return of_code, of_store


def opens_table(counts: Iterable[int] = (1, 4, 16)) -> str:
    """A Markdown table."""
    rows = ["| workers | code, file by file | code | rest of the store |", "|---|---|---|---|"]
    with scratch() as folder:
        run, code = done_run(folder)
        submission = str(next(Path(run, "submissions").iterdir()))
        opens(code, submission, 1, by_file=True)  # Python writes its bytecode beside the files
        for workers in counts:
            before, _ = opens(code, submission, workers, by_file=True)
            now, rest = opens(code, submission, workers, by_file=False)
            rows.append(f"| {workers} | {before} | {now} | {rest} |")
    return "\n".join(rows)


# -- the first claim --------------------------------------------------------------------------------------------


def first_claims(workers: int) -> float:
    """Seconds from sbatch's answer until each worker has claimed."""
    with scratch() as folder:
        store = folder / "store"
        options = StageOptions(shard_tasks=1, workers=workers, resources={"cpus": 1, "memory": MEMORY, "time": "10m"})
        launcher = {"_target_": "launchers.slurm.SlurmLauncher", "partition": "cpu"}
        naps = [TimedNap(id=f"n{n}", seconds=20.0) for n in range(workers)]
        outcome = hpcurate.run({"sleep": Step(Sleep(), options)}, naps, store=store, launcher=launcher, wait=False)
        answer = min(path.stat().st_mtime for path in store.glob("stages/sleep-*/rounds/*.job"))
        claims: list[Path] = []
        while len(claims) < workers and time.time() < answer + 60:
            claims = list(store.glob("stages/sleep-*/claims/*/[!.]*"))
            time.sleep(0.1)
        last = max(path.stat().st_mtime for path in claims) - answer
        subprocess.run(
            [sys.executable, "-m", "hpcurate", "cancel", outcome.run.path, "--store", str(store)], check=False
        )
        time.sleep(5)
        return last


def bare_interpreters(workers: int) -> float:
    """Seconds from sbatch's answer until each element of a bare array has written a file."""
    with scratch() as folder:
        program = f"import os, time; open('{folder}/' + os.environ['SLURM_ARRAY_TASK_ID'], 'w'); time.sleep(5)"
        script = folder / "job.sh"
        script.write_text(f'#!/bin/bash\nexec {sys.executable} -c "{program}"\n')
        options = ["--partition=cpu", "--mem=100M", "--time=10", "--output=/dev/null", f"--array=0-{workers - 1}"]
        subprocess.run(["sbatch", *options, str(script)], stdout=subprocess.DEVNULL, check=True)
        answer = time.time()
        found: list[Path] = []
        while len(found) < workers and time.time() < answer + 60:
            found = [path for path in folder.iterdir() if path.name.isdigit()]
            time.sleep(0.1)
        time.sleep(6)
        return max(path.stat().st_mtime for path in found) - answer


# -- what is printed --------------------------------------------------------------------------------------------


def quick() -> dict[str, float]:
    """Ratios to the peers, higher is better."""
    sys.dont_write_bytecode = False
    return to_peers(processes(3))


def main() -> None:
    """Measure and print."""
    options = parser(__doc__, quick=quick, repeat=9)
    options.add_argument("--opens", action="store_true", help="count calls to shared storage instead")
    options.add_argument("--slurm", action="store_true", help="time first claims instead, three rounds at most")
    arguments = options.parse_args()
    sys.dont_write_bytecode = False  # as where people work
    if arguments.opens:
        print(opens_table())
    elif arguments.slurm:
        turns = {"16 bare interpreters": partial(bare_interpreters, 16), "16 workers": partial(first_claims, 16)}
        print(table(in_turns(turns, min(arguments.repeat, 3)), "16 bare interpreters"))
    else:
        ways = processes(arguments.repeat)
        print(f"{table(ways, HYDRA)}\n")
        print("\n".join(f"{name}: {ratio:.2f} of its peer's speed" for name, ratio in to_peers(ways).items()))


if __name__ == "__main__":
    main()
