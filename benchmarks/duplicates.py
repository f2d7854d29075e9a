#!/usr/bin/env python3
"""What semantic deduplication finds at which `eps`, as a Markdown table: `benchmarks/duplicates.py FOLDER`.

FOLDER has the videos of the tests (default: HPCURATE_TEST_VIDEOS). The shots of two seconds and more in them, and in
the video that comes with TransNetV2, and copies of each: encoded again, cropped, begun later. Vectors are those of
TransNetV2's last block for eight pictures of a clip; with `--standard` they are centred, and each principal axis is
divided by its spread. Each row says how many copies have a cosine above 1 - eps with their shot, the last one how many
pairs of different shots have. Fetches the weights with pip; takes some minutes.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rounds import parser, scratch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from shot_features import ShotFeatures, copies_of, frames_of, standard_of, write_frames  # noqa: E402

from tests.stages.dedup.test_planted import SHOTS, episode, shots_of  # noqa: E402

RATE, PICTURES = 24, 8
EPS = (0.005, 0.01, 0.02, 0.05)
EPS_OF_STANDARD = (0.2, 0.3, 0.4, 0.5)
CROPS = (0.03, 0.05)
SHIFTS_S = (0.25, 0.5)
Shot = list[Any]


def kinds(shot: Shot) -> Iterator[tuple[str, Shot, float, str]]:
    """(what is done to a shot, its frames, scale, crf): first the shot itself."""
    again = list(copies_of(shot, CROPS[0], 0))[:2]
    yield from again
    for crop in CROPS:
        (copy,) = (one for one in copies_of(shot, crop, 0) if one[0] == "cropped")
        yield f"{crop:.0%} cropped on each side", *copy[1:]
    for seconds in SHIFTS_S:
        (copy,) = (one for one in copies_of(shot, CROPS[0], int(seconds * RATE)) if one[0] == "shifted")
        yield f"begun {seconds} s later", *copy[1:]


def vectors(shots: Iterator[Shot], features: ShotFeatures, work: Path) -> dict[str, np.ndarray]:
    """What is done → a row for each shot."""
    from stages.vision.look import Fit

    fit, found = Fit(48, 27), dict[str, list[np.ndarray]]()
    for number, shot in enumerate(shots):
        for name, frames, scale, crf in kinds(shot):
            path = write_frames(frames, work / f"{number}.mp4", scale, crf)
            copy = frames_of(path)
            chosen = [copy[index * len(copy) // PICTURES] for index in range(PICTURES)]
            found.setdefault(name, []).append(features._features(list(map(fit, chosen))))
    return {name: np.stack(rows) for name, rows in found.items()}


def of_length_one(rows: np.ndarray) -> np.ndarray:
    """Each divided by its length."""
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def table(found: dict[str, np.ndarray], all_eps: Sequence[float]) -> Iterator[str]:
    """Lines of the table."""
    names, rows = list(found), {name: of_length_one(rows) for name, rows in found.items()}
    shots = rows[names[0]]
    yield f"| of {len(shots)} shots, found at eps | {' | '.join(map(str, all_eps))} |"
    yield "|---" * (len(all_eps) + 1) + "|"
    for name in names[1:]:
        cosines = (shots * rows[name]).sum(axis=1)
        yield f"| {name} | {' | '.join(str(int((cosines > 1 - eps).sum())) for eps in all_eps)} |"
    cosines = np.asarray([shots[a] @ shots[b] for a, b in itertools.combinations(range(len(shots)), 2)])
    counts = " | ".join(str(int((cosines > 1 - eps).sum())) for eps in all_eps)
    yield f"| pairs of different shots, of {len(cosines)} | {counts} |"


def main() -> None:
    """Command line."""
    options = parser(__doc__, repeat=0)
    options.add_argument("folder", nargs="?", type=Path, default=os.environ.get("HPCURATE_TEST_VIDEOS"))
    options.add_argument("--standard", action="store_true", help="standardise the vectors on the shots")
    given = options.parse_args()
    if given.folder is None:
        options.error("give the folder with the videos, or HPCURATE_TEST_VIDEOS")
    from real_weights import weights

    from hpcurate import WorkerInfo

    features = ShotFeatures(os.fspath(weights("transnetv2")))
    features.setup(WorkerInfo(index=0, process=0, cpus=1))
    with scratch() as work:
        found = vectors(itertools.chain(shots_of(given.folder, SHOTS), episode()), features, work)
    if given.standard:
        one = standard_of(next(iter(found.values())))
        found = {name: (rows - one["mean"]) @ one["axes"].T for name, rows in found.items()}
    print("\n".join(table(found, EPS_OF_STANDARD if given.standard else EPS)))


if __name__ == "__main__":
    main()
