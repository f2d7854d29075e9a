"""Digests of contents: equal ones mean equal contents. Of files, and of texts."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from typing import Literal

import attrs

from hpcurate import FileTask, Resources, Stage
from hpcurate.errors import StageError
from hpcurate.inside import open_inside
from stages.texts.tasks import TextTask

BLOCK = 1 << 20
"""Bytes of a file that are in memory at a time."""
SIZE = 16
"""Bytes of a digest. Of 10^12 contents two are called equal by chance with a probability of 10^-15 (n²/2^129)."""
Fold = Literal["none", "space", "words"]
"""What of a text does not count: nothing; case and spaces; case, spaces and everything but letters and digits."""
_NO_WORDS = re.compile(r"[\W_]+")


@attrs.define(kw_only=True)
class DigestedFile(FileTask):
    """A file with what is in it."""

    digest: str
    """BLAKE2b of its content, 32 hexadecimal digits."""


class DigestFiles(Stage[FileTask, DigestedFile]):
    """Read each file once, in blocks, and note the digest of its content. Its id stays.

    Fails for a file that cannot be read, or whose size is not the one that was listed.
    """

    resources = Resources(cpus=2, memory="1GB", time="2h")
    batch_size = 16
    small_batches = True
    version = 1

    def prepare(self, task: FileTask) -> None:
        """Read it: `hashlib` lets other threads work."""
        task.memory["digest"] = file_digest(task.path, task.size)

    def process(self, tasks: list[FileTask]) -> list[DigestedFile]:
        """The same files, with their digests."""
        return [self._digested(task) for task in tasks]

    def _digested(self, task: FileTask) -> DigestedFile:
        own = {name: getattr(task, name) for name in ("source", "path", "size", "mtime_ns", "weight")}
        return self.child(task, DigestedFile, id=task.id, digest=task.memory["digest"], **own)


class DigestTexts(Stage[TextTask, TextTask]):
    """Note the digest of each text, by default without regard to case and spaces."""

    resources = Resources(cpus=1, memory="1GB", time="1h")
    batch_size = 1000
    version = 1

    def __init__(self, fold: Fold = "space") -> None:
        """Set what counts as equal.

        Args:
            fold: what does not count: `none` compares texts as they are, `space` without regard to case, spaces and
                the ways in which Unicode writes one letter, `words` letters and digits alone.
        """
        self.fold: Fold = fold

    def process(self, tasks: list[TextTask]) -> list[TextTask]:
        """The same texts; their `digest` is set."""
        for task in tasks:
            task.digest = text_digest(task.text, self.fold)
        return tasks


def file_digest(path: str, size: int) -> str:
    """Of a file's content. Raises StageError if it has not `size` bytes, OSError if it cannot be read."""
    found, read = hashlib.blake2b(digest_size=SIZE), 0
    with open_inside(path) as file:  # a member of a tar, too
        while block := file.read(BLOCK):
            found.update(block)
            read += len(block)
    if read != size:
        raise StageError(f"{os.path.basename(path)}: {read} bytes were read, {size} were listed: it has changed")
    return found.hexdigest()


def text_digest(text: str, fold: Fold = "none") -> str:
    """Of a text, after `folded`. Pure."""
    return hashlib.blake2b(folded(text, fold).encode("utf-8", "surrogatepass"), digest_size=SIZE).hexdigest()


def folded(text: str, fold: Fold) -> str:
    """A text without what does not count. Pure.

    NFKC, then `casefold`, then spaces; as datatrove's and NeMo Curator's exact deduplication do before they compare.
    """
    if fold == "none":
        return text
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join((_NO_WORDS.sub(" ", plain) if fold == "words" else plain).split())
