"""Answers by vLLM in the stage process. Untried: nobody has run it yet, as vLLM needs a GPU and CUDA.

In an environment of its own (`envs/vllm.yml`): vLLM pins torch and transformers. Figures: Cosmos-Curate's.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import attrs

from hpcurate import WorkerInfo
from hpcurate.errors import ConfigError
from hpcurate.fields import convert, option
from hpcurate.model import described, get_local_dir_for_weights_name, read_model_config, remote_code_allowed
from stages.language.asks import Answer, Ask, Generate, Ready, answer_of
from stages.language.engine import Engine

if TYPE_CHECKING:
    from stages.video.media.sampling import Picture

SEES_VIDEO = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
"""How the `model_type` of models begins that take a video as one thing; others are given its pictures."""


@attrs.define(frozen=True, kw_only=True)
class VllmOptions:
    """What vLLM is started with. All of it counts in the fingerprint."""

    dtype: str = option("auto", "of the network's numbers, as vLLM calls it")
    longest: int = option(32768, "tokens of question and answer together, pictures included", minimum=1)
    memory: float = option(0.85, "share of the GPU's memory that vLLM takes", minimum=0.01)
    pictures: Literal["auto", "video", "images"] = option(
        "auto",
        "how pictures are given; auto: as one video to models of Qwen's family",
        choices=("auto", "video", "images"),
    )
    most_pictures: int = option(64, "images of a question at most, where they are no video", minimum=1)
    more: dict[str, Any] = option(dict, "further arguments of vllm.LLM, by name")


class VllmEngine(Engine):
    """A model that vLLM runs on the GPUs of this stage process."""

    def __init__(self, name: str, generate: Generate, options: Mapping[str, Any], server: Mapping[str, Any]) -> None:
        super().__init__(name, generate, options, server)
        self.options = convert(VllmOptions, options, "options")

    @property
    def model_id_names(self) -> list[str]:
        """One of the registry."""
        return [self.name]

    def check_weights(self, name: str, folder: Path) -> None:
        """See `Model`."""
        config = read_model_config(folder)
        if "model_type" not in config:
            raise ConfigError(f"{described(config)}; expected a model that vLLM runs")

    def start(self, worker: WorkerInfo) -> None:
        """Load it, over all GPUs of this process."""
        from transformers import AutoTokenizer
        from vllm import LLM

        folder = get_local_dir_for_weights_name(self.name)
        kind = str(read_model_config(folder).get("model_type", ""))
        wanted = self.options.pictures
        self.as_video = kind.startswith(SEES_VIDEO) if wanted == "auto" else wanted == "video"
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        with _alone():
            self.network: Any = LLM(
                model=str(folder),
                dtype=self.options.dtype,
                max_model_len=self.options.longest,
                gpu_memory_utilization=self.options.memory * worker.gpu_share,
                tensor_parallel_size=max(1, len(worker.gpus)),
                limit_mm_per_prompt={"video": 1} if self.as_video else {"image": self.options.most_pictures},
                trust_remote_code=remote_code_allowed(self.name),
                seed=self.generate.seed,
                **self.options.more,
            )

    def ready(self, ask: Ask) -> Ready:
        """The question in the model's own form, with its pictures."""
        asked = messages_of(ask, as_video=self.as_video)
        prompt = self.tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        return Ready(ask, {"prompt": prompt, **pictures_of(ask, as_video=self.as_video)}, len(prompt))

    def answers(self, asked: Sequence[Ready]) -> list[Answer]:
        """vLLM makes batches itself, and answers in the order asked."""
        from vllm import SamplingParams

        if not asked:
            return []
        sampling = SamplingParams(**attrs.asdict(self.generate))
        found = self.network.generate([one.inputs for one in asked], sampling, use_tqdm=False)
        return [_answer(one) for one in found]


@contextmanager
def _alone() -> Iterator[None]:
    """One process of this user on a node at a time: two that fill the caches of its compiler at once spoil them."""
    folder = os.environ.get("VLLM_CACHE_ROOT", "")
    if not folder:
        yield
        return
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "starting"), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # let go of with the process, however that ends
        yield


def _answer(found: Any) -> Answer:
    (said,) = found.outputs
    return answer_of(
        said.text,
        whole=said.finish_reason == "stop",
        prompt_tokens=len(found.prompt_token_ids),
        output_tokens=len(said.token_ids),
    )


def messages_of(ask: Ask, *, as_video: bool) -> list[dict[str, Any]]:
    """The question as a chat, with places for its pictures. Pure."""
    places = len(ask.pictures) if not (as_video and ask.times_s) else 1
    kind = "video" if as_video and ask.times_s else "image"
    content = [*({"type": kind} for _ in range(places if ask.pictures else 0)), {"type": "text", "text": ask.prompt}]
    system = [{"role": "system", "content": ask.system}] if ask.system else []
    return [*system, {"role": "user", "content": content if ask.pictures else ask.prompt}]


def pictures_of(ask: Ask, *, as_video: bool) -> dict[str, Any]:
    """What vLLM is given beside the text: nothing, images, or one video with the times of its pictures."""
    if not ask.pictures:
        return {}
    if not (as_video and ask.times_s):
        return {"multi_modal_data": {"image": [_image(picture) for picture in ask.pictures]}}
    import numpy as np

    length = ask.times_s[-1] - ask.times_s[0]
    fps = (len(ask.times_s) - 1) / length if length > 0 else 1.0
    about = {
        "fps": fps,
        "total_num_frames": len(ask.pictures),
        "frames_indices": list(range(len(ask.pictures))),
        "duration": len(ask.pictures) / fps,
        "do_sample_frames": False,  # they are sampled
    }
    return {"multi_modal_data": {"video": [(np.stack(ask.pictures), about)]}}


def _image(picture: Picture) -> Any:
    from PIL import Image

    return Image.fromarray(picture)
