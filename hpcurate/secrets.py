"""Which names are those of secrets, and secrets that were typed where they would be written into the store. Pure.

Runs in every stage environment: Python 3.9 or newer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from hpcurate.errors import ConfigError

__all__ = ["MAY_BE_SECRET", "SYMBOL", "TypedSecret", "is_secret", "is_secret_variable", "refuse_typed", "typed_secrets"]

ENDINGS = (
    "password", "passwd", "passphrase", "secret", "apikey", "secretkey", "accesskey", "privatekey", "encryptionkey",
    "signingkey", "jwt",
)  # fmt: skip
"""What the key of a secret ends with, however its words are separated."""
TOKENS = frozenset(
    f"{of}token"
    for of in (
        "access", "api", "auth", "authorization", "azure", "bearer", "csrf", "deploy", "gh", "github", "gitlab", "hf",
        "hub", "huggingface", "jwt", "oauth", "openai", "personal", "refresh", "sas", "security", "session", "slack",
        "vault", "wandb",
    )
)  # fmt: skip
"""Tokens that are secrets. A language model has others: `pad_token`, `eos_token`, `max_token`."""
MAY_BE_SECRET = re.compile(r"(?i)token|key|secret|passw|passphrase|credential|jwt")
"""Environment variables that are read where a stage runs and nowhere else: nothing is lost where one is no secret."""
SYMBOL = re.compile(r"\$\{oc\.env:\s*([A-Za-z_][A-Za-z0-9_]*)\s*(?:,([^}]*))?\}")
"""`${oc.env:NAME}` or `${oc.env:NAME,default}`."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_VALUE = r"(\"[^\"]*\"|'[^']*'|[^\s;&|,]*)"
_ASSIGNED = (re.compile(rf"([A-Za-z_][\w-]*)={_VALUE}"), re.compile(rf"--([A-Za-z][\w-]*)[ \t]+{_VALUE}"))
"""`NAME=value` and `--name value`."""
_SHELL = frozenset({"launcher", "site", "models", "sbatch", "env", "setup"})
"""Keys whose texts end in scripts, commands and addresses, where `NAME=value` gives a value to NAME."""


class TypedSecret(msgspec.Struct, frozen=True):
    """A secret that stands in a configuration."""

    key: str
    """Its full key."""
    variable: str
    """The environment variable to put it into."""
    in_text: bool = False
    """It is assigned within a longer text, such as a line of a shell."""


def is_secret(key: str) -> bool:
    """Whether a key is that of a secret, by its last words: `hf_token`, `dbPassword`, `WANDB_API_KEY`."""
    words = _words(key)
    if words in (["token"], ["tokens"]):
        return words == ["token"]  # how many there are, is no secret
    joined = ["".join(words[-n:]) for n in (len(words), 1, 2, 3)]
    joined += [one[:-1] for one in joined if one.endswith("s")]
    return any(one.endswith(ENDINGS) or one in TOKENS for one in joined)


def is_secret_variable(name: str) -> bool:
    """Whether an environment variable is a secret: there a token is nothing else."""
    return is_secret(name) or _words(name)[-1:] == ["token"]


def _words(key: str) -> list[str]:
    """The words of a key, in lower case; numbers and the parts of the path before it do not count."""
    last = re.sub(r"(\[\d*\])+$", "", key).rpartition(".")[2]
    return [word.lower() for word in _WORD.findall(last)]


def typed_secrets(value: Any, key: str = "") -> Iterator[TypedSecret]:
    """Secrets in plain data, at any depth: what is below the key of a secret, too, is one."""
    yield from _below(value, key, key.rpartition(".")[2], secret="", text=False)


def _below(value: Any, key: str, name: str, secret: str, text: bool) -> Iterator[TypedSecret]:
    secret = secret or (name if is_secret(name) else "")
    text = text or name in _SHELL
    yield from _typed(value, key, secret, text)


def _typed(value: Any, key: str, secret: str, text: bool) -> Iterator[TypedSecret]:
    """`secret`: the name of the secret that the value is, or is a part of; `text`: whether texts end in a shell."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _below(inner, f"{key}.{name}" if key else str(name), str(name), secret, text)
    elif isinstance(value, (list, tuple)):
        for place, inner in enumerate(value):
            yield from _typed(inner, f"{key}[{place}]", secret, text)
    elif secret and _is_literal(value):
        yield TypedSecret(key, _variable(secret))
    elif text and isinstance(value, str):
        for name, assigned in (found for form in _ASSIGNED for found in form.findall(value)):
            if is_secret_variable(name) and _is_typed(assigned.strip("\"'")):
                yield TypedSecret(key, _variable(name), in_text=True)


def _is_literal(value: object) -> bool:
    """Whether it is a value by itself: no default of a variable is one that may be written down either."""
    if value is None or isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return False
    text = str(value).strip()
    symbol = SYMBOL.fullmatch(text)
    return (text if symbol is None else (symbol[2] or "").strip()) not in ("", "???", "null", "''", '""')


def _is_typed(assigned: str) -> bool:
    """Whether a shell is given the value itself, rather than another variable or what a command prints."""
    return assigned != "" and not assigned.startswith(("$", "`", "-"))


def _variable(key: str) -> str:
    return "_".join(_words(key)).upper()


def refuse_typed(value: Any, key: str = "") -> None:
    """Raise ConfigError for the first secret in plain data. Its value is in no message."""
    for found in typed_secrets(value, key):
        raise ConfigError(refusal(found))


def refusal(found: TypedSecret) -> str:
    """What is wrong, and what to type. Pure."""
    name, why = found.variable, "is a secret, and a configuration is copied into the store"
    if found.in_text:
        return (
            f"{found.key}: {name} {why}; export {name} where you type hpcurate, jobs inherit it, or have it read "
            f"there: {name}=$(cat ~/.{name.lower()})"
        )
    return f"{found.key}: {why}; export {name} where you type hpcurate, and type {found.key}='${{oc.env:{name}}}'"
