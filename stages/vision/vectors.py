"""Vectors of clips: a table of them as Parquet, and where their files lie in the output."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from hpcurate import File
from stages.layout import output_path

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def write_vectors(path: str | os.PathLike[str], ids: Sequence[str], vectors: NDArray[np.float32]) -> None:
    """A table with the columns `id` and `embedding` (float32, all of one length); the same rows give the same bytes."""
    import pyarrow
    import pyarrow.parquet

    flat = pyarrow.array(vectors.reshape(-1), pyarrow.float32())
    columns = {
        "id": pyarrow.array(ids, pyarrow.string()),
        "embedding": pyarrow.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), os.fspath(path), compression="zstd")


def published_vectors(file: File, fan: int, kind: str = "embd_parquet") -> str:
    """Where a file of vectors lies in the output, e.g. `clip_embd_parquet/3f/3f0c….parquet`. Pure.

    The folder is named after the model, as the file is, and the kind of vectors; the file after the task that owns it,
    the first of its batch: a stage that is run again, in other batches, publishes the same files.
    """
    owner, name = PurePosixPath(file.ref).parts[-2:]
    model, suffix = os.path.splitext(name)
    return output_path(f"{model}_{kind}", owner, suffix, fan)
