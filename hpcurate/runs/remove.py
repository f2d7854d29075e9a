"""`hpcurate rm`: a run's folder, its names, and its marks in the stages. What it made stays until `hpcurate clean`."""

from __future__ import annotations

import os

from hpcurate.runs.folder import Run, name_entries, point_to_newest
from hpcurate.runs.references import stage_names
from hpcurate.system.failpoints import failpoint

__all__ = ["remove_run"]


def remove_run(run: Run) -> None:
    """Remove it: of what is gone, nothing wants anything any more. Killed in the middle, the same again ends it.

    The names go first: then the same command begins a new run. The marks go last: until the folder is gone, they are
    what keeps others from cleaning its stages.
    """
    store, filesystem = run.store, run.filesystem
    for entry in name_entries(store, run.name, filesystem):
        filesystem.discard(entry, store.trash)
    failpoint("rm.names")
    filesystem.discard(run.path, store.trash)
    failpoint("rm.folder")
    for name in stage_names(store, filesystem):
        wanted = store.stage(name).wanted
        if run.name in filesystem.names(wanted):
            filesystem.discard(os.path.join(wanted, run.name), store.trash)
    point_to_newest(store, filesystem)
