"""Which run a file belongs to, by where it lies: in a run's own output, or in a shard of a stage that a run wants."""

from __future__ import annotations

import os
from pathlib import PurePath

from hpcurate.report.items import store_file
from hpcurate.runs.folder import Run, find_run, run_names
from hpcurate.runs.summary import written_report
from hpcurate.store.layout import Store


def run_of(item: str, store: Store) -> Run | None:
    """The run of a file, where its path tells; None where it does not. Raises StoreError."""
    path = os.path.abspath(os.path.expanduser(item))
    if not os.path.lexists(path):
        return None
    in_shard, in_runs = store_file(store.stages, path), os.path.relpath(path, store.runs).split(os.sep)
    if in_shard is not None:
        return _that_wants(store, in_shard.folder)
    if in_runs[0] not in ("..", ".") and len(in_runs) > 1:
        return find_run(store, in_runs[0])
    return _that_writes_to(store, path)


def store_above(item: str) -> Store | None:
    """The store that a file lies in; None for one in no store."""
    path = os.path.abspath(os.path.expanduser(item))
    for folder in PurePath(path).parents if os.path.lexists(path) else ():
        if os.path.isfile(Store(str(folder)).format_json) and os.path.isdir(Store(str(folder)).runs):
            return Store(str(folder))
    return None


def _that_wants(store: Store, folder: str) -> Run | None:
    """The newest run that has a stage; of a source, which nobody wants, there is no telling."""
    wanted = store.stage(folder).wanted
    names = set(os.listdir(wanted)) if os.path.isdir(wanted) else set()
    return next((Run(store, name) for name in reversed(run_names(store)) if name in names), None)


def _that_writes_to(store: Store, path: str) -> Run | None:
    """The newest run whose output folder has the path."""
    for name in reversed(run_names(store)):
        report = written_report(Run(store, name))
        if report is not None and report.output and path.startswith(f"{report.output.rstrip('/')}/"):
            return Run(store, name)
    return None
