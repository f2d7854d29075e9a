"""Ids that are the same whenever and wherever they are made. Python 3.9."""

from __future__ import annotations

import uuid

__all__ = ["plain_bytes", "stable_id"]

NAMESPACE = uuid.UUID("6f1d9a3e-5d0c-5c1b-9a55-0b6b6f0e6f10")


def stable_id(*parts: object) -> str:
    """UUID5 of the parts (RFC 9562), safe for surrogate-escaped names.

    `uuid.uuid5` refuses undecodable file names, so the bytes are hashed here.
    """
    import hashlib  # here: it loads OpenSSL, and a gate that submits nothing needs no ids

    name = plain_bytes("\x1f".join(str(part) for part in parts))
    digest = hashlib.sha1(NAMESPACE.bytes + name, usedforsecurity=False).digest()
    return str(uuid.UUID(bytes=digest[:16], version=5))


def plain_bytes(text: str) -> bytes:
    """Bytes of any text: those of an undecodable file name as they were, other lone surrogates each as three."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
