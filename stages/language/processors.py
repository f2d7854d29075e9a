"""What makes tokens and numbers of a question with pictures: the library's own processors, with pinned pixels.

Text and tokens are the library's for every model: chat template, tokens that stand for a picture, times that Qwen3-VL
and SmolVLM read. The pixels are Pillow's, whether torchvision is installed or not: the library's processors of videos
need it, and its pixels are others. `Patches` and `Frames` stand in for these processors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from hpcurate.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

QWEN = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe")
"""Values of `model_type`: models that see a video as patches of two pictures at a time."""
VIDEO = (*QWEN, "smolvlm")
"""Those that are given a video as such; all others are given its pictures."""


@attrs.define(frozen=True)
class Patches:
    """In place of the library's processor of Qwen-VL's videos: its patches, in 8 bits, of pictures of the right size.

    What it does besides, `(value / 255 - mean) / std`, is done where the network is (`normalised`): a quarter of the
    memory until then.
    """

    patch_size: int
    """Pixels of a patch's side. This and the next two have the library's names: its code reads them."""
    merge_size: int
    """Patches along the side of a token."""
    temporal_patch_size: int
    """Pictures in a patch."""

    def __call__(self, videos: Sequence[Any], video_metadata: Sequence[Any], **_: Any) -> dict[str, Any]:
        """Videos are arrays (pictures, height, width, 3), uint8."""
        import numpy as np

        cut = [self.cut(video) for video in videos]
        return {
            "pixel_values_videos": np.concatenate([patches for patches, _ in cut]),
            "video_grid_thw": np.array([grid for _, grid in cut]),
            "video_metadata": video_metadata,
        }

    def cut(self, video: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], tuple[int, int, int]]:
        """Patches, (number, values), those of one token side by side; how many there are in time, height and width."""
        import numpy as np

        side, merge, deep = self.patch_size, self.merge_size, self.temporal_patch_size
        missing = -len(video) % deep
        whole = np.concatenate([video, np.repeat(video[-1:], missing, axis=0)]) if missing else video
        time, high, wide = len(whole) // deep, whole.shape[1] // side, whole.shape[2] // side
        parts = whole.reshape(time, deep, high // merge, merge, side, wide // merge, merge, side, 3)
        ordered = parts.transpose(0, 2, 5, 3, 6, 8, 1, 4, 7)
        return ordered.reshape(time * high * wide, -1), (time, high, wide)


@attrs.define(frozen=True)
class Frames:
    """In place of the library's processor of SmolVLM's videos: each picture as one square, by that of images."""

    images: Any
    num_frames: int | None = None
    fps: float | None = None

    def __call__(self, videos: Sequence[Any], video_metadata: Sequence[Any], **_: Any) -> dict[str, Any]:
        """Videos are arrays (pictures, height, width, 3), uint8."""
        side = self.images.max_image_size
        pictures = [[*as_images(video)] for video in videos]
        made = self.images(pictures, do_image_splitting=False, size=side, return_tensors="np")
        return {**made, "video_metadata": video_metadata}


def as_images(pictures: Sequence[Any]) -> list[Any]:
    """Pillow's, so that nothing guesses which of their axes is which."""
    from PIL import Image

    return [Image.fromarray(picture) for picture in pictures]


def normalised(patches: Any, mean: Sequence[float], std: Sequence[float]) -> Any:
    """Patches in 8 bits, on any device, as the numbers that the network was trained with, float32."""
    import torch

    each = patches.shape[-1] // len(mean)  # the values of one colour lie together
    less, scale = (torch.tensor(values, device=patches.device).repeat_interleave(each) for values in (mean, std))
    return (patches.float() / 255 - less) / scale


def metadata_of(times_s: Sequence[float]) -> Any:
    """What the library wants to know of a video: with one number a second, the numbers of its pictures are seconds."""
    from transformers import video_utils

    kind: Any = video_utils.VideoMetadata
    apart = times_s[-1] / (len(times_s) - 1) if len(times_s) > 1 and times_s[-1] > 0 else 1.0
    length = apart * len(times_s)
    return kind(total_num_frames=length, fps=1.0, duration=length, frames_indices=list(times_s))


def load_processor(folder: Path, config: Mapping[str, Any], backend: str) -> Any:
    """The library's processor. Raises ConfigError for what it, or the weights, lack."""
    try:
        made = _pinned(folder, str(config.get("model_type"))) if backend == "pil" else _whole(folder)
    except (ValueError, OSError, ImportError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{folder}: transformers makes no processor of it: {type(error).__name__}: {error}") from None
    if not made.chat_template and not made.tokenizer.chat_template:
        raise ConfigError(
            f"{folder} has no chat template (chat_template.jinja, chat_template.json or in tokenizer_config.json), "
            "which says how a question is put to the model; expected weights that follow instructions, with that file"
        )
    made.tokenizer.padding_side = "left"
    return made


def _whole(folder: Path) -> Any:
    from importlib.util import find_spec

    import transformers

    library: Any = transformers.AutoProcessor
    if find_spec("torchvision") is None:
        raise ConfigError(
            "options.processor=torchvision: torchvision is not in the stage's environment; expected envs/captions.yml, "
            "or options.processor=pil, which needs none"
        )
    return library.from_pretrained(folder, local_files_only=True, backend="torchvision")


def _pinned(folder: Path, kind: str) -> Any:
    """As AutoProcessor makes it, but that the processor of videos, which needs torchvision, is ours, or none."""
    from transformers import AutoConfig, AutoTokenizer
    from transformers.models.auto import image_processing_auto, processing_auto

    library: Any = processing_auto.PROCESSOR_MAPPING[type(AutoConfig.from_pretrained(folder, local_files_only=True))]
    pictures: Any = image_processing_auto.AutoImageProcessor
    images = pictures.from_pretrained(folder, local_files_only=True, backend="pil")
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    parts = {"tokenizer": tokenizer, "image_processor": images, "video_processor": None}

    class Pinned(library):  # type: ignore[misc]
        """The library's, which may be made without a processor of videos."""

        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> None:
            """None is no class of the library's."""

    rest, _ = library.get_processor_dict(folder, local_files_only=True)
    made = Pinned.from_args_and_dict([parts[name] for name in library.get_attributes()], rest)
    made.video_processor = _videos(kind, images)
    return made


def _videos(kind: str, images: Any) -> Patches | Frames | None:
    if kind in QWEN:
        return Patches(images.patch_size, images.merge_size, images.temporal_patch_size)
    return Frames(images) if kind == "smolvlm" else None
