"""What pages and endpoints call: a request is given, and what becomes of it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from hpcurate.errors import UserError
from hpcurate.serving.served import Event, Given, OutFile, Served

__all__ = ["Answers", "NotAccepted", "Unfit"]


class Unfit(UserError):
    """A request that could never be answered: `problems` names each field and what is expected of it."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__("; ".join(f"{key}: {text}" for key, text in problems.items()))
        self.problems = problems


class NotAccepted(UserError):
    """The queue is full, or the server is ending: the same request may be answered later."""


class Answers(Protocol):
    """The service, as pages and endpoints see it. All of it may be called from any thread, and none of it blocks."""

    served: Served

    def folder_for(self) -> tuple[str, str]:
        """(id, folder) of a request that is about to come: uploads go there, whatever is in it is removed later.

        Raises NotAccepted.
        """

    def submit(self, given: Given, tell: Callable[[Event], None]) -> None:
        """Check it and queue it. `tell` is called with each event, from threads of the service, until it has ended.

        Raises Unfit, NotAccepted: then `tell` is never called, and the folder is removed.
        """

    def cancel(self, request: str) -> bool:
        """Take a request back, waiting or in work; whether there was such a one. Its `tell` gets Cancelled."""

    def discard(self, request: str) -> None:
        """Remove a folder whose request was never submitted."""

    def file(self, request: str, number: int) -> OutFile | None:
        """A file of the result of a request that is kept still."""

    def health(self) -> dict[str, object]:
        """`{"state": "starting" | "ready" | "ending", "workers": [...], "waiting": n, "working": n, "answered": n}`,
        and `"ends_in_s"`, where its job has an end.
        """

    def close(self, grace_s: float) -> None:
        """Accept no more; let what is in work end for so long; then end it all."""
