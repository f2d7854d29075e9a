"""What vLLM would be given; vLLM itself needs a GPU, and was not run."""

from __future__ import annotations

import numpy as np
import pytest

from hpcurate import CurrentOr, WorkerInfo
from hpcurate.errors import ConfigError
from hpcurate.planning.needs import lacking
from stages.language.asks import Ask, Generate
from stages.language.caption import Caption
from stages.language.vllm import VllmEngine, messages_of, pictures_of
from stages.video.tasks import ClipTask

PICTURES = [np.full((28, 28, 3), shade, np.uint8) for shade in (10, 20, 30, 40)]
VIDEO = Ask("What happens?", system="Be brief.", pictures=PICTURES, times_s=(0.0, 0.5, 1.0, 1.5))


def test_a_video_is_one_part_with_the_times_of_its_pictures() -> None:
    """Two pictures a second, none left out by vLLM's own sampling."""
    system, user = messages_of(VIDEO, as_video=True)
    assert (system["content"], [part["type"] for part in user["content"]]) == ("Be brief.", ["video", "text"])
    ((frames, about),) = pictures_of(VIDEO, as_video=True)["multi_modal_data"]["video"]
    assert (frames.shape, about["fps"], about["duration"]) == ((4, 28, 28, 3), 2.0, 2.0)
    assert (about["frames_indices"], about["do_sample_frames"]) == ([0, 1, 2, 3], False)


@pytest.mark.parametrize(("ask", "as_video"), [(VIDEO, False), (Ask("What is it?", pictures=PICTURES[:1]), True)])
def test_pictures_of_a_model_without_video_and_stills_are_images(ask: Ask, as_video: bool) -> None:
    """One place in the text for each."""
    content = messages_of(ask, as_video=as_video)[-1]["content"]
    images = pictures_of(ask, as_video=as_video)["multi_modal_data"]["image"]
    assert [part["type"] for part in content] == ["image"] * len(ask.pictures) + ["text"]
    assert [image.getpixel((0, 0))[0] for image in images] == [int(p[0, 0, 0]) for p in ask.pictures]


def test_text_alone_is_text() -> None:
    """For enhancement."""
    ask = Ask("Say it better.")
    assert messages_of(ask, as_video=True) == [{"role": "user", "content": "Say it better."}]
    assert {} == pictures_of(ask, as_video=True)


def test_it_runs_in_an_environment_of_its_own() -> None:
    """The current one lacks vLLM, so that the stage takes `envs/vllm.yml`; a wrong option is refused here."""
    stage = Caption(backend="vllm")
    assert stage.env == CurrentOr("vllm")
    assert "vllm" in lacking(stage, ClipTask)
    with pytest.raises(ConfigError, match=r"options.longst: there is no such key; did you mean 'longest'"):
        Caption(backend="vllm", options={"longst": 5})
    with pytest.raises(ModuleNotFoundError, match="vllm"):
        VllmEngine("m", Generate(), {}, {}).start(WorkerInfo(index=0, process=0, cpus=1))
