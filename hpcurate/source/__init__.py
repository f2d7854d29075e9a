"""Sources: where the first tasks come from. Enumerated in the driver, in a fixed order, frozen into lists."""

from typing import TYPE_CHECKING, Any

_HOME = {
    "Csv": "tables",
    "Exclude": "exclude",
    "FileList": "files",
    "FileTriplets": "triplets",
    "Files": "files",
    "FolderTask": "base",
    "Folders": "files",
    "GroupTask": "base",
    "Groups": "groups",
    "HuggingFace": "hugging_face",
    "Items": "items",
    "Jsonl": "tables",
    "Once": "items",
    "Parquet": "tables",
    "Part": "parts",
    "RecordTask": "base",
    "RowTask": "row_task",
    "Several": "several",
    "Source": "base",
    "Triplets": "triplets",
    "Undone": "undone",
}

__all__ = [
    "Csv",
    "Exclude",
    "FileList",
    "FileTriplets",
    "Files",
    "FolderTask",
    "Folders",
    "GroupTask",
    "Groups",
    "HuggingFace",
    "Items",
    "Jsonl",
    "Once",
    "Parquet",
    "Part",
    "RecordTask",
    "RowTask",
    "Several",
    "Source",
    "Triplets",
    "Undone",
]

if TYPE_CHECKING:
    from hpcurate.source.base import FolderTask as FolderTask
    from hpcurate.source.base import GroupTask as GroupTask
    from hpcurate.source.base import RecordTask as RecordTask
    from hpcurate.source.base import Source as Source
    from hpcurate.source.exclude import Exclude as Exclude
    from hpcurate.source.files import FileList as FileList
    from hpcurate.source.files import Files as Files
    from hpcurate.source.files import Folders as Folders
    from hpcurate.source.groups import Groups as Groups
    from hpcurate.source.hugging_face import HuggingFace as HuggingFace
    from hpcurate.source.items import Items as Items
    from hpcurate.source.items import Once as Once
    from hpcurate.source.parts import Part as Part
    from hpcurate.source.row_task import RowTask as RowTask
    from hpcurate.source.several import Several as Several
    from hpcurate.source.tables import Csv as Csv
    from hpcurate.source.tables import Jsonl as Jsonl
    from hpcurate.source.tables import Parquet as Parquet
    from hpcurate.source.triplets import FileTriplets as FileTriplets
    from hpcurate.source.triplets import Triplets as Triplets
    from hpcurate.source.undone import Undone as Undone


def __getattr__(name: str) -> Any:
    """Load a source at its first use: a run has one kind of them."""
    from importlib import import_module

    if name in _HOME:
        return getattr(import_module(f"hpcurate.source.{_HOME[name]}"), name)
    raise AttributeError(f"module 'hpcurate.source' has no attribute {name!r}")
