"""Clips and images as WebDataset tars: members, bins, bytes, growth, and what the libraries of the field read."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from PIL import Image

from hpcurate import File
from hpcurate.errors import PipelineError, StageError
from hpcurate.testing import Outcome, try_stage
from stages.language.windows import Window
from stages.shards.webdataset import WebDataset
from stages.video.tasks import ClipTask
from stages.vision.tasks import ImageTask
from stages.vision.vectors import write_vectors

pytestmark = pytest.mark.video

GOLDEN = "b92f98c3e0e71ddaa07d70b91b6f4859a3dc9d5c593526121bf0a81987841500"
"""SHA-256 of the only tar of three clips, as it was when this stage was written."""


@attrs.define(kw_only=True)
class Mine(ClipTask):
    """A user's own class."""

    mood: str = "calm"


def clip(number: int, *, seconds: float = 6.0, width: int = 1280, height: int = 720, **more: Any) -> Mine:
    """A clip whose file is 100 bytes and more of one value."""
    name = f"clip-{number:03d}"
    data = bytes([number % 256]) * (100 + number)
    return Mine(
        id=name, source="a/b.mp4", path="/in/a/b.mp4", start_s=1.0, end_s=1.0 + seconds, start_pts=0, end_pts=1,
        time_base_num=1, time_base_den=24, start_frame=24, end_frame=168, width=width, height=height, fps_num=24,
        fps_den=1, source_width=width, source_height=height, source_codec="h264", clip=File(f"media/{name}.mp4"),
        sha256=hashlib.sha256(data).hexdigest(), windows=[Window(start_frame=0, end_frame=143, caption=f"a dog {number}")],
        **more,
    )  # fmt: skip


@attrs.define
class Place:
    """A folder with the clips' files, one for what is packed, and trials in it."""

    folder: Path
    trials: int = 0
    size: int = 100
    """Bytes of a clip's file, and a few more."""

    @property
    def out(self) -> Path:
        """What is packed."""
        return self.folder / "out"

    def pack(self, tasks: list[Any], **more: Any) -> Outcome:
        """As a stage is run; all have to be packed."""
        outcome = self.tried(tasks, **more)
        assert not outcome.failed, outcome.failed
        assert {task.id for task in outcome.tasks} == {task.id for task in tasks}
        return outcome

    def tried(self, tasks: list[Any], **more: Any) -> Outcome:
        """As a stage is run."""
        (self.folder / "media").mkdir(exist_ok=True)
        for task in tasks:
            if isinstance(task, Mine):
                number = int(task.id[-3:])
                (self.folder / "media" / f"{task.id}.mp4").write_bytes(bytes([number]) * (self.size + number))
        self.trials += 1
        trial = self.folder / f"trial-{self.trials}"
        trial.mkdir()
        (trial / "media").symlink_to(self.folder / "media")
        return try_stage(WebDataset(str(self.out), **more), tasks, trial, batch_size=0)

    def vectors(self, tasks: list[Any], model: str, width: int = 4) -> np.ndarray:
        """Give each a vector by this model, in one file."""
        (self.folder / "media").mkdir(exist_ok=True)
        matrix = np.random.default_rng(len(model)).random((len(tasks), width), dtype=np.float32)
        write_vectors(self.folder / "media" / f"{model}.parquet", [task.id for task in tasks], matrix)
        for task in tasks:
            task.embeddings.append(File(f"media/{model}.parquet"))
        return matrix

    def tars(self) -> dict[str, list[str]]:
        """Path → names of the members."""
        found = sorted(self.out.rglob("*.tar"))
        return {path.relative_to(self.out).as_posix(): tarfile.open(path).getnames() for path in found}

    def samples(self) -> dict[str, dict[str, bytes]]:
        """Key → extension → data, over all tars; each sample once."""
        found: dict[str, dict[str, bytes]] = {}
        for path in self.out.rglob("*.tar"):
            with tarfile.open(path) as archive:
                for info in archive:
                    key, _, extension = info.name.partition(".")
                    data = archive.extractfile(info)
                    assert data is not None
                    assert found.setdefault(key, {}).setdefault(extension, data.read()) is not None
        return found

    def index(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Tar and line of each sample."""
        for path in sorted(self.out.rglob("*.index")):
            for line in path.read_text().splitlines():
                row = json.loads(line)
                yield path.parent / row["file"], row


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty one."""
    return Place(tmp_path)


def tree(folder: Path) -> dict[str, bytes]:
    """Path → bytes of all files, hidden ones too."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_sample_has_its_clip_its_fields_and_its_vectors(place: Place) -> None:
    """Side by side under one key; the fields are the public ones, the user's own included, without paths of files."""
    tasks = [clip(1), clip(2)]
    matrix = place.vectors(tasks, "CLIP-v1.5")
    place.pack(tasks)
    (names,) = place.tars().values()
    assert len(names) == 6
    assert [name.split(".", 1)[1] for name in names[:3]] == ["mp4", "json", "clip-v1_5.npy"]
    assert len({name.split(".")[0] for name in names[:3]}) == 1
    sample = place.samples()["clip-002"]
    assert sample["mp4"] == bytes([2]) * 102
    assert np.load(io.BytesIO(sample["clip-v1_5.npy"])).tolist() == matrix[1].tolist()
    fields = json.loads(sample["json"])
    assert (fields["span_uuid"], fields["source_video"], fields["mood"]) == ("clip-002", "a/b.mp4", "calm")
    assert fields["duration_span"] == [1.0, 7.0]
    assert fields["windows"][0]["caption"] == "a dog 2"
    assert not {"clip_location", "preview_location", "start_pts", "path"} & fields.keys()


def test_clips_are_in_the_folder_of_their_bin(place: Place) -> None:
    """By shape, resolution and length; each has its own numbers."""
    sizes = [(1280, 720, 6.0), (720, 1280, 6.0), (1920, 1080, 12.0), (1280, 720, 3.0), (1280, 720, 7.0)]
    place.pack([clip(n, width=w, height=h, seconds=s) for n, (w, h, s) in enumerate(sizes)])
    assert {name: len(found) // 2 for name, found in place.tars().items()} == {
        "16x9/720p/5-10s/000000.tar": 2,
        "16x9/720p/under5s/000000.tar": 1,
        "16x9/1080p/10-30s/000000.tar": 1,
        "9x16/720p/5-10s/000000.tar": 1,
    }


def test_images_are_packed_as_they_are(place: Place) -> None:
    """With the suffix of their file, and no folder for a length."""
    Image.new("RGB", (640, 480)).save(place.folder / "a.PNG")
    path = str(place.folder / "a.PNG")
    place.pack([ImageTask(id="i", source="a.PNG", path=path, width=640, height=480)], bins={"sides": [256]})
    assert place.tars() == {"4x3/256p/000000.tar": ["i.png", "i.json"]}
    assert place.samples()["i"]["png"] == Path(path).read_bytes()


def test_the_index_says_where_everything_lies(place: Place) -> None:
    """Offsets, sizes and digests: a sample is read without the rest of its tar, as a tar or by member."""
    tasks = [clip(number) for number in range(7)]
    place.vectors(tasks, "m")
    place.pack(tasks, samples=3)
    samples = place.samples()
    assert sorted(samples) == sorted(row["key"] for _, row in place.index()) == sorted(task.id for task in tasks)
    for path, row in place.index():
        data = path.read_bytes()
        for extension, (offset, size, digest) in row["members"].items():
            assert data[offset : offset + size] == samples[row["key"]][extension]
            assert hashlib.sha256(data[offset : offset + size]).hexdigest() == digest
        alone = io.BytesIO(data[row["offset"] : row["offset"] + row["size"]])
        assert tarfile.open(fileobj=alone).getnames() == [f"{row['key']}.{end}" for end in row["members"]]


def test_tars_are_bounded_by_bytes_and_by_samples(place: Place) -> None:
    """Two clips of 400 kB fit into 1 MB; one that is larger has a tar of its own."""
    place.size = 400_000
    place.pack([clip(number) for number in range(5)], size="1MB")
    assert [len(names) // 2 for names in place.tars().values()] == [2, 2, 1]
    assert all(path.stat().st_size <= 1 << 20 for path in place.out.rglob("*.tar"))
    place.size = 1_200_000
    place.pack([clip(number, width=640, height=480) for number in range(7, 9)], size="1MB")
    assert [len(names) // 2 for name, names in place.tars().items() if name.startswith("4x3")] == [1, 1]


def test_two_folders_get_the_same_bytes(tmp_path: Path) -> None:
    """In whatever order the clips come; the bytes are those of the day when this was written."""
    places = [Place(tmp_path / name) for name in "ab"]
    for one, order in zip(places, (1, -1)):
        one.folder.mkdir()
        tasks = [clip(number) for number in range(3)]
        one.vectors(tasks, "m")
        one.pack(tasks[::order])
    first, second = (tree(one.out) for one in places)
    assert first == second
    assert hashlib.sha256(first["16x9/720p/5-10s/000000.tar"]).hexdigest() == GOLDEN
    with tarfile.open(places[0].out / "16x9/720p/5-10s/000000.tar") as archive:
        assert {(one.mtime, one.uid, one.gid, one.uname, one.gname, one.mode) for one in archive} == {
            (0, 0, 0, "", "", 0o644)
        }


def test_growth_adds_tars_and_writes_none_again(place: Place) -> None:
    """Neither tar nor index; each clip is in one tar, and what is gone from the input stays and is counted."""
    place.pack([clip(number) for number in range(7)], samples=3)
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in place.out.rglob("0*")}
    grown = place.pack([clip(number) for number in range(1, 12)], samples=3)
    after = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in place.out.rglob("0*")}
    assert before.items() <= after.items()
    assert sorted(path.name for path in after.keys() - before.keys()) == [
        f"{number:06d}.{end}" for number in (3, 4) for end in ("index", "tar")
    ]
    assert sorted(place.samples()) == [f"clip-{number:03d}" for number in range(12)]
    (row,) = [row for one in grown.logged for row in one["value"]]
    assert row == {
        "folder": "16x9/720p/5-10s", "files": 5, "added": 2, "samples": 12, "left_over": 1,
        "bytes": sum(path.stat().st_size for path in place.out.rglob("*.tar")),
    }  # fmt: skip


def test_other_captions_are_not_packed_silently(place: Place) -> None:
    """A folder has one version of a clip: others are refused, with what to do."""
    place.pack([clip(1)])
    other = clip(1)
    other.windows[0].caption = "a cat"
    before = tree(place.out)
    (failed,) = place.tried([other]).failed
    assert "packed with other fields or members, such as clip-001: name another folder" in failed["message"]
    place.pack([other], changed="keep")
    assert tree(place.out) == before
    (refused,) = place.tried([clip(1)], bins={"seconds": [2]}).failed
    assert "begun with seconds=[5.0, 10.0, 30.0], and now it is [2.0]" in refused["message"]


def test_vectors_that_were_not_there_before_are_refused(place: Place) -> None:
    """New clips would have them, and old ones not."""
    place.pack([clip(1)])
    tasks = [clip(1), clip(2)]
    place.vectors(tasks, "m")
    assert "other fields or members" in place.tried(tasks).failed[0]["message"]
    assert list(place.samples()) == ["clip-001"]


def test_every_sample_of_a_tar_has_the_same_members(place: Place) -> None:
    """`datasets` refuses others: what has no vector has an empty one."""
    tasks = [clip(1), clip(2)]
    place.vectors(tasks[:1], "m")
    (place.folder / "media" / "t5.npz").write_bytes(b"")
    np.savez(place.folder / "media" / "t5.npz", **{"0": np.ones(2)})
    tasks[0].text_vectors = [File("media/t5.npz")]
    place.pack(tasks)
    samples = place.samples()
    assert samples["clip-001"].keys() == samples["clip-002"].keys() == {"mp4", "json", "m.npy", "t5.npz"}
    assert np.load(io.BytesIO(samples["clip-002"]["m.npy"])).shape == (0,)
    assert list(np.load(io.BytesIO(samples["clip-002"]["t5.npz"]))) == []
    assert list(np.load(io.BytesIO(samples["clip-001"]["t5.npz"]))) == ["0"]


def test_further_files_are_packed_where_they_are_named(place: Place) -> None:
    """A field of the class; one that is none, or has no file, is refused."""
    task = clip(1, preview=File("media/0_143.webp"))
    (place.folder / "media").mkdir()
    (place.folder / "media" / "0_143.webp").write_bytes(b"moves")
    place.pack([task], files=["preview"])
    assert place.samples()["clip-001"]["preview.webp"] == b"moves"
    with pytest.raises(PipelineError, match="files: Mine has no field 'prevew'"):
        WebDataset(str(place.out), files=["prevew"]).accept(Mine)
    (failed,) = Place(place.folder / "media").tried([clip(2)], files=["preview"]).failed
    assert "has no file in preview" in failed["message"]


def test_clips_before_they_are_cut_are_refused(place: Place) -> None:
    """With what to do."""
    with pytest.raises(StageError, match="put Cut before WebDataset"):
        WebDataset(str(place.out)).process_group("x", [attrs.evolve(clip(1), clip=None)])


def test_webdataset_reads_the_tars(place: Place) -> None:
    """The library of that name: clips, fields and vectors as they were."""
    webdataset = pytest.importorskip("webdataset")
    tasks = [clip(number) for number in range(7)]
    matrix = place.vectors(tasks, "m")
    place.pack(tasks, samples=3)
    urls = [str(path) for path in sorted(place.out.rglob("*.tar"))]
    found = {one["__key__"]: one for one in webdataset.WebDataset(urls, shardshuffle=False).decode()}
    assert sorted(found) == [task.id for task in tasks]
    for number, task in enumerate(tasks):
        one = found[task.id]
        assert (one["json"]["windows"][0]["caption"], one["mp4"]) == (
            f"a dog {number}",
            bytes([number]) * (100 + number),
        )
        assert one["m.npy"].tolist() == matrix[number].tolist()


def test_datasets_reads_the_tars(place: Place) -> None:
    """The library of Hugging Face, offline."""
    datasets = pytest.importorskip("datasets")
    tasks = [clip(number) for number in range(7)]
    matrix = place.vectors(tasks, "m")
    place.pack(tasks, samples=3)
    files, cache = str(place.out / "**" / "*.tar"), str(place.folder / "cache")
    found = datasets.load_dataset("webdataset", data_files=files, split="train", cache_dir=cache)
    found = found.cast_column("mp4", datasets.Video(decode=False))  # to decode it takes torchcodec
    rows = {row["__key__"]: row for row in found}
    assert sorted(rows) == [task.id for task in tasks]
    for number, task in enumerate(tasks):
        assert rows[task.id]["json"]["windows"][0]["caption"] == f"a dog {number}"
        assert rows[task.id]["m.npy"] == matrix[number].tolist()
        assert rows[task.id]["mp4"]["bytes"] == bytes([number]) * (100 + number)
