"""The one way in which the video stages open a file: a regular file of a known container, and nothing that it names.

A path may also be the address of a file inside another one, e.g. a member of a tar (`hpcurate/inside.py`).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from hpcurate.inside import HasChanged, file_of, inside, open_inside, size_inside
from stages.video.media.mp4 import mp4_fault

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.error import FFmpegError
    from av.packet import Packet

FORMATS = "mov,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,mxf,nut,ivf,dv"
"""Containers that are opened. No playlists and no image sequences, since these name other files."""
MOST_PIXELS = 8192 * 4352
"""Pixels of a picture: the largest of H.264 and HEVC at level 6.2. 8K has fewer."""
LARGEST_PIECE = 256 * 2**20
"""Bytes of memory that FFmpeg may take at once for a file: a picture of `MOST_PIXELS` with 6 bytes a pixel, or an index
of eleven million pictures. A file of 300 bytes can claim an index that needs two gigabytes."""
OF_FILESYSTEM = frozenset([
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.ESHUTDOWN,
    errno.EREMOTEIO, errno.ENOENT, errno.EACCES,
])  # fmt: skip
"""EIO is none of them: FFmpeg's readers also say that of a file that ends too early."""

Decoder = Literal["cpu", "nvdec"]
"""What decodes; NVDEC leaves to the CPU what it cannot (see `decoders.py`)."""


class VideoError(ValueError):
    """A video cannot be used; the message names it and the fault."""


def open_container(path: str, source: str, decoder: Decoder = "cpu", max_pixels: int = MOST_PIXELS) -> InputContainer:
    """Open a file of the containers we take, and of no other kind; `source` is its name in messages.

    Only the protocol `file` is allowed (and `subfile`, for bytes of one), no other format than `FORMATS`, no tracks of
    QuickTime that are in another file, and no picture of more than `max_pixels`, decoded to look at it. Raises
    VideoError for what is no video file, OSError for one that is not there or cannot be read.
    """
    import av

    fault = file_fault(path)
    if fault:
        raise VideoError(f"{source}: {fault}")
    limit_memory(max_pixels)
    options = {
        "format_whitelist": FORMATS, "protocol_whitelist": "file,subfile" if inside(path) else "file",
        "enable_drefs": "0", **decoder_options(max_pixels),
    }  # fmt: skip
    older = int(av.__version__.partition(".")[0]) < 19
    more: Any = {"metadata_errors": "replace"} if older else {}
    if decoder == "nvdec":
        more["hwaccel"] = nvdec()
    try:
        with ffmpeg_errors(source, "not a video file"):
            opened: InputContainer = av.open(path if inside(path) else f"file:{path}", options=options, **more)
    except VideoError as error:
        fault = mp4_fault(path)
        raise VideoError(f"{source}: {fault}" if fault else str(error)) from error.__cause__
    return opened


def file_fault(path: str) -> str | None:
    """Why a path is not even opened: a pipe would be waited for. Raises OSError if it is not there or not readable."""
    status = os.stat(file_of(path))
    if not stat.S_ISREG(status.st_mode):
        return f"expected a regular file, found a {kind_of(status.st_mode)}"
    try:
        with open_inside(path):
            return None if size_inside(path) else "empty file"
    except HasChanged as error:
        return str(error)


def kind_of(mode: int) -> str:
    """What a path is, in a word. Pure."""
    kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}
    return kinds.get(stat.S_IFMT(mode), "device")


def decoder_options(max_pixels: int) -> dict[str, str]:
    """What FFmpeg itself refuses to decode: stored pictures are larger than displayed ones by the rest of a block."""
    return {"max_pixels": str(2 * max_pixels + 2**16)}


def limit_memory(max_pixels: int) -> None:
    """FFmpeg takes no larger piece of memory at once: PyAV has no function for it, its library does."""
    import ctypes

    import av._core

    ctypes.CDLL(av._core.__file__).av_max_alloc(ctypes.c_size_t(max(LARGEST_PIECE, 8 * max_pixels)))


@contextmanager
def ffmpeg_errors(source: str, fault: str) -> Iterator[None]:
    """FFmpeg's errors in here are VideoErrors: `source: fault: reason`. Those of the filesystem stay OSErrors: they are
    no fault of the video, and may be gone a moment later.
    """
    from av.error import FFmpegError

    try:
        yield
    except FFmpegError as error:
        raise_fault(error, source, fault)


def raise_fault(error: FFmpegError, source: str, fault: str) -> NoReturn:
    """Raise what an error of FFmpeg is: see `ffmpeg_errors`."""
    if error.errno in OF_FILESYSTEM:
        raise OSError(error.errno, f"{source}: {error.strerror}") from error
    if isinstance(error, MemoryError):  # refused by us: a cause of this class would be taken for lack of memory
        cause = ValueError(str(error))
        raise VideoError(f"{source}: {fault}: it asks for more memory than a video needs") from cause
    raise VideoError(f"{source}: {fault}: {error.strerror}") from error


def demux(container: InputContainer, *streams: Any) -> Iterator[Packet]:
    """Packets of these streams, as they lie in the file; one without content after the last of each.

    Streams that begin later in the file (MPEG-TS, FLV) are unknown to PyAV: it fails when it ends them.
    """
    wanted = {stream.index for stream in streams}
    with suppress(IndexError):
        yield from (packet for packet in container.demux(streams) if packet.stream_index in wanted)


def nvdec() -> Any:
    """PyAV's access to NVDEC: frames come back into main memory; a codec that it lacks is decoded on the CPU."""
    from av.codec.hwaccel import HWAccel

    return HWAccel("cuda", allow_software_fallback=True)
