"""What goes wrong with object storage: what is tried again, who is to blame for the rest. Python 3.9."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence
from typing import Any, Callable, Optional, TypeVar

from hpcurate.errors import HpcurateError, SetupLost, StoreFailed
from hpcurate.transient import links, transient

__all__ = ["PAUSES_S", "code_of", "explained", "is_momentary", "patiently"]

PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Between tries without progress: a minute in all. After that the shard is handed back, and tried after longer ones."""
TOLD = 3
"""So many failed tries in a row are told to whoever waits, or reads the worker's log: silence looks like a hang."""
MOMENTARY = frozenset(
    {
        "SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "RequestTimeTooSkewed", "Throttling",
        "ThrottlingException", "TooManyRequests", "BandwidthLimitExceeded", "OperationAborted", "IncompleteBody",
        "BadDigest", "XAmzContentSHA256Mismatch",
    }
)  # fmt: skip
"""Error codes of S3 that a moment later may be gone, whatever the HTTP status."""
CREDENTIALS = frozenset(
    {
        "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "ExpiredTokenException", "InvalidToken",
        "TokenRefreshRequired", "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError",
        "TokenRetrievalError", "UnauthorizedSSOTokenError",
    }
)  # fmt: skip
"""Codes, and exceptions of botocore, that speak of the keys of whoever asks: no object is to blame."""

Found = TypeVar("Found")


def code_of(error: BaseException) -> str:
    """S3's own word for an error, or the name of botocore's exception; empty where neither is behind it."""
    for link in links(error):
        answer: Any = getattr(link, "response", None)
        if isinstance(answer, dict):
            return str(answer.get("Error", {}).get("Code", ""))
        if type(link).__module__.startswith("botocore."):
            return type(link).__name__
    return ""


def is_momentary(error: BaseException) -> bool:
    """Whether another try may come right."""
    return code_of(error) in MOMENTARY or transient(error)


def explained(what: str, error: BaseException) -> Exception:
    """What to raise instead of an error that no other try helps against; `what` has the address."""
    code = code_of(error)
    said = f"{what}: {code or type(error).__name__}: {_words(error)}"
    if code in CREDENTIALS:
        return SetupLost(f"{said}; credentials are looked for as botocore does: AWS_PROFILE, ~/.aws, AWS_ACCESS_KEY_ID")
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(f"{what}: there is no such object, or no such bucket")
    if isinstance(error, PermissionError):
        return PermissionError(f"{said}; these credentials may not")
    return error if isinstance(error, (HpcurateError, ValueError)) else OSError(said)


def _words(error: BaseException) -> str:
    return " ".join((str(error) or type(error).__name__).split())[:300]


def patiently(
    what: str,
    action: Callable[[], Found],
    pauses: Sequence[float] = PAUSES_S,
    progress: Optional[Callable[[], object]] = None,
) -> Found:
    """What `action` returns, tried again after pauses; from their beginning wherever `progress` has another value.

    Raises StoreFailed once all pauses are over: no task is to blame. For other errors see `explained`.
    """
    left, before = list(pauses), progress and progress()
    while True:
        try:
            return action()
        except Exception as error:
            if not is_momentary(error):
                raise explained(what, error) from error
            now = progress and progress()
            if now != before:
                left, before = list(pauses), now
            said = f"{what}: {code_of(error) or type(error).__name__}: {_words(error)}"
            if not left:
                raise StoreFailed(f"{said}: still so after {len(pauses) + 1} tries") from error
            if len(pauses) - len(left) == TOLD - 1:
                print(f"hpcurate: {said}; tried again, up to {len(left)} times", file=sys.stderr, flush=True)
            time.sleep(left.pop(0) * random.SystemRandom().uniform(0.5, 1))  # not all workers at once
