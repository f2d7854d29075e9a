"""What decodes: the CPU, or NVDEC where the node has a GPU that PyAV can open."""

from __future__ import annotations

from functools import cache
from typing import Literal

from stages.video.media.container import Decoder, VideoError, nvdec

Choice = Literal["cpu", "auto", "nvdec"]


@cache
def nvdec_works() -> bool:
    """Whether a GPU can be opened for H.264 here: PyAV's FFmpeg has the code everywhere, a GPU is not in every node."""
    from av import Codec
    from av.error import FFmpegError

    try:
        nvdec().create(Codec("h264", "r"))
    except (FFmpegError, NotImplementedError, ValueError, OSError):
        return False
    return True


def chosen_decoder(choice: Choice) -> Decoder:
    """What decodes on this node. Raises VideoError if a GPU is required and none works."""
    if choice == "cpu" or (choice == "auto" and not nvdec_works()):
        return "cpu"
    if not nvdec_works():
        raise VideoError("no GPU of this node can decode with NVDEC")
    return "nvdec"
