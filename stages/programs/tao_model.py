"""The model of `stages.programs.tao`: one layer over the mean brightness of 16 parts of a picture. Pure; Python 3.9."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

CRITERIA: Mapping[str, Callable[[Sequence[float]], float]] = {
    "union": max,
    "intersection": min,
    "arithmetic_mean": lambda sizes: sum(sizes) / len(sizes),
    "geometric_mean": lambda sizes: math.prod(sizes) ** (1 / len(sizes)),
}
"""How the weights of an input in all classes count together."""


class Example(NamedTuple):
    """A picture that was looked at."""

    label: int
    features: tuple[float, ...]


@dataclass
class Model:
    """What a picture is, by its features."""

    name: str
    classes: list[str]
    inputs: list[int]
    """Features that it looks at."""
    weights: list[list[float]]
    """For each class, of each input."""
    bias: list[float]

    def chances(self, features: Sequence[float]) -> list[float]:
        """Of each class, 1 in all."""
        seen = [features[place] for place in self.inputs]
        sums = [b + sum(map(float.__mul__, row, seen)) for row, b in zip(self.weights, self.bias)]
        powers = [math.exp(one - max(sums)) for one in sums]
        return [power / sum(powers) for power in powers]


def features(pixels: bytes) -> tuple[float, ...]:
    """Mean brightness of the 4 x 4 squares of a picture of 8 x 8 pixels, around 0."""
    squares = [
        [pixels[(2 * y + dy) * 8 + 2 * x + dx] for dy in (0, 1) for dx in (0, 1)] for y in range(4) for x in range(4)
    ]
    return tuple(sum(square) / 4 / 64 - 1.75 for square in squares)


def descend(model: Model, seen: Sequence[Example], rate: float) -> float:
    """One epoch of gradient descent, a step an example; the mean loss before each step."""
    loss = 0.0
    for label, values in seen:
        chances = model.chances(values)
        loss -= math.log(max(chances[label], 1e-12)) / len(seen)
        for k, chance in enumerate(chances):
            step = rate * ((k == label) - chance)
            model.bias[k] += step
            model.weights[k] = [w + step * values[place] for w, place in zip(model.weights[k], model.inputs)]
    return loss


def average_precision(model: Model, unseen: Sequence[Example]) -> float:
    """Mean over the classes: how far in front the pictures of a class are when all are sorted by its chance."""
    chances = [model.chances(values) for _, values in unseen]
    found = []
    for k in range(len(model.classes)):
        order = sorted(range(len(unseen)), key=lambda n: -chances[n][k])
        hits = [place for place, n in enumerate(order, 1) if unseen[n].label == k]
        found.append(sum(number / place for number, place in enumerate(hits, 1)) / max(1, len(hits)))
    return sum(found) / len(found)


def correct(model: Model, unseen: Sequence[Example]) -> float:
    """Share of the pictures whose likeliest class is theirs."""
    chances = [(label, model.chances(values)) for label, values in unseen]
    return sum(each[label] == max(each) for label, each in chances) / max(1, len(unseen))


def prune(model: Model, threshold: float, together: Callable[[Sequence[float]], float]) -> Model:
    """The model without the inputs whose weight is below the threshold, a share of the largest."""
    sizes = [together([abs(row[k]) for row in model.weights]) for k in range(len(model.inputs))]
    kept = [k for k, size in enumerate(sizes) if size >= threshold * max(sizes)]
    weights = [[row[k] for k in kept] for row in model.weights]
    return Model(model.name, model.classes, [model.inputs[k] for k in kept], weights, list(model.bias))


def ranges(model: Model, seen: Sequence[Example]) -> list[tuple[float, float]]:
    """Of each input: the least and the most that was seen."""
    columns = [[values[place] for _, values in seen] for place in model.inputs]
    return [(min(column), max(column)) for column in columns]


def int8(model: Model, seen: Sequence[Sequence[float]]) -> tuple[list[float], list[int]]:
    """(scale of each input, weights as whole numbers up to 127): a scale is what its input adds at most, of 127."""
    reach = [max(abs(least), abs(most)) for least, most in seen]
    most = [max(abs(row[k]) for row in model.weights) * far for k, far in enumerate(reach)]
    scale = [each / 127 or 1.0 for each in most]
    return scale, [round(w * far / each) for row in model.weights for w, far, each in zip(row, reach, scale)]
