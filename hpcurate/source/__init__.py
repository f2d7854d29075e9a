"""Sources: where the first tasks come from. Enumerated in the driver, in a fixed order, frozen into lists."""

from hpcurate.source.base import FolderTask, GroupTask, RecordTask, Source
from hpcurate.source.files import FileList, Files, Folders
from hpcurate.source.groups import Groups, Triplets
from hpcurate.source.items import Items, Once
from hpcurate.source.parts import Part, Undone
from hpcurate.source.tables import Csv, Jsonl, Parquet

__all__ = [
    "Csv",
    "FileList",
    "Files",
    "FolderTask",
    "Folders",
    "GroupTask",
    "Groups",
    "Items",
    "Jsonl",
    "Once",
    "Parquet",
    "Part",
    "RecordTask",
    "Source",
    "Triplets",
    "Undone",
]
