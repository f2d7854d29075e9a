"""From what stands in the fields of a form to the command that a person would type. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from hpcurate.digest import digest
from hpcurate.errors import ConfigError, HpcurateError
from hpcurate.form.fields import ENVIRONMENT, Field, Form, shown
from hpcurate.grammar import written
from hpcurate.masks import refuse_known
from hpcurate.runs.commands import Command, quoted, within
from hpcurate.secrets import refuse_typed

__all__ = ["Asked", "FieldErrors", "asked", "exports", "field_errors", "line"]

MOST_BYTES = 100_000
"""Of one value: the system refuses an argument of 128 KiB."""
MEANT_FOR_STAGES = ("${oc.env:", "${result:", "<run>/output")
"""What stages and runs look for in texts, wherever these come from."""
_WHOLE = r"[+-]?[0-9]{1,30}"
_NUMBER = {"integer": _WHOLE, "number": rf"{_WHOLE}(\.[0-9]*)?([eE][+-]?[0-9]{{1,3}})?|[+-]?\.[0-9]+|[+-]?inf|nan"}


class FieldErrors(HpcurateError):
    """What is wrong, by the key of the field."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__("; ".join(errors.values()))
        self.errors = dict(errors)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A command that somebody asks for. No secret is in it: of those it has names alone."""

    words: tuple[str, ...]
    config_dirs: tuple[str, ...]
    secrets: dict[str, str]
    """Variable of the command's environment → name in the user's file."""
    texts: dict[str, str]
    """Key → what stood in each field that was changed."""

    @property
    def digest(self) -> str:
        """The same for the same command with the same secrets."""
        return digest([self.words, self.config_dirs, self.secrets])

    def value(self, key: str) -> str:
        """What the last word with that key gives; empty if there is none."""
        given = [word.partition("=")[2] for word in self.words if word.partition("=")[0] == key]
        return given[-1] if given else ""


def asked(form: Form, given: Mapping[str, str], names: Collection[str]) -> Asked:
    """The command for these texts; `names`: of secrets that can be chosen. Raises FieldErrors, without any value."""
    texts = form.texts(given)
    words: list[str] = []
    secrets: dict[str, str] = {}
    errors: dict[str, str] = {}
    for field in form.fields:
        text = texts[field.key]
        try:
            _check(field, text, names)
            words += _words(field, text)
            _add_secret(secrets, field, text)
        except ConfigError as error:
            errors[field.key] = str(error)
    if errors:
        raise FieldErrors(errors)
    emptied = {field.key for field in form.fields if field.kind == "literal" and not texts[field.key]}
    kept = [word for word in form.words if word.partition("=")[0] not in emptied]
    merged = Command(words=tuple(kept)).with_words(words).words
    changed = {field.key: texts[field.key] for field in form.fields if texts[field.key] != field.text}
    return Asked(words=merged, config_dirs=form.config_dirs, secrets=secrets, texts=changed)


# -- one field ----------------------------------------------------------------------------------------


def _check(field: Field, text: str, names: Collection[str]) -> None:
    if field.kind == "secret":
        if text and text not in names:
            raise ConfigError("choose one of the names in the file of secrets")
        if field.required and not text:
            raise ConfigError("it is needed: choose a name of the file of secrets")
        return
    if field.required and not text.strip():
        raise ConfigError("it is needed" + (f": {field.help}" if field.help else ""))
    if "\0" in text:
        raise ConfigError("it contains a NUL byte, which no command line can have")
    if len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        raise ConfigError(f"it is longer than {MOST_BYTES} bytes; put it into a file, and give its path")
    refuse_known(text, field.key)
    _refuse_meant_for_stages(text)


def _refuse_meant_for_stages(text: str) -> None:
    for wrong in MEANT_FOR_STAGES:
        if wrong in text:
            raise ConfigError(
                f"{wrong} would be something else where the stage runs; a form takes values, so write it into the "
                "pipeline's file, or type it on a command line"
            )


def _words(field: Field, text: str) -> Iterator[str]:
    if (
        field.key.startswith(ENVIRONMENT)
        or (text == field.text and not field.always)
        or not _says_something(field, text)
    ):
        return
    if text == "" and field.kind != "text":
        yield f"{field.key}=null"
    elif field.kind == "literal":
        yield f"{field.key}={text}"
    elif field.kind == "secret":
        yield f"{field.key}=${{oc.env:{text}}}"
    else:
        value = _value(field, text)
        refuse_typed(value, field.key)
        yield f"{field.key}={written(value)}"


def _says_something(field: Field, text: str) -> bool:
    """Nothing is said only by emptying a field: that it is empty, or null. A path that is empty is not typed."""
    return text != "" or (field.text != "" and field.kind not in ("literal", "secret"))


def _value(field: Field, text: str) -> Any:
    if field.kind == "text":
        return text
    if field.kind in _NUMBER:
        return _number(field, text.strip())
    if field.kind == "switch":
        return _one_of((True, False), text)
    return _one_of(field.choices, text) if field.kind == "choice" else _data(text)


def _number(field: Field, text: str) -> int | float:
    if not re.fullmatch(_NUMBER[field.kind], text):
        raise ConfigError(f"expected {'a whole number' if field.kind == 'integer' else 'a number'}")
    return int(text) if field.kind == "integer" or re.fullmatch(_NUMBER["integer"], text) else float(text)


def _one_of(choices: Iterable[Any], text: str) -> Any:
    found = [choice for choice in choices if shown(choice) == text]
    if not found:
        raise ConfigError(f"expected one of {', '.join(map(shown, choices))}")
    return found[0]


def _data(text: str) -> Any:
    import yaml

    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise ConfigError("expected a value without references (*name)")
        value = yaml.safe_load(text)
        written(value)  # a date, for example, has no form
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"expected a value as YAML has it, such as 5, [a, b] or {{a: 1}}: {_problem(error)}"
        ) from None
    return value


def _problem(error: Exception) -> str:
    return str(getattr(error, "problem", None) or "it is none").splitlines()[0]


def _add_secret(secrets: dict[str, str], field: Field, text: str) -> None:
    if field.kind != "secret" or not text or text == field.text:
        return
    variable = field.key.removeprefix(ENVIRONMENT) if field.key.startswith(ENVIRONMENT) else text
    if secrets.setdefault(variable, text) != text:
        raise ConfigError(f"the variable {variable} has one value: that of {secrets[variable]} was chosen, too")


# -- the command ----------------------------------------------------------------------------------------


def line(asked: Asked, folder: str, file: str) -> str:
    """What to type in a shell, in any folder; a secret is read from its file by the shell itself."""
    folders = [word for folder in asked.config_dirs for word in ("--config-dir", folder)]
    return within(folder, " ".join([*_read_by_shell(asked, file), *map(quoted, ["hpcurate", *asked.words, *folders])]))


def exports(asked: Asked, file: str) -> list[str]:
    """What to type before another command of the same run."""
    return [f"export {one}" for one in _read_by_shell(asked, file)]


def _read_by_shell(asked: Asked, file: str) -> list[str]:
    return [f"{variable}=\"$(sed -n 's/^{name}=//p' {quoted(file)})\"" for variable, name in asked.secrets.items()]


# -- what the command refuses ---------------------------------------------------------------------------


def field_errors(message: str, form: Form) -> dict[str, str]:
    """What a command said that was refused, by the key of the field that it is about; the empty key: of none.

    The message begins with the keys: `params.a, params.b: …`, `input: …`, `stages.split.min_s=5: …`.
    """
    said = message.removeprefix("hpcurate: ").strip()
    head = said.partition(": ")[0]
    keys = sorted((field.key for field in form.fields), key=len, reverse=True)
    about = [key for one in head.split(", ") if (key := _about(one, keys))]
    return dict.fromkeys(about, said) if about else {"": said}


def _about(head: str, keys: Iterable[str]) -> str:
    """The longest key that it is, or begins with."""
    name = head.split(" ")[0]
    return next((key for key in keys if re.match(rf"{re.escape(key)}(?![\w])", name)), "")
