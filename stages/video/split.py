"""Split: a video becomes the spans that will be its clips."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from hpcurate import CurrentOr, Resources, Stage, WorkerInfo
from hpcurate.errors import ConfigError
from stages.video.detectors import Name, detector_of
from stages.video.media.container import VideoError
from stages.video.media.decoders import Choice, chosen_decoder
from stages.video.spans import Short, Span, limit_lengths, scenes, strides
from stages.video.tasks import ClipTask, VideoTask, clip_id
from stages.video.timeline import Timeline

SHORTER, LONGER = "shorter than the file declares", "longer than the file declares"
"""What a video's file says of its length, and what is in it: by more than the length of a frame."""


class Split(Stage[VideoTask, ClipTask]):
    """Divide each video into spans, by scene or by stride. A video without a cut is one span.

    Spans shorter than `min_s` are dropped (or merged, see `short`), spans longer than `max_s` are cut into
    the fewest equal pieces that are not longer; lengths count to within half a frame. A video of which
    nothing remains is dropped.
    """

    resources = Resources(cpus=1, memory="4GB", time="4h")
    version = 1

    def __init__(
        self,
        method: Literal["scenes", "stride"] = "scenes",
        threshold: float | None = None,
        stride_s: float = 10.0,
        min_s: float = 2.0,
        max_s: float = 60.0,
        short: Short = "drop",
        detector: Name = "content",
        crop_s: float = 0.0,
        decoder: Choice = "cpu",
    ) -> None:
        """Set what a span is.

        Args:
            method: `scenes` decodes the video and cuts where the picture changes; `stride` every `stride_s`.
            threshold: where a frame starts a scene. `content`: from which mean change of hue, saturation and lightness
                on, 0…255 (27); `transnetv2`: above which probability, 0…1 (0.4).
            stride_s: seconds of a span when `method` is `stride`.
            min_s: spans shorter than this many seconds fall under `short`.
            max_s: spans longer than this many seconds are cut into equal pieces; at least twice `min_s`.
            short: `drop` leaves short spans out, `merge` joins them to the one before (the first: after).
            detector: what finds scenes. `content` compares each frame with the one before (PySceneDetect);
                `transnetv2` is a network that also finds dissolves: it needs torch, its weights, and better a GPU.
            crop_s: seconds that are left out on both sides of a cut, where a transition may still be seen.
            decoder: `cpu`; `nvdec` decodes on the GPU (set resources.gpus), `auto` if there is one. Only `cpu` promises
                the same spans on every machine.
        """
        if min_s < 0 or max_s < 2 * min_s or max_s <= 0:
            raise ConfigError(
                f"max_s: {max_s:g} is less than twice min_s ({min_s:g}), so pieces of a long span would be "
                f"too short; set max_s to {max(2 * min_s, 1):g} or more"
            )
        if method == "stride" and (stride_s <= 0 or stride_s < min_s):
            raise ConfigError(f"stride_s: {stride_s:g} is less than min_s ({min_s:g}), nothing would remain")
        if crop_s < 0:
            raise ConfigError(f"crop_s: {crop_s:g}: expected 0 or more seconds")
        self.method, self.short, self.crop = method, short, Fraction(crop_s)
        self.detector = detector_of(method, detector, threshold)
        self.decoder, self.deterministic = decoder, decoder == "cpu"
        self.model = self.detector.model
        if self.model is not None:
            self.env = CurrentOr("vision")
        self.stride, self.shortest, self.longest = Fraction(stride_s), Fraction(min_s), Fraction(max_s)

    def setup(self, worker: WorkerInfo) -> None:
        """Load what the detector needs, and choose the decoder: whether a GPU decodes is only known on the node."""
        try:
            self.detector.decoder = chosen_decoder(self.decoder)
        except VideoError as error:
            raise VideoError(
                f"decoder={self.decoder}: {error}; set the stage's resources.gpus=1 and check that the node has a "
                "driver, or use decoder=auto or decoder=cpu"
            ) from None
        if self.decoder != "cpu":
            print(f"decoder={self.decoder}: {self.detector.decoder}", flush=True)
        self.detector.setup(worker)

    def prepare(self, task: VideoTask) -> None:
        """Decode for a detector that works apart from the decoder."""
        self.detector.prepare(task)

    def process(self, tasks: list[VideoTask]) -> list[ClipTask]:
        """Clips of each video, in order."""
        return [clip for task in tasks for clip in self._split(task)]

    def _split(self, task: VideoTask) -> list[ClipTask]:
        timeline, starts = self.detector.scenes(task)
        spans, short = self._spans(timeline, starts)
        if not spans:
            longest = max((float(timeline.length(span)) for span in short), default=0.0)
            shortest = float(self.shortest)
            self.drop(task, f"no span of {shortest:g} s or more", value=round(longest, 6), threshold=shortest)
        self._leave_out(task, timeline, spans, short)
        return [self._clip(task, timeline, span) for span in spans]

    def _leave_out(self, task: VideoTask, timeline: Timeline, spans: list[Span], short: list[Span]) -> None:
        """Count what becomes no clip: all that is given, less this, is all that the clips have."""
        whole, lost = timeline.seconds(-1), sum(map(timeline.length, short), Fraction())
        cropped, unseen = whole - lost - sum(map(timeline.length, spans)), task.duration_s - float(whole)
        if short:
            self.left_out(task, f"shorter than min_s={float(self.shortest):g}", len(short), seconds=float(lost))
        if cropped:
            self.left_out(task, f"within crop_s={float(self.crop):g} of a cut", seconds=float(cropped))
        if abs(unseen) > whole / max(1, len(timeline.edges) - 1):
            self.left_out(task, SHORTER if unseen > 0 else LONGER, seconds=unseen)

    def _spans(self, timeline: Timeline, starts: list[int]) -> tuple[list[Span], list[Span]]:
        edges, unit = timeline.edges, timeline.unit
        if self.method == "stride":
            spans, crop = strides(edges, self.stride / unit), Fraction(0)
        else:
            spans, crop = scenes(starts, len(edges) - 1), self.crop / unit
        return limit_lengths(spans, edges, self.shortest / unit, self.longest / unit, self.short, crop)

    def _clip(self, task: VideoTask, timeline: Timeline, span: Span) -> ClipTask:
        start, end = timeline.seconds(span[0]), timeline.seconds(span[1])
        return self.child(
            task,
            ClipTask,
            id=clip_id(task.source, start, end),
            weight=float(end - start),
            source=task.source,
            path=task.path,
            start_s=float(start),
            end_s=float(end),
            start_pts=timeline.edges[span[0]],
            end_pts=timeline.edges[span[1]],
            time_base_num=timeline.unit.numerator,
            time_base_den=timeline.unit.denominator,
            start_frame=span[0],
            end_frame=span[1],
            width=max(2, task.width - task.width % 2),
            height=max(2, task.height - task.height % 2),
            rotation=task.rotation,
            fps_num=task.fps_num,
            fps_den=task.fps_den,
            source_width=task.width,
            source_height=task.height,
            source_codec=task.codec,
            variable_frame_rate=timeline.uneven,
            max_pixels=task.max_pixels,
        )
