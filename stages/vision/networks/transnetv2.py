"""TransNetV2: how likely each frame of a video is the last one before a new shot. Inference only.

The network of Souček and Lokoč, "TransNet V2: An effective deep network architecture for fast shot transition
detection" (arXiv:2008.04838), for the published tensors. Of its two heads only the first is here: the second one,
which marks every frame of a transition, serves training.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from hpcurate.errors import ConfigError

FILE = "transnetv2-pytorch-weights.pth"
FILTERS = (16, 32, 64)
"""Filters of each branch, by block: every block halves the picture's sides and doubles them."""
DILATIONS = (1, 2, 4, 8)
"""Frames between the taps of each branch's convolution over time."""
NEIGHBOURS = 50
"""Frames before and after, with which each frame is compared."""
COMPARED = 128
"""Length of the vector that frames are compared by, and of what is concluded from it."""
COLOURS = 8
"""Steps of each colour in the histograms."""

NAMES = (
    (r"SDDCNN\.(\d)\.DDCNN\.(\d)\.Conv3D_(\d)\.layers\.(\d)", r"blocks.\1.layers.\2.branches.\3.\4"),
    (r"SDDCNN\.(\d)\.DDCNN\.(\d)\.bn", r"blocks.\1.layers.\2.norm"),
    (r"frame_sim_layer\.projection", "projection"),
    (r"frame_sim_layer\.fc", "by_features"),
    (r"color_hist_layer\.fc", "by_colours"),
    (r"fc1", "hidden"),
    (r"cls_layer1", "head"),
)
"""Published names of the tensors, and ours."""


class Layer(nn.Module):
    """Four branches side by side: a convolution over the picture, then one over time, each with its own reach."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.branches = nn.ModuleDict({str(reach): _branch(channels, filters, reach) for reach in DILATIONS})
        self.norm = nn.BatchNorm3d(filters * len(DILATIONS), eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, frames, height, width), channels: filters × branches."""
        made: Tensor = self.norm(torch.cat([branch(x) for branch in self.branches.values()], dim=1))
        return made


def _branch(channels: int, filters: int, reach: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(channels, 2 * filters, (1, 3, 3), padding=(0, 1, 1), bias=False),
        nn.Conv3d(2 * filters, filters, (3, 1, 1), dilation=(reach, 1, 1), padding=(reach, 0, 0), bias=False),
    )


class Block(nn.Module):
    """Two layers with a shortcut around the second, then pictures of half the sides."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer(channels, filters), Layer(filters * len(DILATIONS), filters)])

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, frames, height / 2, width / 2)."""
        first, second = self.layers
        early = functional.relu(first(x))
        return functional.avg_pool3d(functional.relu(second(early)) + early, (1, 2, 2))


class TransNetV2(nn.Module):
    """Windows of reduced frames become a probability for each frame."""

    def __init__(self) -> None:
        super().__init__()
        wide = [filters * len(DILATIONS) for filters in FILTERS]
        self.blocks = nn.ModuleList(map(Block, [3, *wide], FILTERS))
        self.projection = nn.Linear(sum(wide), COMPARED)
        self.by_features = nn.Linear(2 * NEIGHBOURS + 1, COMPARED)
        self.by_colours = nn.Linear(2 * NEIGHBOURS + 1, COMPARED)
        self.hidden = nn.Linear(wide[-1] * 3 * 6 + 2 * COMPARED, 1024)
        self.head = nn.Linear(1024, 1)

    def forward(self, windows: Tensor) -> Tensor:
        """(windows, frames, 27, 48, 3) uint8, RGB, become (windows, frames) float32, 0 … 1."""
        return torch.sigmoid(self.logits(windows))

    def logits(self, windows: Tensor) -> Tensor:
        """The same before the last sigmoid."""
        x = windows.permute(0, 4, 1, 2, 3).float() / 255
        means = []
        for block in self.blocks:
            x = block(x)
            means.append(x.mean(dim=(3, 4)))
        features = self.projection(torch.cat(means, dim=1).transpose(1, 2))
        parts = [
            functional.relu(self.by_colours(near(histograms(windows)))),
            functional.relu(self.by_features(near(features))),
            x.permute(0, 2, 3, 4, 1).flatten(2),
        ]
        found: Tensor = self.head(functional.relu(self.hidden(torch.cat(parts, dim=2))))
        return found.squeeze(2)


def near(vectors: Tensor) -> Tensor:
    """(windows, frames, 101): the cosine of each frame's vector with those of its neighbours; outside, 0."""
    vectors = functional.normalize(vectors, dim=2)
    alike = functional.pad(vectors @ vectors.transpose(1, 2), (NEIGHBOURS, NEIGHBOURS))
    frames = vectors.shape[1]
    steps = torch.arange(frames, device=vectors.device)[:, None]
    places = steps + torch.arange(2 * NEIGHBOURS + 1, device=vectors.device)
    return alike[:, steps, places]


def histograms(windows: Tensor) -> Tensor:
    """(windows, frames, 512) float32: how many pixels of a frame have each colour, in steps of 32."""
    red, green, blue = (windows.flatten(2, 3).long() // (256 // COLOURS)).unbind(3)
    colours = (red * COLOURS + green) * COLOURS + blue
    counts = torch.zeros(*colours.shape[:2], COLOURS**3, device=windows.device)
    return counts.scatter_add_(2, colours, torch.ones_like(colours, dtype=torch.float32))


def renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published tensors under our names; without the second head. Pure."""
    made = {}
    for name, tensor in tensors.items():
        for theirs, ours in NAMES:
            found, count = re.subn(rf"^{theirs}\.", f"{ours}.", name)
            if count:
                made[found] = tensor
    return made


def load(folder: Path, device: str) -> TransNetV2:
    """The network with the weights of a folder. Raises ConfigError if they are another model's."""
    path = folder / FILE
    network = TransNetV2()
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(renamed(tensors))
    except (OSError, RuntimeError, AttributeError, ValueError, pickle.UnpicklingError) as error:
        raise ConfigError(
            f"model transnetv2: {path.name} does not have TransNetV2's tensors "
            f"({str(error).splitlines()[0]}); type `hpcurate models verify`, and compare with its entry"
        ) from None
    return network.to(device).eval()
