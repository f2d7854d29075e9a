"""Captions by a server that the workers start themselves: weights on the node, one load, lost questions asked again."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("av", reason="the video extra is not installed")
pytest.importorskip("httpx2", reason="the openai extra is not installed")

from video_help import cut_clips, make_video

import hpcurate
from hpcurate import StageOptions, Step
from hpcurate.errors import ConfigError
from hpcurate.runs.state import RunState
from hpcurate.store.manifest import FileEntry, write_manifest
from hpcurate.testing import try_stage
from stages.language.asks import Generate
from stages.language.caption import Caption
from stages.language.endpoint import SMALL_TALK, Endpoint

SUPPORT = Path(__file__).resolve().parents[2] / "support"
PROGRAM = f"""
import os, sys, threading
sys.path.insert(0, {str(SUPPORT)!r})
from endpoint import LocalEndpoint
port, model, name, notes, small_talk = sys.argv[1:]
with open(notes, "a") as file:
    print(os.getpid(), os.environ["VLLM_API_KEY"], open(model + "/weights.bin", "rb").read(1).hex(), model, file=file)
first = len(open(notes).readlines()) == 1
left = threading.Semaphore(3)
def answer(asked):
    if asked.text == small_talk:
        return "Yes."
    if len(asked.pictures) == 4:
        os._exit(11)
    if first and not left.acquire(blocking=False):
        os._exit(9)
    return f"{{len(asked.pictures)}} pictures."
LocalEndpoint(answer, key=os.environ["VLLM_API_KEY"], models=(name,), port=int(port)).start()
threading.Event().wait()
"""
COMMAND = ["{port}", "{model}", "{name}"]
pytestmark = pytest.mark.video


def test_clips_of_two_workers_are_captioned_though_their_server_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of the fourth question, and of each about the last clip, which alone fails, soon. No other is tried
    again: its questions are.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    store, notes = tmp_path / "store", tmp_path / "notes"
    (tmp_path / "conf" / "models").mkdir(parents=True)
    (tmp_path / "conf" / "models" / "mine.yaml").write_text(f"repo: me/model\nrevision: {'a' * 40}\n")
    weights = store / "weights" / f"me--model@{'a' * 40}"
    weights.mkdir(parents=True)
    (weights / "weights.bin").write_bytes(b"x")
    write_manifest(str(weights), [FileEntry("weights.bin", 1, hashlib.sha256(b"x").hexdigest())])
    (tmp_path / "server.py").write_text(PROGRAM)
    command = [sys.executable, str(tmp_path / "server.py"), *COMMAND, str(notes), SMALL_TALK.prompt]
    stage = Caption(
        "mine", backend="openai", windows={"frames": 16, "remainder": 16, "fps": 6.0},
        server={"command": command, "health": "/v1/models", "concurrency": 3},
    )  # fmt: skip
    video = make_video(tmp_path / "v.mp4", frames=108, width=64, height=48, sound=None)
    clips = cut_clips(video, tmp_path / "cut", method="stride", stride_s=1.0, min_s=0.1)
    needs = {"gpus": 0, "cpus": 1, "memory": "1GB"}
    options = StageOptions(batch_size=1, shard_tasks=1, workers=2, processes=2, resources=needs)
    outcome = hpcurate.run({"caption": Step(stage, options)}, clips, store=store)
    assert RunState.COMPLETE is outcome.state, outcome.summary
    rows: list[dict[str, Any]] = [
        json.loads(line)
        for path in store.glob("stages/caption-*/shards/*/[!.]*/tasks.jsonl")
        for line in path.read_text().splitlines()
    ]
    windows = [(one["caption"], one["status"], one["model"]) for row in rows for one in row["windows"]]
    assert (4, {("6 pictures.", "done", "mine")}) == (len(rows), set(windows))
    stats = [json.loads(path.read_text()) for path in store.glob("stages/caption-*/shards/*/[!.]*/stats.json")]
    assert [(1, {})] * 5 == [(one["attempt"], one["retried"]) for one in stats]
    loads = [line.split(" ", 3) for line in notes.read_text().splitlines()]
    assert len(loads) <= 6  # one, after it died another, two more for the last clip; and as workers leave
    (letter,) = (
        json.loads(line)
        for path in store.glob("stages/caption-*/shards/*/[!.]*/failed.jsonl")
        for line in path.read_text().splitlines()
    )
    assert ("ServerLost", 1) == (letter["error"], letter["tries"])
    assert not any(psutil.pid_exists(int(pid)) for pid, *_ in loads)
    written = b"".join(path.read_bytes() for path in store.rglob("*") if path.is_file())
    assert [] == [key for _, key, *_ in loads if key.encode() in written]
    assert len({first for *_, first, _ in loads}) == 1


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ({"command": ["a", "{port}"], "url": "http://a/v1"}, "server: either url, perhaps with key, or command"),
        ({"command": ["a", "{port}"], "key": "MY_API_KEY"}, "server: either url, perhaps with key, or command"),
        ({"command": ["vllm", "serve"]}, "server.command=('vllm', 'serve'): none of its words has {port}"),
        ({"command": ["a", "{port}"], "ready_s": 0}, "server.ready_s=0: must be above 0"),
    ],
)
def test_wrong_settings(server: dict[str, Any], said: str) -> None:
    """Before anything runs."""
    with pytest.raises(ConfigError) as raised:
        Endpoint("m", Generate(), {}, server)
    assert str(raised.value).startswith(said)


def test_weights_are_wanted_where_the_command_names_their_folder() -> None:
    """Else the server finds them by itself, and the name is only its."""
    named, own = (Endpoint("m", Generate(), {}, {"command": ["a", *words]}) for words in (COMMAND, ["{port}"]))
    assert (["m"], []) == (named.model_id_names, own.model_id_names)


def test_without_workers_nobody_starts_one(tmp_path: Path) -> None:
    """A stage that is tried alone needs an address."""
    with pytest.raises(ConfigError, match=r"server\.command: only the workers of a run start a server"):
        try_stage(Caption("m", backend="openai", server={"command": ["a", "{port}"]}), [], tmp_path)
