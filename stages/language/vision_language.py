"""Vision-language models of transformers, run here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import attrs

from hpcurate import WorkerInfo
from hpcurate.errors import ConfigError, StageError
from hpcurate.fields import convert, option
from hpcurate.inference.device import no_gradients, to_device
from hpcurate.model import described, get_local_dir_for_weights_name, read_model_config
from stages.language.asks import Answer, Ask, Generate, Ready, answer_of
from stages.language.engine import Engine
from stages.language.generating import Batches, ends_of, generation_config, until_end
from stages.language.processors import QWEN, VIDEO, as_images, load_processor, metadata_of, normalised
from stages.language.squares import FitSquares
from stages.networks import DType, load_network, torch_type

if TYPE_CHECKING:
    from stages.video.media.sampling import Picture

WRITES = "ForConditionalGeneration"
"""In the names of architectures that see and write."""
ANY_SIDE = 28
"""Pixels of a square where the model has none: the bound on pictures is that of Qwen2.5-VL."""


@attrs.define(frozen=True, kw_only=True)
class VisionOptions:
    """`options` of a stage with backend=transformers. All count in the fingerprint."""

    dtype: DType = option("auto", "of the network's numbers; auto: bfloat16 on a GPU, else float32")
    attention: Literal["sdpa", "eager", "flash_attention_2"] = option("sdpa", "how attention is computed")
    processor: Literal["pil", "torchvision"] = option(
        "pil", "who makes pixels: Pillow and our own code; or torchvision, by the model's own figures for sizes"
    )
    at_once: int = option(8, "windows that are answered at a time; halved where the GPU's memory runs out", minimum=1)
    min_squares: int = option(128, "of a picture: squares of 28 or 32 pixels that Qwen-VL sees at least", minimum=1)
    max_squares: int = option(768, "of a picture: squares at most; bounds the pictures of other models, too", minimum=1)


class VisionLanguageModel(Engine):
    """Any model that `AutoModelForImageTextToText` loads."""

    def __init__(self, name: str, generate: Generate, options: Mapping[str, Any], server: Mapping[str, Any]) -> None:
        """See `Engine`; `options` are those of `VisionOptions`."""
        super().__init__(name, generate, options, server)
        self.options = convert(VisionOptions, options, "options")
        if self.options.min_squares > self.options.max_squares:
            least, most = self.options.min_squares, self.options.max_squares
            raise ConfigError(f"options.min_squares={least}: expected options.max_squares={most} at most")
        self._batches = Batches(self.options.at_once)

    @property
    def model_id_names(self) -> list[str]:
        """One of the registry."""
        return [self.name]

    def check_weights(self, name: str, folder: Path) -> None:
        """See `Model`. A network that sees, but does not write, has other classes among its architectures."""
        config = read_model_config(folder)
        if "vision_config" not in config or not any(WRITES in str(one) for one in config.get("architectures") or ()):
            raise ConfigError(
                f"{described(config)}; expected a vision-language model, such as qwen3-vl-8b or smolvlm2-2_2b"
            )

    @cached_property
    def config(self) -> dict[str, Any]:
        """The model's `config.json`."""
        return read_model_config(get_local_dir_for_weights_name(self.name))

    @cached_property
    def processor(self) -> Any:
        """Known without loading the network: `ready` is also called in processes that do not."""
        made = load_processor(get_local_dir_for_weights_name(self.name), self.config, self.options.processor)
        made.tokenizer("")  # sets up what threads share
        return made

    @property
    def fit(self) -> Callable[[Picture], Picture] | None:
        """As Qwen-VL sees a picture; others get it of any size, but not larger."""
        if self.options.processor == "torchvision":
            return None
        least, most = self.options.min_squares, self.options.max_squares
        if self.config.get("model_type") not in QWEN:
            return FitSquares(1, 0, most * ANY_SIDE**2)
        vision = self.config["vision_config"]
        side = vision.get("patch_size", 14) * vision.get("spatial_merge_size", 2)
        return FitSquares(side, least * side**2, most * side**2)

    # -- ahead ----------------------------------------------------------------------------------------

    def ready(self, ask: Ask) -> Ready:
        """Tokens and pixels, as arrays of numpy."""
        import numpy as np

        text = self.processor.apply_chat_template([*_said(ask, self._as_video(ask))], add_generation_prompt=True)
        start = self.processor.tokenizer.bos_token
        begins = bool(start) and text.startswith(start)
        made = self.processor(text=[text], add_special_tokens=not begins, return_tensors="np", **self._seen(ask))
        inputs = {name: np.asarray(value) for name, value in made.items()}
        length = inputs["input_ids"].shape[1]
        self._check_length(length, len(ask.pictures))
        return Ready(ask, inputs, length)

    def _as_video(self, ask: Ask) -> bool:
        return bool(ask.times_s) and self.config.get("model_type") in VIDEO

    def _seen(self, ask: Ask) -> dict[str, Any]:
        import numpy as np

        if not ask.pictures:
            return {}
        qwen, ours = self.config.get("model_type") in QWEN, self.options.processor == "pil"
        if not self._as_video(ask):
            fitted = {"images_kwargs": {"do_resize": False}} if qwen and ours else {}
            return {"images": [as_images(ask.pictures)], **fitted}
        how = {"video_metadata": [metadata_of(ask.times_s)], "do_sample_frames": False}
        bounded = {"cap_pixels_per_frame": True} if qwen else {}  # the library's default differs between its versions
        return {"videos": [np.stack(ask.pictures)], "videos_kwargs": {**how, **bounded}}

    def _check_length(self, length: int, pictures: int) -> None:
        text = self.config.get("text_config", self.config)
        most = text.get("max_position_embeddings")
        if most and length + self.generate.max_tokens > most:
            raise StageError(
                f"a question of {length} tokens, with {pictures} pictures, and an answer of at most "
                f"{self.generate.max_tokens} do not fit into the {most} that {self.name} can read; expected fewer "
                "pictures (windows.most), or a smaller generate.max_tokens"
            )

    # -- the network ----------------------------------------------------------------------------------

    def start(self, worker: WorkerInfo) -> None:
        """Load it. Raises ConfigError for weights of something else."""
        from transformers import AutoModelForImageTextToText

        self.check_weights(self.name, get_local_dir_for_weights_name(self.name))
        self.device, self.kind = worker.device, torch_type(self.options.dtype, worker.device)
        attention = self.options.attention
        loaded = load_network(AutoModelForImageTextToText, self.name, self.kind, attn_implementation=attention)
        tokenizer = self.processor.tokenizer
        self.ends = ends_of(tokenizer, loaded)
        self.pad = next((token for token in (tokenizer.pad_token_id, *sorted(self.ends)) if token is not None), 0)
        loaded.generation_config = generation_config(self.generate, self.ends, self.pad)
        self.network = loaded.to(self.device)

    def stop(self) -> None:
        """Let go of the network."""
        self.network = None

    def answers(self, asked: Sequence[Ready]) -> list[Answer]:
        """See `Engine`; so many at a time as fit."""
        import torch

        torch.manual_seed(self.generate.seed)
        return self._batches.answers(asked, lambda one: one.length, self._answered)

    def _answered(self, asked: list[Ready]) -> list[Answer]:
        """One batch."""
        batch = to_device(padded([one.inputs for one in asked], self.pad), self.device)
        with no_gradients():
            made = self.network.generate(**{name: self._numbers(name, values) for name, values in batch.items()})
        said = made[:, batch["input_ids"].shape[1] :].tolist()
        return [self._answer(one, tokens) for one, tokens in zip(asked, said, strict=True)]

    def _numbers(self, name: str, values: Any) -> Any:
        """Pixels as the network wants them; all else as it is."""
        if not name.startswith("pixel_values"):
            return values
        if not values.is_floating_point():
            images = self.processor.image_processor
            values = normalised(values, images.image_mean, images.image_std)
        return values.to(self.kind)

    def _answer(self, asked: Ready, tokens: Sequence[int]) -> Answer:
        said, whole = until_end(tokens, self.ends)
        text = self.processor.tokenizer.decode(said[:-1] if whole else said, skip_special_tokens=True)
        return answer_of(text, whole=whole, prompt_tokens=asked.length, output_tokens=len(said))


def padded(questions: Sequence[Mapping[str, Any]], pad: int) -> dict[str, Any]:
    """One batch, as tensors: tokens padded on the left, all else put together, with zeros where sizes differ. Pure."""
    import numpy as np
    import torch

    lengths = [one["input_ids"].shape[1] for one in questions]
    made = {}
    for name in dict.fromkeys(name for one in questions for name in one):
        values = [one[name] for one in questions if name in one]
        if [each.shape for each in values] == [(1, length) for length in lengths]:  # a number for each token
            filling = pad if name == "input_ids" else 0
            values = [_longer(each, max(lengths), filling) for each in values]
        made[name] = torch.from_numpy(np.concatenate(_of_one_size(values)))
    return made


def _longer(row: Any, length: int, filling: int) -> Any:
    import numpy as np

    return np.pad(row, ((0, 0), (length - row.shape[1], 0)), constant_values=filling)


def _of_one_size(values: Sequence[Any]) -> list[Any]:
    import numpy as np

    shape = np.max([each.shape[1:] for each in values], axis=0, initial=0)
    return [np.pad(each, [(0, 0), *((0, most - n) for most, n in zip(shape, each.shape[1:]))]) for each in values]


def _said(ask: Ask, video: bool) -> list[dict[str, Any]]:
    """The question as a conversation. Pure."""
    seen = [{"type": "video"}] if video else [{"type": "image"}] * len(ask.pictures)
    told = [{"role": "system", "content": [{"type": "text", "text": ask.system}]}] if ask.system else []
    return [*told, {"role": "user", "content": [*seen, {"type": "text", "text": ask.prompt}]}]
