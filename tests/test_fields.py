"""Config fields: help, defaults and checks stand beside them; whatever is refused is named by its full key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from hpcurate.errors import ConfigError
from hpcurate.fields import NEEDED, above_zero, check_values, convert, defaults_of, option, suggestion


@attrs.define(frozen=True, kw_only=True)
class Inner:
    """A group of keys."""

    size: float = option(1.0, "how large", check=above_zero)


@attrs.define(frozen=True, kw_only=True)
class Outer:
    """Keys of every kind."""

    name: str = option(NEEDED, "what it is called")
    count: int | None = option(None, "how many", minimum=0)
    kind: str = option("plain", "which", choices=("plain", "fancy"))
    parts: tuple[str, ...] = option((), "of what", converter=tuple)
    more: dict[str, Any] = option(dict, "anything", formerly="extra")
    inner: Inner = option(Inner, "a group")
    _state: list[int] = attrs.field(factory=list, init=False)


def refusal(values: Any, where: str = "here") -> str:
    """The message with which the values are refused."""
    with pytest.raises(ConfigError) as caught:
        convert(Outer, values, where)
    return str(caught.value)


def test_what_a_command_line_spells_becomes_what_the_field_is() -> None:
    """Numbers given as text, text given as a number, lists for tuples, mappings for classes."""
    made = convert(Outer, {"name": 7, "count": "3", "parts": ["a"], "inner": {"size": "2"}})
    assert Outer(name="7", count=3, parts=("a",), inner=Inner(size=2.0)) == made


REFUSED = [
    ({"nam": "x"}, "here.nam: there is no such key; did you mean 'name'?"),
    ({"name": "x", "inner": {"sise": 1}}, "here.inner.sise: there is no such key; did you mean 'size'?"),
    ({"name": "x", "inner": {"size": 0}}, "here.inner.size=0: must be above 0"),
    ({"name": "x", "inner": 3}, "here.inner=3: expected a mapping"),
    ({"name": "x", "count": -1}, "here.count=-1: must be at least 0"),
    ({"name": "x", "count": "many"}, "here.count='many': Expected `int | null`, got `str`"),
    ({"name": "x", "parts": "a"}, "here.parts='a': Expected `list`, got `str`; type [a]"),
    ({"name": "x", "kind": "fancey"}, "here.kind=fancey: there is no such choice; there are: plain, fancy"),
    ({"name": "x", "extra": {}}, "here.extra: this key has another name now: here.more"),
    ({"name": "x", "state": []}, "here.state: there is no such key; there are: name, count, kind, parts, more, inner"),
    ({"count": 1}, "here.name: needs a value: what it is called"),
]


@pytest.mark.parametrize(("values", "message"), REFUSED)
def test_what_does_not_fit_is_named_by_its_full_key(values: dict[str, Any], message: str) -> None:
    """With what was expected."""
    assert message == refusal(values)


def test_a_file_is_named_before_the_key() -> None:
    """`where` that ends in `: ` is a file."""
    assert refusal({"nam": 1}, "conf/x.yaml: ").startswith("conf/x.yaml: nam: there is no such key")


def test_what_python_code_made_is_checked_too() -> None:
    """`convert` is not the only way to such a class."""
    with pytest.raises(ConfigError, match=r"a\.count=-1: must be at least 0"):
        check_values(Outer(name="x", count=-1), "a")


def test_defaults_are_plain_data() -> None:
    """What a configuration begins with; a field without a default is left out."""
    assert {"count": None, "kind": "plain", "parts": (), "more": {}, "inner": {"size": 1.0}} == defaults_of(Outer)


def test_the_nearest_name_or_all_are_suggested() -> None:
    """Whichever helps."""
    assert "did you mean 'slurm'?" == suggestion("slrum", ["local", "slurm"])
    assert "there are: local, slurm" == suggestion("ray", ["local", "slurm"])
    assert "there are: none" == suggestion("x", [])


if TYPE_CHECKING:
    from nowhere import Unknown


@attrs.define
class OfAUser:
    """A source or launcher of a user's own: converters, private names, types that only a type checker has."""

    folder: Path = attrs.field(converter=Path)
    names: list[str] = attrs.field(factory=list, converter=lambda value: [value] if isinstance(value, str) else value)
    _hidden: int = 0


@attrs.define
class OfATypeChecker:
    """Its types cannot be evaluated."""

    what: Unknown = None


def test_a_users_class_is_made_as_it_makes_itself() -> None:
    """Its converters and aliases count, and what cannot be evaluated is not checked."""
    made = convert(OfAUser, {"folder": "/data", "names": "one", "hidden": 2})
    assert OfAUser(Path("/data"), ["one"], 2) == made
    assert convert(OfATypeChecker, {"what": 3}).what == 3


def test_a_private_name_is_not_a_key() -> None:
    """The constructor's name is."""
    with pytest.raises(ConfigError, match="did you mean 'hidden'"):
        convert(OfAUser, {"folder": "/data", "_hidden": 2})


def test_paths_are_made_from_text() -> None:
    """YAML has no paths."""

    @attrs.define
    class Placed:
        where: Path = Path()

    assert Path("/x") == convert(Placed, {"where": "/x"}).where
