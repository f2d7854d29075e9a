"""Small wrong changes to how an attempt takes what the ones before it have reached."""

from __future__ import annotations

from tests.simulation.mutants import Edit, Mutant, _mutant

CHECKPOINTS, ATTEMPTS = "store/checkpoints.py", "worker/attempts.py"
TAKEN = "                self._filesystem.rename(self._folder.checkpoint(shard, number), path)\n"

CHECKPOINTING: tuple[Mutant, ...] = (
    _mutant(
        "a checkpoint is copied, not renamed",
        Edit(
            CHECKPOINTS,
            TAKEN,
            "                source = self._folder.checkpoint(shard, number)\n"
            "                files = self._filesystem.sizes(source)\n"
            "                self._filesystem.make_folder(path)\n"
            "                for name in files:\n"
            '                    self._filesystem.create(f"{path}/{name}", self._filesystem.read(f"{source}/{name}"))\n',
        ),
        scenario="checkpoints",
        seed=10,
    ),
    _mutant(
        "a checkpoint is taken once the attempt has begun",
        Edit(
            ATTEMPTS,
            "self._store.checkpoints, self._store.checkpoints.take(pick.line.id, pick.claim.attempt)",
            "self._store.checkpoints, self._store.folder.checkpoint(pick.line.id, pick.claim.attempt)\n"
            "        self._store.filesystem.make_folders(path)",
        ),
        scenario="checkpoints",
        seed=10,
    ),
    _mutant(
        "what fails for a checkpoint that another has taken is a dead letter",
        Edit(
            ATTEMPTS,
            "if not left and self._store.claims.is_there(shard, attempt + 1):",
            "if left is None:",
        ),
        scenario="checkpoints",
        seed=2123,
    ),
)
