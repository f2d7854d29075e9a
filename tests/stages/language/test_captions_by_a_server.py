"""Captions by a server, from videos to metadata, while the server does all that servers do wrong."""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av", reason="the video extra is not installed")
pytest.importorskip("httpx2", reason="the openai extra is not installed")

from endpoint import BROKEN, BUSY, CUT, EMPTY, HALF_JSON, HTML, NOTHING, TRUNCATED, Asked, LocalEndpoint, Reply
from PIL import Image
from video_help import cut_clips, make_video, number_of

import hpcurate
from hpcurate import StageOptions, Step
from hpcurate.runs.state import RunState
from stages.language.caption import Caption
from stages.language.endpoint import SMALL_TALK
from stages.video.tasks import ClipTask

pytestmark = pytest.mark.video
KEY = "sk-fedcba9876543210"
FRAMES, WINDOW = 48, 16
"""Of a video, which is one clip, and of a window."""
LEAKY = Reply(status=500, raw=f"no such batch for key {KEY}".encode())
FAULTS: dict[int, list[Reply]] = {
    0: [BUSY], 16: [BROKEN], 32: [LEAKY, BUSY],
    48: [CUT], 64: [HALF_JSON], 80: [HTML, NOTHING],
    96: [LEAKY] * 9, 112: [TRUNCATED], 128: [BUSY],
    144: [Reply(finish="content_filter")] * 9,
    160: [HALF_JSON] * 9,
    192: [EMPTY], 208: [TRUNCATED], 224: [Reply(usage=False)],
}  # fmt: skip
"""First frame of a window → what its requests get, one after the other; then the answer."""


class Faulty(LocalEndpoint):
    """Answers with the number that it sees in the first picture, after the faults of that window."""

    def __init__(self) -> None:
        super().__init__(self._answer, key=KEY)
        self._left = {window: list(replies) for window, replies in FAULTS.items()}
        self._lock = threading.Lock()
        self.replies: dict[int, list[Reply]] = {}
        """Window → what its requests got."""

    def _answer(self, asked: Asked) -> Reply:
        if asked.text == SMALL_TALK.prompt:
            return Reply()
        picture = Image.open(io.BytesIO(asked.pictures[0])).convert("L")
        window = number_of(np.asarray(picture))
        with self._lock:
            left = self._left.get(window)
            reply = left.pop(0) if left else Reply(text=f"It begins with {window}.")
            self.replies.setdefault(window, []).append(reply)
        return reply


def caption(server: LocalEndpoint, **more: Any) -> Step:
    """The stage, with small windows and batches of three clips, in one stage process, which `concurrency` is for."""
    stage = Caption(
        "tiny", backend="openai", windows={"frames": WINDOW, "remainder": WINDOW, "fps": 6.0},
        server={"url": server.url, "concurrency": 3}, **more,
    )  # fmt: skip
    resources = {"gpus": 0, "cpus": 1, "memory": "1GB"}
    return Step(stage, StageOptions(batch_size=3, tries=3, backoff=0.01, workers=1, resources=resources))


def rows(store: Path, name: str) -> dict[str, dict[str, Any]]:
    """Lines of the stage's files, by the video that they are about."""
    files = [path for path in store.glob(f"stages/caption-*/**/{name}") if not path.is_symlink()]
    lines = [json.loads(line) for path in files for line in path.read_text().splitlines()]
    return {line.get("task", line)["source"]: line for line in lines}


def holds_key(folder: Path) -> list[Path]:
    """Files in which the key stands."""
    return [path for path in folder.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[ClipTask]:
    """Five of three windows each; every frame shows its number."""
    folder, found = tmp_path_factory.mktemp("videos"), []
    for n in range(5):
        numbers = range(n * FRAMES, (n + 1) * FRAMES)
        video = make_video(folder / f"{n}.mp4", numbers=numbers, width=256, height=192, sound=None)
        found += cut_clips(video, folder / str(n), method="stride", stride_s=2.0, min_s=0.1)
    return found


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Faulty]:
    """Whose key is in the environment."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with Faulty() as one:
        yield one


def test_every_clip_has_its_captions_or_a_dead_letter_that_says_why(
    server: Faulty, clips: list[ClipTask], tmp_path: Path
) -> None:
    """All faults at once: no window is lost, none is asked again once it was answered, and the key is nowhere."""
    outcome = hpcurate.run({"caption": caption(server)}, clips, store=tmp_path)
    assert RunState.COMPLETE is outcome.state, outcome.summary
    plain = {n: (f"It begins with {n}.", "done", 4) for n in range(0, 240, WINDOW)}
    found = rows(tmp_path, "tasks.jsonl")
    assert {
        "0.mp4": [plain[0], plain[16], plain[32]],
        "1.mp4": [plain[48], plain[64], plain[80]],
        "4.mp4": [(None, "empty", 0), ("one two", "truncated", 2), ("Yes.", "done", None)],
    } == {
        source: [(one["caption"], one["status"], one["output_tokens"]) for one in row["windows"]]
        for source, row in found.items()
    }
    letters = rows(tmp_path, "failed.jsonl")
    assert {"2.mp4": ("ServerError", 3), "3.mp4": ("ContentFiltered", 1)} == {
        source: (row["error"], row["tries"]) for source, row in letters.items()
    }
    assert "HTTP 500: no such batch for key ***OPENAI_API_KEY***" in letters["2.mp4"]["message"]
    assert set(range(0, 240, WINDOW)) == set(server.replies)
    assert [] == [window for window, replies in server.replies.items() if any(map(is_answer, replies[:-1]))]
    assert 3 >= server.most_at_once
    assert [] == holds_key(tmp_path)


def is_answer(reply: Reply) -> bool:
    """Whether it is whole and honest."""
    return reply.status == 200 and reply.finish in ("stop", "length") and reply.raw is None and not reply.cut


def test_a_wrong_key_stops_the_run_at_once(
    server: Faulty, clips: list[ClipTask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reason, and without a dead letter; with the right one the same command continues."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-0123456789")
    outcome = hpcurate.run({"caption": caption(server)}, clips[-1:], store=tmp_path, launcher="inline")
    assert RunState.STALLED is outcome.state
    assert "setup failed on " in outcome.summary["reason"]
    assert re.search(
        r"server: http://.*: Refused: HTTP 401: .*; the key is that of OPENAI_API_KEY", outcome.summary["reason"]
    )
    assert ({}, {}) == (rows(tmp_path, "failed.jsonl"), server.replies)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    outcome = hpcurate.run({"caption": caption(server)}, clips[-1:], store=tmp_path, launcher="inline")
    assert (RunState.COMPLETE, ["4.mp4"]) == (outcome.state, list(rows(tmp_path, "tasks.jsonl")))
