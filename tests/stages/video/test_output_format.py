"""What the output holds of a clip: the columns and keys that stand in `tests/golden/video-clips.txt`, and a user's own."""

from __future__ import annotations

import datetime
import enum
import json
import math
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import attrs
import msgspec
import pyarrow.parquet
import pytest
from golden import assert_golden

from hpcurate import File
from hpcurate.errors import PipelineError, StageError
from hpcurate.members import resolve_types
from hpcurate.testing import try_stage
from stages.output_fields import OutputTask, entries, internal, metadata, output, published_files, record
from stages.output_table import schema, table_bytes
from stages.video.index import Index
from stages.video.tasks import ClipTask
from stages.video.write import Write

pytestmark = pytest.mark.video


def clip_of(cls: type[ClipTask] = ClipTask, **changes: Any) -> Any:
    """A clip with all of its measures, of a video whose name is no UTF-8."""
    fields = {
        "id": "3fab0c", "weight": 2.0, "source": "caf\udce9/ü.mp4", "path": "/in/v.mp4", "start_s": 0.1234567891,
        "end_s": 2.2, "start_pts": 3, "end_pts": 53, "time_base_num": 1, "time_base_den": 24, "start_frame": 3,
        "end_frame": 53, "width": 96, "height": 128, "rotation": 90, "fps_num": 24000, "fps_den": 1001,
        "source_width": 97, "source_height": 129, "source_codec": "hevc", "variable_frame_rate": True,
        "clip": File("cut/clip.mp4"), "frames": 50, "has_audio": True, "bytes": 12345, "sha256": "ab12",
        "motion": 1.2345, "preview": File("cut/0_49.webp"), "encoder": "libx264", "sharpness": 20.125,
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
        lines += [f"# row of clips.parquet: {title}", json.dumps(record(clip, "parquet", 1))]
        lines += [f"# metas/v0: {title}", metadata(clip, 1).decode().rstrip("\n")]
    return "\n".join(lines) + "\n"


def test_columns_and_keys_are_the_golden_ones() -> None:
    """Names, types, order and bytes. A new measure is added to the golden file, nothing in it changes."""
    assert_golden("video-clips.txt", listing())


@attrs.define(kw_only=True)
class Window:
    """A nested class."""

    start_frame: int
    end_frame: int
    caption: str | None = None


@attrs.define(kw_only=True)
class CaptionedClip(ClipTask):
    """A clip with fields of a user's own."""

    caption: str | None = None
    embedding: list[float] = attrs.field(factory=list, metadata=output(only="parquet"))
    blur: float | None = attrs.field(default=None, metadata=output("blur_score"))
    mask: File | None = None
    stretches: list[Window] = attrs.field(factory=list)
    scores: dict[str, float] = attrs.field(factory=dict)
    note: str = attrs.field(default="not written", metadata=internal())


@attrs.define(kw_only=True)
class RatedClip(CaptionedClip):
    """A class derived from that of another stage."""

    rating: int = 0


def captioned(**changes: Any) -> Any:
    """A clip with a value in every field."""
    values = {
        "caption": "a dog", "embedding": [0.5, 1.0], "blur": math.nan, "mask": File("m/mask.png"),
        "stretches": [Window(start_frame=0, end_frame=49, caption="ü")], "scores": {"b": 1.0, "a": math.inf},
    }  # fmt: skip
    return clip_of(CaptionedClip, **{**values, **changes})


def test_a_field_is_the_one_edit_of_a_new_measure() -> None:
    """It comes last under its own name, in JSON and in the table; `output` says it differently, `internal` not at all."""
    window = {"start_frame": 0, "end_frame": 49, "caption": "ü"}
    shipped = len(entries(ClipTask, "json"))
    own = list(record(captioned(), "json", 1).items())[shipped:]
    assert [(name, value) for name, value in own if name != "blur_score"] == [
        ("caption", "a dog"), ("mask", "mask/3f/3fab0c.png"), ("stretches", [window]), ("scores", {"a": math.inf, "b": 1.0})
    ]  # fmt: skip
    columns = [(field.name, str(field.type)) for field in schema(CaptionedClip)][shipped:]
    nested = "list<item: struct<start_frame: int64, end_frame: int64, caption: string>>"
    assert columns == [
        ("caption", "string"), ("embedding", "list<item: double>"), ("blur_score", "double"), ("mask", "string"),
        ("stretches", nested), ("scores", "string"),
    ]  # fmt: skip
    assert (captioned().mask, "mask/3f/3fab0c.png") in published_files(captioned(), 1)
    rated = [entry.name for entry in entries(RatedClip, "parquet")]
    assert rated == [*(entry.name for entry in entries(CaptionedClip, "parquet")), "rating"]


def test_the_fields_of_a_users_class_reach_json_parquet_and_files(tmp_path: Path) -> None:
    """Through the shipped stages, which know nothing of the class."""
    for name in ("clip.mp4", "mask.png"):
        (tmp_path / name).write_text(name)
    files = {"clip": File("c.mp4", str(tmp_path / "clip.mp4")), "mask": File("m.png", str(tmp_path / "mask.png"))}
    clip = captioned(preview=None, **files)
    Write(str(tmp_path / "out")).process([clip])
    written = json.loads((tmp_path / "out" / "metas/v0/3f/3fab0c.json").read_bytes(), parse_constant=pytest.fail)
    assert (written["caption"], written["blur_score"], written["scores"]) == ("a dog", None, {"a": None, "b": 1.0})
    assert (tmp_path / "out" / "mask/3f/3fab0c.png").read_text() == "mask.png"
    try_stage(Index(str(tmp_path / "out")), [clip], tmp_path / "index")
    (row,) = pyarrow.parquet.read_table(tmp_path / "out" / "clips.parquet").to_pylist()
    assert (row["caption"], row["stretches"][0]["caption"], json.loads(row["scores"])) == (
        "a dog",
        "ü",
        written["scores"],
    )
    assert (math.isnan(row["blur_score"]), row["embedding"]) == (True, [0.5, 1.0])
    index = Index(str(tmp_path / "empty"))
    resolve_types(index, CaptionedClip)
    index.process([])
    assert "caption" in pyarrow.parquet.read_table(tmp_path / "empty" / "clips.parquet").column_names


class Kind(enum.Enum):
    """Values of one type."""

    CUT = "cut"
    FADE = "fade"


class Tree(msgspec.Struct):
    """Holds itself."""

    inner: list[Tree] = []


@attrs.define(kw_only=True)
class AllTypes(OutputTask):
    """A field of every kind."""

    kind: Kind = Kind.FADE
    choice: Literal["a", "b"] = "a"
    number: int | float = 1
    pair: tuple[float, float] = (0.0, 1.0)
    mixed: tuple[int, str] = (1, "x")
    either: int | str = "x"
    words: frozenset[str] = frozenset({"b", "a"})
    table: dict[int, list[Any]] = attrs.field(factory=lambda: {1: [None, 2.5]})
    path: PurePosixPath = PurePosixPath("a/\udce9")
    when: datetime.date = datetime.date(2026, 1, 2)
    tree: Tree = attrs.field(factory=lambda: Tree([Tree()]))
    anything: Any = None


def test_every_type_that_a_row_holds_has_a_column() -> None:
    """Scalars, lists and nested classes as they are; what has no one type is JSON text. JSON has the same values."""
    types = {field.name: str(field.type) for field in schema(AllTypes)}
    text = ("kind", "choice", "mixed", "either", "table", "path", "when", "tree", "anything")
    lists = {"pair": "list<item: double>", "words": "list<item: string>"}
    assert types == {**dict.fromkeys(text, "string"), "number": "double", **lists}
    row = pyarrow.parquet.read_table(pyarrow.BufferReader(table_bytes([AllTypes(id="a")], 0, AllTypes))).to_pylist()[0]
    kept = json.loads(metadata(AllTypes(id="a"), 0))
    as_text = {name: json.loads(row[name]) for name in ("mixed", "either", "table", "tree")}
    assert {**row, **as_text} == kept
    assert (kept["path"], kept["kind"], kept["words"], kept["when"]) == ("a/\\xe9", "fade", ["a", "b"], "2026-01-02")


def clip_class(**fields: Any) -> type[ClipTask]:
    """A class of clips with these further fields."""
    made: type[ClipTask] = attrs.make_class("Mine", fields, bases=(ClipTask,), kw_only=True)
    made.__annotations__ = {name: field.type for name, field in fields.items()}
    return made


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"width_source": attrs.field(type=int)}, "two values are written as 'width_source'; give one of the fields"),
        ({"a": attrs.field(type=str, metadata=output("t")), "t": attrs.field(type=str)}, "two values are written as 't'"),
        ({"pictures": attrs.field(type=int)}, "pictures is the name of a method of these tasks; call the field"),
        ({"fps": attrs.field(type=float, default=1.0)}, "fps is the name of a method of these tasks; call the field"),
        ({"masks": attrs.field(type=list[File])}, "masks holds files inside a list, which are not published"),
        ({"clips": attrs.field(type=File)}, "the files of clips would be published into clips/, where others are"),
        ({"metas": attrs.field(type=File)}, "the files of metas would be published into metas/, where others are"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_refused_before_anything_starts(fields: dict[str, Any], said: str) -> None:
    """By the stages that write, when the pipeline is built; the field is named, and what to do."""
    kind = clip_class(**fields)
    for stage in (Write("out"), Index("out")):
        with pytest.raises(PipelineError, match=rf"Mine: {said}.*metadata="):
            stage.accept(kind)


def test_two_files_of_a_task_may_share_a_folder() -> None:
    """If their suffixes tell them apart."""
    fields = {s: attrs.field(type=File, metadata=output(file=("masks", f".{s}"))) for s in ("png", "json")}
    assert [entry.name for entry in entries(clip_class(**fields), "json")][-2:] == ["png", "json"]


@attrs.define(kw_only=True)
class Elsewhere(ClipTask):
    """What another stage adds, which knows nothing of captions."""

    speed: float = 0.0


def test_a_class_that_would_lose_fields_is_refused_with_the_remedy() -> None:
    """Two stages that each extend a clip: the second one's class derives from the first one's."""
    assert clip_of(CaptionedClip, caption="a dog").extended(RatedClip, rating=3, caption="two").caption == "two"
    with pytest.raises(StageError, match=r"no field 'blur'; write class Elsewhere\(CaptionedClip\)"):
        clip_of(CaptionedClip).extended(Elsewhere, speed=1.0)


def test_no_clips_give_an_empty_table_of_the_same_columns() -> None:
    """So that readers find the columns they expect."""
    empty = pyarrow.parquet.read_table(pyarrow.BufferReader(table_bytes([], 1, ClipTask)))
    assert (empty.num_rows, empty.schema.names) == (0, schema(ClipTask).names)
