"""Networks that are saved. In a module of their own, as torch takes seconds to import."""

from __future__ import annotations

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
