"""Whether a run's command would be that run in another store: what its stages are there, and what differs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hpcurate.carry.paths import Paths
from hpcurate.digest import digest
from hpcurate.errors import StoreError
from hpcurate.planning.aliases import SOURCE, alias_name
from hpcurate.planning.epochs import Epochs
from hpcurate.planning.pipeline import Pipeline

__all__ = ["Carried", "SameEpochs"]


class Alias(msgspec.Struct, frozen=True):
    """A stage, or the source, goes on in the folder that it had with another path, or with other code."""

    folder: str
    fingerprint: str
    parts: Any


class Carried(msgspec.Struct, frozen=True):
    """The stages of a run, with the paths that they have in another store."""

    pipeline: Pipeline
    """As the run has frozen it."""
    paths: Paths

    def aliases(self) -> dict[str, Alias]:
        """Name of an alias → what it stands for; of each stage that is called otherwise there."""
        source = self.pipeline.source
        parts = {SOURCE: self.paths.within(source.identity)}
        found = {alias_name(SOURCE, parts): Alias(source.folder, self.pipeline.origin, parts)}
        for stage in self.pipeline.stages:
            parts = self.paths.within(stage.identity)
            found[alias_name(stage.name, parts)] = Alias(stage.folder, stage.fingerprint, parts)
        return {name: one for name, one in found.items() if digest(one.parts) != one.fingerprint}

    def kept(self, stage: str, identity: Mapping[str, Any]) -> str | None:
        """See `KeptOf`."""
        found = self.aliases().get(alias_name(stage, identity))
        return found.fingerprint if found else None

    def there(self) -> Pipeline:
        """The pipeline as it is there, where nothing but paths differs."""
        source = msgspec.structs.replace(
            self.pipeline.source, identity=self.paths.within(self.pipeline.source.identity)
        )
        stages = [
            msgspec.structs.replace(
                stage,
                identity=self.paths.within(stage.identity),
                spec=msgspec.structs.replace(stage.spec, parameters=self.paths.within(stage.spec.parameters)),
            )
            for stage in self.pipeline.stages
        ]
        return msgspec.structs.replace(self.pipeline, source=source, stages=tuple(stages))


class SameEpochs(Epochs):
    """Each stage as often done again as in the run; what another store has to write down for that is `record`ed."""

    def __init__(self, root: str, pipeline: Pipeline) -> None:
        super().__init__(root)
        self._had = {stage.name: int(stage.identity.get("epoch", 0)) for stage in pipeline.stages}

    def __call__(self, stage: str, fingerprint: str) -> int:
        """See `Epochs`. Raises StoreError where the store has done it again since."""
        epoch = self._had.get(stage, 0)
        if super().__call__(stage, fingerprint) > epoch:
            raise StoreError(
                f"{stage}: this store has done it again (rerun={stage}), the run has not; nothing was imported"
            )
        if epoch:
            self._raised[f"{stage}-{fingerprint[:12]}"] = epoch
        return epoch
