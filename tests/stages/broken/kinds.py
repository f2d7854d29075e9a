"""Kinds of input that are broken or odd: how each is made, and how it ends in the video pipeline. One table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs

from tests.stages.broken import damage, places, refer, whole
from tests.stages.broken.ends import End
from tests.stages.broken.media import jpeg, png, sound_only, video
from tests.stages.broken.refer import Place


@attrs.define(frozen=True)
class Kind:
    """One kind of input."""

    file: str
    """Its path below the folder."""
    what: str
    """What is odd about it."""
    end: End
    content: Callable[[], bytes] | None = None
    """Returns what the file holds."""
    naming: Callable[[Place], bytes] | None = None
    """The same of a file that names others."""
    put: Callable[[Path], None] | None = None
    """Makes what is no plain file."""

    def make(self, place: Place) -> None:
        """Make it."""
        if self.put:
            self.put(place.path)
        else:
            assert self.content or self.naming
            place.path.write_bytes(self.content() if self.content else self.naming(place))  # type: ignore[misc]


CLIPS, ABSENT = End("clips"), End("not taken in")
SHORT, STILL = End("dropped", "split", "no span of 2 s or more"), End("dropped", "clips", "motion below 0.25")


def dead(reason: str, stage: str = "probe") -> End:
    """A dead letter."""
    return End("dead letter", stage, reason)


NO_VIDEO, DAMAGED = dead("not a video file"), dead("damaged after 0.0 s")
TOO_LARGE = dead("more than max_pixels=35651584")

UNUSUAL = (
    Kind("plain.mp4", "nothing: H.264 and AAC in MP4, the index at the end", CLIPS, video),
    Kind("plain.mkv", "Matroska", CLIPS, lambda: video("matroska")),
    Kind("plain.ts", "MPEG-TS", CLIPS, lambda: video("mpegts")),
    Kind("plain.avi", "AVI with MPEG-4", CLIPS, lambda: video("avi", codec="mpeg4")),
    Kind("plain.mpg", "MPEG-PS with MPEG-2", CLIPS, lambda: video("mpeg", codec="mpeg2video")),
    Kind("plain.webm", "WebM with VP8, no sound", CLIPS, lambda: video("webm", codec="libvpx", sound=False)),
    Kind("plain.flv", "FLV", CLIPS, lambda: video("flv")),
    Kind("index-in-front.mp4", "the index in front", CLIPS, whole.in_front),
    Kind("fragmented.mp4", "fragments", CLIPS, whole.fragmented),
    Kind("wrong-extension.avi", "an MP4 that is called AVI", CLIPS, video),
    Kind("variable-rate.mp4", "frames at uneven distances", CLIPS, whole.uneven),
    Kind("ten-bit.mp4", "10 bits a colour", CLIPS, lambda: video(pix_fmt="yuv420p10le")),
    Kind("444.mp4", "4:4:4", CLIPS, lambda: video(pix_fmt="yuv444p")),
    Kind("interlaced.mp4", "interlaced", CLIPS, lambda: video(options={"x264-params": "tff=1"})),
    Kind("rotated.mp4", "a display matrix that rotates", CLIPS, lambda: video(rotation=90)),
    Kind("odd-sides.mp4", "97 × 65 pixels", CLIPS, lambda: video(size=(97, 65), pix_fmt="yuv444p")),
    Kind("one-key-frame.mp4", "one key frame", CLIPS, lambda: video(gop=1000)),
    Kind("no-key-frames.mp4", "an index without key frames", CLIPS, whole.without_keys),
    Kind("negative-times.mp4", "begins before zero, behind an edit list", CLIPS, lambda: video(first=-700)),
    Kind("negative-times.mkv", "begins before zero", CLIPS, lambda: video("matroska", first=-700)),
    Kind("late.mp4", "begins at 5 s", CLIPS, lambda: video(first=5000)),
    Kind("many-streams.mkv", "20 streams of sound", CLIPS, whole.many_streams),
    Kind("junk-behind.mp4", "10 KB of junk behind the end", CLIPS, lambda: video() + bytes(range(256)) * 40),
    Kind("zero-rate.avi", "a rate of 0/0", CLIPS, lambda: whole.avi_rate(0, 0)),
    Kind("ten-hours-claimed.mp4", "3 s whose header says ten hours", CLIPS, whole.ten_hours_claimed),
    Kind("size-claimed.mp4", "an index that says 65535 × 65535; the stream says 96 × 64", CLIPS, whole.size_claimed),
    Kind("other-data.mov", "data said to be in a URL: its own are read", CLIPS, naming=refer.to_url),
    Kind("later-stream.ts", "a stream that begins in the middle", CLIPS, whole.later_stream),
    Kind("growing.ts", "grows while the run works", CLIPS, lambda: video("mpegts")[: 188 * 300]),
)

SMALL_OR_LARGE = (
    Kind("one-frame.mp4", "one frame", SHORT, lambda: video(frames=1, sound=False)),
    Kind("one-pixel.mkv", "1 × 1", STILL, lambda: video("matroska", codec="ffv1", size=(1, 1), pix_fmt="gray", sound=False, still=True)),
    Kind("8k.mp4", "7680 × 4320, two frames", STILL, whole.in_8k),
    Kind("strip.mp4", "8192 × 16", STILL, lambda: video(size=(8192, 16), rate=2, frames=6, sound=False)),
    Kind("column.mp4", "16 × 8192", STILL, lambda: video(size=(16, 8192), rate=2, frames=6, sound=False)),
    Kind("still.mp4", "nothing moves", STILL, lambda: video(still=True)),
    Kind("slow.mp4", "an index that says 500 s a frame", STILL, whole.slow),
    Kind("wide-pixels.mp4", "pixels 30000 times as wide as high", dead("2880000 × 64 pixels, more than"), whole.wide_pixels),
    Kind("png-bomb.mov", "a PNG of 16000 × 16000 in 100 bytes", TOO_LARGE, lambda: damage.pictures("mov", "png", [png(16000, 16000)] * 3)),
    Kind("cover-bomb.mkv", "a cover of 16000 × 16000 and sound", dead("no video stream, only sound"), lambda: whole.with_cover(png(16000, 16000))),
    Kind("mpeg2-bomb.mpg", "MPEG-2 that says 16000 × 16000", dead("16000 × 16000 pixels, more than"), damage.large_mpeg2),
    Kind("vp8-bomb.webm", "VP8 that says 16000 × 16000", TOO_LARGE, damage.large_vp8),
    Kind("later-bomb.mov", "16 × 16, then 16000 × 16000", dead("more than max_pixels=35651584", "split"), lambda: damage.pictures("mov", "png", [damage.small_png()] * 3 + [png(16000, 16000)] * 2)),
    Kind("index-bomb.mp4", "an index of 60 million pictures in 2 KB", dead("no frame can be decoded"), damage.index_bomb),
    Kind("fragment-bomb.mp4", "a fragment of 60 million pictures", dead("asks for more memory than a video needs"), damage.fragment_bomb),
    Kind("many-tracks.mp4", "1500 tracks", dead("asks for more memory than a video needs"), damage.many_tracks),
    Kind("deep.mp4", "5000 boxes within each other", NO_VIDEO, damage.deep),
    Kind("zeros.mkv", "4 GB of zeros, sparse", NO_VIDEO, put=places.sparse),
)  # fmt: skip

CUT_OFF = (
    Kind("empty.mp4", "empty", dead("empty file"), lambda: b""),
    Kind("cut-in-header.mp4", "the first 20 bytes", dead("truncated: box 'ftyp'"), lambda: video()[:20]),
    Kind("cut-in-middle.mp4", "half, the index at the end", dead("truncated: box 'mdat'"), lambda: video()[:30000]),
    Kind("cut-in-index.mp4", "without the end of the index", dead("truncated: box 'moov'"), lambda: video()[:-500]),
    Kind("no-index.mp4", "without the index", dead("truncated: no 'moov' box"), damage.no_moov),
    Kind("cut-in-front-index.mp4", "cut in the index in front", dead("truncated: box 'moov'"), lambda: whole.in_front()[:1000]),
    Kind("cut-behind-index.mp4", "half, the index in front", dead("truncated: box 'mdat'"), lambda: whole.in_front()[:30000]),
    Kind("cut-in-last-packet.mp4", "the last 100 bytes are missing", dead("truncated: box 'mdat'"), lambda: whole.in_front()[:-100]),
    Kind("cut-in-fragment.mp4", "cut in a fragment", dead("truncated: box 'mdat'"), lambda: whole.fragmented()[:30000]),
    Kind("cut.mkv", "half of a Matroska: what is there is used", SHORT, lambda: video("matroska")[:30000]),
    Kind("cut-in-header.mkv", "the first 300 bytes", NO_VIDEO, lambda: video("matroska")[:300]),
    Kind("cut.ts", "half of an MPEG-TS: what is there is used", SHORT, lambda: video("mpegts")[:50000]),
    Kind("cut.avi", "half of an AVI: what is there is used", SHORT, lambda: video("avi", codec="mpeg4")[:30000]),
)  # fmt: skip

NO_VIDEOS = (
    Kind("text.mp4", "text", NO_VIDEO, lambda: b"hello world\n" * 100),
    Kind("login.mp4", "an HTML page where to log in", NO_VIDEO, lambda: b"<!DOCTYPE html><html><title>Sign in</title>" * 9),
    Kind("jpeg.mp4", "a JPEG", NO_VIDEO, lambda: jpeg(16, 16)),
    Kind("zip.mp4", "a ZIP", NO_VIDEO, lambda: b"PK\3\4" + bytes(2000)),
    Kind("ones.ts", "bytes of 0xff", NO_VIDEO, lambda: b"\xff" * 5000),
    Kind("sound-only.mp4", "sound only", dead("no video stream, only sound"), sound_only),
    Kind("cover-only.mkv", "sound with a cover", dead("no video stream, only sound"), lambda: whole.with_cover(damage.small_png())),
    Kind("subtitles-only.mkv", "subtitles only", dead("no video stream"), whole.subtitles),
    Kind("unknown-codec.mp4", "pictures of an unknown codec", dead("no video stream of a known codec"), lambda: whole.unknown(b"avc1")),
    Kind("unknown-sound.mp4", "sound of an unknown codec", dead("sound of an unknown codec; audio=false", "clips"), lambda: whole.unknown(b"mp4a")),
    Kind("hls.mp4", "a playlist (HLS) that names a video beside the input", NO_VIDEO, naming=lambda place: refer.hls(f"file://{place.other}")),
    Kind("hls.ts", "a playlist (HLS) that names a URL", NO_VIDEO, naming=lambda place: refer.hls(place.url)),
    Kind("dash.mp4", "a playlist (DASH) that names a URL", NO_VIDEO, naming=refer.dash),
    Kind("concat.mp4", "a list for FFmpeg's concat", NO_VIDEO, naming=refer.concat),
    Kind("sdp.mp4", "a session (SDP) of a network", NO_VIDEO, naming=refer.sdp),
    Kind("alias.mov", "QuickTime whose data are in another file", dead("no frame can be decoded"), naming=refer.to_alias),
)  # fmt: skip

DAMAGED_INSIDE = (
    Kind("encrypted.mp4", "encrypted (CENC)", dead("encrypted: its pictures cannot be decoded without a key"), damage.encrypted),
    Kind("random-data.mp4", "random bytes where the data are", DAMAGED, damage.random_data),
    Kind("wrong-sizes.mp4", "a wrong size of each picture (stsz)", DAMAGED, damage.wrong_sizes),
    Kind("wrong-places.mp4", "wrong places of the data (stco)", DAMAGED, damage.wrong_places),
    Kind("places-outside.mp4", "places behind the end (stco)", dead("no frame can be decoded"), damage.places_outside),
    Kind("zero-duration.mp4", "all pictures at one time (stts)", dead("truncated: the picture ends at", "split"), damage.zero_duration),
    Kind("ten-hours-of-one-frame.mp4", "the last picture is shown for ten hours", dead("is shown for 36000 s", "split"), damage.ten_hours),
    Kind("slow-rate.avi", "one frame in 68 years", dead("is shown for 2147483647 s", "split"), lambda: whole.avi_rate(2**31 - 1, 1)),
    Kind("fast-rate.avi", "two thousand million frames a second", SHORT, lambda: whole.avi_rate(1, 2**31 - 1)),
    Kind("no-units.mp4", "a time scale of 0", STILL, lambda: whole.units(0)),
    Kind("fine-units.mp4", "a time scale of 4294967295", STILL, lambda: whole.units(2**32 - 1)),
)  # fmt: skip

PLACES = (
    Kind("vanishing.mp4", "removed after the input was listed", dead("No such file or directory"), video),
    Kind("pipe-later.mp4", "replaced by a pipe after the input was listed", dead("expected a regular file, found a pipe"), video),
    Kind("pipe.mp4", "a pipe", ABSENT, put=places.pipe),
    Kind("socket.mp4", "a socket", ABSENT, put=places.unix_socket),
    Kind("device.mp4", "a link to /dev/zero", ABSENT, put=lambda path: places.link(path, "/dev/zero")),
    Kind("nowhere.mp4", "a link to nothing", ABSENT, put=lambda path: places.link(path, "is-not-there.mp4")),
    Kind("itself.mp4", "a link to itself", ABSENT, put=lambda path: places.link(path, "itself.mp4")),
    Kind("unreadable.mp4", "not readable by who runs it", dead("Permission denied"), put=places.unreadable),
    Kind("ring", "two folders with links to each other and to themselves, and a video", CLIPS, put=places.ring),
    Kind("folder.mp4", "a folder called like a video", ABSENT, put=places.folder),
    Kind(".hidden.mp4", "a hidden file", ABSENT, video),
    Kind("movie.txt", "a video with another extension", ABSENT, video),
    Kind("linked.mp4", "a link to a video", CLIPS, put=lambda path: places.link(path, "plain.mp4")),
)  # fmt: skip

KINDS = (*UNUSUAL, *SMALL_OR_LARGE, *CUT_OFF, *NO_VIDEOS, *DAMAGED_INSIDE, *PLACES)


def make_all(folder: Path, other: Path, url: str) -> int:
    """Make each kind below the folder; how many there are."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        kind.make(Place(folder / kind.file, other.absolute(), url))
    return len(KINDS)


def table() -> str:
    """How each kind ends, for people."""
    rows = (f"| `{kind.file}` | {kind.what} | {kind.end} |" for kind in KINDS)
    return "\n".join(["| file | what is odd about it | how it ends |", "|---|---|---|", *rows])
