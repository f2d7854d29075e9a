"""Which encoder is used: x264, or NVENC where the node has a GPU that encodes."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Any, Literal

from stages.video.media.container import VideoError

Choice = Literal["cpu", "auto", "nvenc"]


@cache
def nvenc_works() -> bool:
    """Whether a picture can be encoded here: names of codecs are in every build, a GPU is not in every node."""
    import av
    import numpy as np
    from av.error import FFmpegError

    try:
        context: Any = av.CodecContext.create("h264_nvenc", "w")
        context.width, context.height, context.pix_fmt = 256, 256, "yuv420p"
        context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
        frame = av.VideoFrame.from_ndarray(np.zeros((384, 256), np.uint8), format="yuv420p")
        context.encode(frame)
        context.encode(None)
    except (FFmpegError, ValueError, OSError):
        return False
    return True


def chosen_encoder(choice: Choice) -> str:
    """FFmpeg's name of the encoder. Raises VideoError if a GPU is required and none works."""
    if choice == "cpu" or (choice == "auto" and not nvenc_works()):
        return "libx264"
    if not nvenc_works():
        raise VideoError("no GPU of this node can encode with NVENC")
    return "h264_nvenc"
