"""Networks that are saved. In a module of their own, as torch takes seconds to import."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import torch
from torch import nn


class Net(nn.Module):
    """A network whose class needs to be told something."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Linear(width, 2)


class Tied(nn.Module):
    """Two layers with the same weights, a buffer that is no parameter, and no arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(2, 2, bias=False)
        self.two = nn.Linear(2, 2, bias=False)
        self.two.weight = self.one.weight
        self.register_buffer("steps", nn.Parameter(self.one.weight[0], requires_grad=False).data)


class Two(nn.Module):
    """A network whose parts hang on an argument that has a default."""

    def __init__(self, act: str = "relu", width: int = 4, shown: bool = True) -> None:
        super().__init__()
        self.layers = nn.Linear(width, 2)
        self.act = {"relu": nn.functional.relu, "gelu": nn.functional.gelu}[act]
        self.register_buffer("beside", torch.ones(2), persistent=False)
        if not shown:
            self.hidden = object()


class Normed(nn.Module):
    """A part whose class torch makes for it, and an array in a record."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
        self.sizes = Sizes(np.ones(2))


@attrs.define
class Sizes:
    """A record that cannot be compared."""

    numbers: Any


class Looks(nn.Module):
    """Its constructor looks at numbers, which there are none of without memory."""

    def __init__(self, rate: float = 0.1) -> None:
        super().__init__()
        self.rates = [float(one) for one in torch.linspace(0, rate, 2)]
        self.layers = nn.Linear(1, 1)
