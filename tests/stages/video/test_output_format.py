"""What the output holds of a clip: the columns and keys that stand in `tests/golden/video-clips.txt`, and a user's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pyarrow.parquet
import pytest
from golden import assert_golden

from hpcurate import File
from hpcurate.errors import PipelineError
from hpcurate.stage import resolve_types
from hpcurate.testing import try_stage
from stages.output_fields import OutputTask, entries, output, published_files, record, schema
from stages.video.index import Index, table_bytes
from stages.video.tasks import ClipTask
from stages.video.write import Write, metadata

pytestmark = pytest.mark.video


def clip_of(cls: type[ClipTask] = ClipTask, **changes: Any) -> Any:
    """A clip with all of its measures, of a video whose name is no UTF-8."""
    fields = {
        "id": "3fab0c", "weight": 2.0, "source": "caf\udce9/ü.mp4", "path": "/in/v.mp4", "start_s": 0.1234567891,
        "end_s": 2.2, "start_pts": 3, "end_pts": 53, "time_base_num": 1, "time_base_den": 24, "start_frame": 3,
        "end_frame": 53, "width": 96, "height": 128, "rotation": 90, "fps_num": 24000, "fps_den": 1001,
        "source_width": 97, "source_height": 129, "source_codec": "hevc", "variable_frame_rate": True,
        "clip": File("cut/clip.mp4"), "frames": 50, "has_audio": True, "bytes": 12345, "sha256": "ab12",
        "motion": 1.2345, "preview": File("cut/preview.webp"), "encoder": "libx264", "sharpness": 20.125,
        "brightness": 90.5, "black": 0.25, "frozen": 0.5,
    }  # fmt: skip
    return cls(**{**fields, **changes})


UNMEASURED = ("motion", "preview", "sharpness", "brightness", "black", "frozen")


def listing() -> str:
    """Columns with their types, then rows and metadata files of two clips."""
    lines = ["# columns of clips.parquet: name, type, null"]
    lines += [f"{f.name} {f.type} {'null' if f.nullable else 'not null'}" for f in schema(ClipTask)]
    bare = clip_of(**dict.fromkeys(UNMEASURED), encoder="copy")
    for title, clip in (("all measured", clip_of()), ("copied, nothing measured", bare)):
        lines += [f"# row of clips.parquet: {title}", json.dumps(record(clip, "column", 1))]
        lines += [f"# metas/v0: {title}", metadata(clip, 1).decode().rstrip("\n")]
    return "\n".join(lines) + "\n"


def test_columns_and_keys_are_the_golden_ones() -> None:
    """Names, types, order and bytes. A new measure is added to the golden file, nothing in it changes."""
    assert_golden("video-clips.txt", listing())


@attrs.define(kw_only=True)
class CaptionedClip(ClipTask):
    """A clip with fields of a user's own."""

    caption: str | None = attrs.field(default=None, metadata=output("caption"))
    embedding: list[float] = attrs.field(factory=list, metadata=output(column="embedding"))
    blur: float | None = attrs.field(default=None, metadata=output("blur", key="blur_score"))
    mask: File | None = attrs.field(default=None, metadata=output(key="mask_location", file=("masks", ".png")))
    note: str = "not written"


def test_a_field_with_metadata_is_the_one_edit_of_a_new_measure() -> None:
    """It comes last, as column, as key, or both; a field without metadata is not written."""
    clip = clip_of(CaptionedClip, caption="a dog", embedding=[0.5, 1.0], blur=0.1, mask=File("m/mask.png"))
    assert list(record(clip, "column", 1).items())[-3:] == [
        ("caption", "a dog"), ("embedding", [0.5, 1.0]), ("blur", 0.1)
    ]  # fmt: skip
    assert list(record(clip, "key", 1).items())[-3:] == [
        ("caption", "a dog"), ("blur_score", 0.1), ("mask_location", "masks/3f/3fab0c.png")
    ]  # fmt: skip
    assert (clip.mask, "masks/3f/3fab0c.png") in published_files(clip, 1)
    assert [str(field.type) for field in schema(CaptionedClip)][-3:] == ["string", "list<item: double>", "double"]
    assert [e.name for e in entries(ClipTask, "column")] == [e.name for e in entries(CaptionedClip, "column")][:-3]


def test_the_fields_of_a_users_class_reach_json_parquet_and_files(tmp_path: Path) -> None:
    """Through the shipped stages, which know nothing of the class."""
    for name in ("clip.mp4", "mask.png"):
        (tmp_path / name).write_text(name)
    files = {"clip": File("c", str(tmp_path / "clip.mp4")), "mask": File("m", str(tmp_path / "mask.png"))}
    clip = clip_of(CaptionedClip, caption="a dog", preview=None, **files)
    Write(str(tmp_path / "out")).process([clip])
    assert json.loads((tmp_path / "out" / "metas/v0/3f/3fab0c.json").read_bytes())["caption"] == "a dog"
    assert (tmp_path / "out" / "masks/3f/3fab0c.png").read_text() == "mask.png"
    try_stage(Index(str(tmp_path / "out")), [clip], tmp_path / "index")
    table = pyarrow.parquet.read_table(tmp_path / "out" / "clips.parquet")
    assert table.column("caption").to_pylist() == ["a dog"]
    index = Index(str(tmp_path / "empty"))
    resolve_types(index, CaptionedClip)
    index.process([])
    assert "caption" in pyarrow.parquet.read_table(tmp_path / "empty" / "clips.parquet").column_names


def test_two_fields_cannot_have_one_name() -> None:
    """Refused, with the name."""

    @attrs.define(kw_only=True)
    class Twice(OutputTask):
        first: str = attrs.field(metadata=output("text"))
        second: str = attrs.field(metadata=output("text"))

    with pytest.raises(PipelineError, match="two fields have the column 'text'"):
        entries(Twice, "column")


def test_a_column_of_an_unknown_type_is_refused_with_the_remedy() -> None:
    """An Arrow type can be named."""

    @attrs.define(kw_only=True)
    class Odd(OutputTask):
        scores: dict[str, float] = attrs.field(metadata=output("scores"))

    with pytest.raises(PipelineError, match=r"no Arrow type is known for the column 'scores'.*arrow="):
        schema(Odd)


def test_no_clips_give_an_empty_table_of_the_same_columns() -> None:
    """So that readers find the columns they expect."""
    empty = pyarrow.parquet.read_table(pyarrow.BufferReader(table_bytes([], 1)))
    assert (empty.num_rows, empty.schema.names) == (0, schema(ClipTask).names)
