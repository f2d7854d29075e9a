"""Input files of stages are kept with the run, so that what it reads stays what it was identified by (I3)."""

from __future__ import annotations

import hashlib
import os

import msgspec

from hpcurate.errors import PipelineError
from hpcurate.planning.inputs import COPIED_UP_TO, map_inputs
from hpcurate.planning.pipeline import Pipeline
from hpcurate.runs.folder import Run
from hpcurate.spec import InputContent

__all__ = ["keep_inputs"]


def keep_inputs(run: Run, pipeline: Pipeline) -> Pipeline:
    """Copy the input files into `inputs/<digest>/`; the pipeline that reads the copies.

    One of more than 64 MB stays where it is, and a worker checks it. Raises PipelineError for one that has changed
    since the stage was identified by it.
    """

    def kept(key: str, file: InputContent) -> InputContent:
        return file if file.size > COPIED_UP_TO else msgspec.structs.replace(file, path=_copy(run, key, file))

    stages = tuple(msgspec.structs.replace(s, spec=map_inputs(s.name, s.spec, kept)) for s in pipeline.stages)
    return msgspec.structs.replace(pipeline, stages=stages)


def _copy(run: Run, key: str, file: InputContent) -> str:
    folder = os.path.join(run.path, "inputs", file.sha256[:16])
    copy = os.path.join(folder, os.path.basename(file.path))
    if os.path.basename(copy) not in run.filesystem.names(folder):
        data = run.filesystem.read(file.path)
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise PipelineError(f"{key}={file.path}: it changed while the run was being started; type the same again")
        run.filesystem.make_folders(folder)
        run.filesystem.create(copy, data)
        os.chmod(copy, 0o400)
    return copy
