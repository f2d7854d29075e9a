"""Networks that make a vector of a picture: CLIP, SigLIP, and what else has `get_image_features` in transformers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hpcurate.errors import ConfigError
from hpcurate.inference.device import arriving
from hpcurate.model import Model, described, get_local_dir_for_weights_name, read_model_config
from stages.networks import load_network, torch_type
from stages.video.media.sampling import WHOLE, Sampling
from stages.vision.look import Look, read_look

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stages.video.media.sampling import Picture

DType = Literal["auto", "float32", "bfloat16"]


class PictureEncoder(Model):
    """An image network of transformers: pictures become vectors of length 1."""

    def __init__(self, name: str, dtype: DType = "float32", at_once: int = 64) -> None:
        self.name, self.dtype, self.at_once = name, dtype, at_once

    @property
    def model_id_names(self) -> list[str]:
        """One of the registry."""
        return [self.name]

    def check_weights(self, name: str, folder: Path) -> None:
        """See `Model`. A model of text alone has no `vision_config`."""
        config = read_model_config(folder)
        if "vision_config" not in config:
            raise ConfigError(
                f"{described(config)}; expected one that makes vectors of pictures, such as clip or siglip"
            )

    @cached_property
    def look(self) -> Look:
        """How the network wants its pictures; known without loading it."""
        return read_look(get_local_dir_for_weights_name(self.name))

    def sampling(self, kind: type[Sampling] = Sampling, **options: Any) -> Sampling:
        """Whole frames, reduced to what the network wants."""
        return kind(size=WHOLE, enlarge=False, reduce=self.look.fit, **options)

    def setup(self, device: str = "cpu") -> None:
        """Load it. Raises ConfigError for weights of something else."""
        import torch

        self.device, self.kind = device, torch_type(self.dtype, device)
        self.mean, self.std = (
            torch.tensor(each, device=device).view(1, 3, 1, 1) for each in (self.look.mean, self.look.std)
        )
        self.network = load_encoder(self.name, self.kind).to(device)
        try:
            self.width = int(self._features(self._blank().to(device)).shape[1])
        except ValueError as error:
            raise ConfigError(f"model {self.name}: its preprocessor_config.json does not fit it: {error}") from None

    def encode(self, pictures: Sequence[Sequence[Picture]]) -> list[NDArray[np.float32]]:
        """A matrix for each list of pictures, one row a picture; the network sees `at_once` of all at a time."""
        import numpy as np
        import torch

        flat = (picture for one in pictures for picture in one)
        stacks = (torch.from_numpy(np.stack(some)) for some in chunks(flat, self.at_once))
        parts = [self._features(pixels).cpu() for pixels in arriving(stacks, self.device)]
        rows: NDArray[np.float32] = torch.cat(parts).numpy()
        ends = np.cumsum([len(one) for one in pictures])
        return np.split(rows, ends[:-1])

    def _features(self, pictures: Any) -> Any:
        """Of pictures (n, height, width, 3), uint8, on the device: (n, width of a vector), float32, of length 1."""
        import torch

        with torch.inference_mode():
            pixels = (pictures.permute(0, 3, 1, 2).float() / 255 - self.mean) / self.std
            found = self.network.get_image_features(pixel_values=pixels.to(self.kind))
            found = getattr(found, "pooler_output", found)  # transformers 5 returns an object
            return torch.nn.functional.normalize(found.float(), dim=1)

    def _blank(self) -> Any:
        import torch

        return torch.zeros((1, self.look.fit.height, self.look.fit.width, 3), dtype=torch.uint8)


def load_encoder(name: str, kind: Any) -> Any:
    """A network with `get_image_features`. Raises ConfigError for another."""
    from transformers import AutoModel

    network = load_network(AutoModel, name, kind)
    if not hasattr(network, "get_image_features"):
        raise ConfigError(
            f"model {name}: {type(network).__name__} makes no vectors of pictures; expected a network with "
            "get_image_features, e.g. clip-vit-large-patch14 or siglip-base-patch16-224"
        )
    return network


def chunks(pictures: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of so many at most, in order. Pure."""
    rest = iter(pictures)
    while some := list(islice(rest, size)):
        yield some
