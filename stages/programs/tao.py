"""The programs of `+pipeline=tao`: stand-ins for those of a training toolkit, which really do all this in small.

`python -m stages.programs.tao STEP --help` shows what each reads and writes. They train a classifier of tiny pictures,
prune and retrain it, and turn it into what a device runs. Nothing but Python 3.9 is needed, in any container.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import shutil
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from stages.programs.tao_model import (
    CRITERIA,
    Example,
    Model,
    average_precision,
    correct,
    descend,
    features,
    int8,
    prune,
    ranges,
)

SPLITS = {"train": 3, "val": 1, "test": 1}
"""Split → pictures of a class in each five."""
SIDE = 8
"""Pixels of a picture's side."""
RECORDS = 20
"""Pictures in a file of records."""
KEY = "TAO_KEY"
"""Environment variable with the key of the models."""


class Refused(Exception):
    """What cannot be done, in words."""


# -- the data ---------------------------------------------------------------------------------------------------------


def dataset(args: argparse.Namespace) -> None:
    """Copy a folder of pictures, SPLIT/CLASS/NAME.pgm, or draw one."""
    if args.source:
        shutil.copytree(args.source, args.data)
        return
    for place, label in enumerate(args.classes.split(",")):
        for split, share in SPLITS.items():
            folder = Path(args.data, split, label)
            folder.mkdir(parents=True)
            for number in range(args.pictures * share // sum(SPLITS.values())):
                pixels = drawn(random.Random(f"{args.seed} {split} {label} {number}"), place)
                (folder / f"{number:04d}.pgm").write_bytes(b"P5 %d %d 255\n" % (SIDE, SIDE) + pixels)


def drawn(dice: random.Random, place: int) -> bytes:
    """The pixels of a picture of the class at that place: brighter in its own rows, under much noise."""
    bright = [40 if row % 4 == place % 4 or row % 3 == place % 3 else 0 for row in range(SIDE)]
    return bytes(min(255, max(0, round(dice.gauss(100 + bright[k // SIDE], 45)))) for k in range(SIDE * SIDE))


def pixels_of(picture: Path) -> bytes:
    """The pixels of a PGM file."""
    header, _, pixels = picture.read_bytes().partition(b"\n")
    if header.split() != [b"P5", b"%d" % SIDE, b"%d" % SIDE, b"255"] or len(pixels) != SIDE * SIDE:
        raise Refused(f"{picture}: expected a PGM picture of {SIDE} x {SIDE} pixels")
    return pixels


def convert(args: argparse.Namespace) -> None:
    """Turn pictures into files of records: length, its sum, one example, its sum."""
    classes = sorted(path.name for path in Path(args.data, "train").iterdir())
    pictures = 0
    for split in SPLITS:
        found = [(label, path) for label in classes for path in sorted(Path(args.data, split, label).glob("*.pgm"))]
        if not found:
            raise Refused(f"{args.data}: has no pictures in {split}/CLASS/")
        rows = [struct.pack("<B16f", classes.index(label), *features(pixels_of(path))) for label, path in found]
        for start in range(0, len(rows), RECORDS):
            path = Path(args.records, f"{split}-{start // RECORDS:05d}.records")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"".join(map(record, rows[start : start + RECORDS])))
        pictures += len(rows)
    Path(args.records, "classes.json").write_text(json.dumps(classes))
    report(args, pictures=pictures)


def record(data: bytes) -> bytes:
    """One record."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", zlib.crc32(length)) + data + struct.pack("<I", zlib.crc32(data))


def examples(records: str, split: str) -> list[Example]:
    """All of a split, in order."""
    found = []
    for path in sorted(Path(records).glob(f"{split}-*.records")):
        for data in records_in(path):
            label, *values = struct.unpack("<B16f", data)
            found.append(Example(label, tuple(values)))
    return found


def records_in(path: Path) -> Iterator[bytes]:
    """The records of a file. Raises Refused where it is damaged."""
    data, place = path.read_bytes(), 0
    while place < len(data):
        (length,) = struct.unpack_from("<Q", data, place)
        row = data[place + 12 : place + 12 + length]
        if struct.pack("<I", zlib.crc32(row)) != data[place + 12 + length : place + 16 + length]:
            raise Refused(f"{path}: a record at byte {place} is damaged")
        yield row
        place += 16 + length


# -- the model --------------------------------------------------------------------------------------------------------


def load(path: str) -> Model:
    """A model, for whoever has its key."""
    plain = json.loads(Path(path).read_text())
    if plain.pop("lock") != lock():
        raise Refused(f"{path}: was written with another key ({KEY})")
    return Model(**plain)


def save(model: Model, path: str) -> None:
    """Write a model that only the same key opens."""
    Path(path).write_text(json.dumps({"lock": lock(), **vars(model)}))


def lock() -> int:
    """What is left of the key in a model."""
    return zlib.crc32(os.environ.get(KEY, "").encode())


def pull(args: argparse.Namespace) -> None:
    """Make the pretrained model of that name."""
    dice, classes = random.Random(args.name), args.classes.split(",")
    weights = [[dice.uniform(-0.1, 0.1) for _ in range(16)] for _ in classes]
    save(Model(args.name, sorted(classes), list(range(16)), weights, [0.0] * len(classes)), args.model)


def train(args: argparse.Namespace) -> None:
    """Train a model, until it is as good as asked for or the epochs are over."""
    model, seen, unseen = load(args.start), examples(args.records, "train"), examples(args.records, "val")
    if (known := json.loads(Path(args.records, "classes.json").read_text())) != model.classes:
        raise Refused(f"{args.start}: knows {', '.join(model.classes)}; the data has {', '.join(known)}")
    loss, epoch = 0.0, 0
    for epoch in range(1, args.epochs + 1):
        loss = descend(model, seen, args.rate)
        print(f"epoch {epoch}: loss {loss:.4f}", flush=True)
        if args.target and average_precision(model, unseen) >= args.target:
            break
    save(model, args.model)
    report(args, loss=loss, epochs=epoch)


def evaluate(args: argparse.Namespace) -> None:
    """Measure a model on pictures that it has not seen."""
    model, unseen = load(args.model), examples(args.records, "val")
    report(args, map=average_precision(model, unseen), accuracy=correct(model, unseen))


def prune_model(args: argparse.Namespace) -> None:
    """Leave out the inputs that have little weight, over all classes together."""
    model = load(args.model)
    pruned = prune(model, args.threshold, CRITERIA[args.criterion])
    if not pruned.inputs:
        raise Refused(f"--threshold {args.threshold:g}: nothing of the model would be left")
    save(pruned, args.pruned)
    report(args, kept=len(pruned.inputs) / len(model.inputs))


def infer(args: argparse.Namespace) -> None:
    """Classify the pictures of a folder, some at a time."""
    model, pictures = load(args.model), sorted(Path(args.data, "test").glob("*/*.pgm"))
    with open(args.labels, "w", encoding="utf-8") as file:
        for start in range(0, len(pictures), args.batch):
            for path in pictures[start : start + args.batch]:
                chances = model.chances(features(pixels_of(path)))
                best = max(range(len(chances)), key=chances.__getitem__)
                print(f"{path.parent.name}/{path.name},{model.classes[best]},{chances[best]:.4f}", file=file)
    report(args, inferred=len(pictures))


# -- what a device runs -----------------------------------------------------------------------------------------------


def export(args: argparse.Namespace) -> None:
    """Write a model as plain numbers: real ones, or small whole ones with their scale."""
    model = load(args.model)
    if args.calibration is None:
        Path(args.exported).write_bytes(packed(model, "f", [*itertools.chain(*model.weights), *model.bias]))
        return
    scale, numbers = int8(model, json.loads(Path(args.calibration).read_text()))
    Path(args.exported).write_bytes(packed(model, "b", numbers))
    Path(args.cache).write_bytes(struct.pack(f"<{len(scale)}d", *scale))


def packed(model: Model, kind: str, numbers: Sequence[float]) -> bytes:
    """A line about the model, and its numbers."""
    about = json.dumps({"name": model.name, "classes": model.classes, "inputs": model.inputs, "kind": kind})
    return about.encode() + b"\n" + struct.pack(f"<{len(numbers)}{kind}", *numbers)


def calibrate(args: argparse.Namespace) -> None:
    """Find out between which numbers each input of a model lies."""
    found = examples(args.records, "train")[: args.batches * RECORDS]
    Path(args.calibration).write_text(json.dumps(ranges(load(args.model), found)))


def engine(args: argparse.Namespace) -> None:
    """Put the exported model and its scale into the one file that a device reads."""
    exported, cache = Path(args.exported).read_bytes(), Path(args.cache).read_bytes()
    about = {"precision": args.precision, "dims": args.dims, "max_batch": args.max_batch, "model": len(exported)}
    Path(args.engine).write_bytes(json.dumps(about).encode() + b"\n" + zlib.compress(exported + cache))
    report(args, engine_bytes=os.path.getsize(args.engine))


# -- the command line -------------------------------------------------------------------------------------------------

Options = dict[str, Any]
"""Name of an option → its type; None: it may be left out."""
STEPS: dict[str, tuple[Callable[[argparse.Namespace], None], Options]] = {
    "dataset": (dataset, {"source": None, "classes": str, "pictures": int, "seed": int, "data": str}),
    "convert": (convert, {"data": str, "records": str}),
    "pull": (pull, {"name": str, "classes": str, "model": str}),
    "train": (train, {"start": str, "records": str, "epochs": int, "rate": float, "target": float, "model": str}),
    "evaluate": (evaluate, {"model": str, "records": str}),
    "prune": (prune_model, {"model": str, "threshold": float, "criterion": str, "pruned": str}),
    "infer": (infer, {"model": str, "data": str, "batch": int, "labels": str}),
    "export": (export, {"model": str, "calibration": None, "exported": str, "cache": None}),
    "calibrate": (calibrate, {"model": str, "records": str, "batches": int, "calibration": str}),
    "engine": (
        engine,
        {"exported": str, "cache": str, "dims": str, "max_batch": int, "precision": str, "engine": str},
    ),
}
"""Each step, with its options."""


def report(args: argparse.Namespace, **values: float) -> None:
    """Write the values of a step."""
    print(", ".join(f"{name} {value:.4g}" for name, value in values.items()), flush=True)
    if args.values:
        Path(args.values).write_text(json.dumps(values))


def main(argv: Sequence[str] | None = None) -> int:
    """Do a step: 0, or 1 with a line that says what is wrong."""
    parser = argparse.ArgumentParser(prog="tao", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    for name, (does, options) in STEPS.items():
        step = steps.add_parser(name, help=does.__doc__, description=does.__doc__)
        for option, kind in options.items():
            step.add_argument(f"--{option.replace('_', '-')}", type=kind or str, required=kind is not None)
        step.add_argument("--values", help="a file for what was measured, as JSON")
        step.add_argument("--sleep", type=float, default=0.0, help="take so many seconds longer")
    args = parser.parse_args(argv)
    time.sleep(args.sleep)
    try:
        STEPS[args.step][0](args)
    except (Refused, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
