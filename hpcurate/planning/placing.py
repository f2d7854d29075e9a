"""Where each stage stands in its pipeline: at a named place, or before or after another. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hpcurate.errors import ConfigError
from hpcurate.fields import suggestion
from hpcurate.planning.options import StageOptions

BRANCHES = ""
"""Where stages stand that say what they read, and name no place: at the end, where no other stage follows them."""


def in_order(options: Mapping[str, StageOptions], places: Sequence[str] = ()) -> list[str]:
    """Names of the stages in order; each follows the one before it unless its `after` is a list.

    `places` are names of stages and of places that stages fill (`place`). Without places, stages stand as they were
    given. Those that say `before` or `after` are put there last. Raises ConfigError naming the key.
    """
    anchored = {name: one for name, one in options.items() if _anchor(name, one)}
    standing = [name for name in options if name not in anchored]
    order = _at_places(standing, options, places) if places else _without_places(standing, options)
    return _inserted(order, anchored, options)


def upstreams(name: str, order: Sequence[str], options: StageOptions) -> tuple[str, ...]:
    """The stages that a stage of that order reads: those it names, or the one before it; none: the source.

    Raises ConfigError naming the key.
    """
    if not isinstance(options.after, list):
        position = order.index(name)
        return (order[position - 1],) if position else ()
    for upstream in options.after:
        _check_known(f"stages.{name}.after", upstream, order)
    return tuple(dict.fromkeys(options.after))


def needed(name: str, order: Sequence[str], options: StageOptions) -> tuple[str, ...]:
    """The stages that have to be complete before a stage begins, and that it does not read. Raises ConfigError."""
    for other in options.needs:
        _check_known(f"stages.{name}.needs", other, order)
    return tuple(dict.fromkeys(options.needs))


def topological(behind: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The stages, each after those that it has to wait for. Raises ConfigError naming a cycle.

    `behind`: stage → those stages, each with the key that says so.
    """
    order: list[str] = []
    waiting = list(behind)
    while waiting:
        ready = [s for s in waiting if all(u in order for u in behind[s])]
        if not ready:
            raise ConfigError(_cycle(waiting, behind))
        order += ready
        waiting = [s for s in waiting if s not in ready]
    return order


def _cycle(waiting: Sequence[str], behind: Mapping[str, Mapping[str, str]]) -> str:
    """Which of these stages, none of which can begin, wait for each other."""
    way = [waiting[0]]
    while way.count(way[-1]) < 2:
        way.append(next(name for name in behind[way[-1]] if name in waiting))
    circle = [name for name in behind if name in way[way.index(way[-1]) :]]
    key = next(key for name, key in behind[circle[0]].items() if name in circle)
    if len(circle) == 1:
        return f"{key}: a stage cannot wait for itself"
    return f"{key}: the stages {', '.join(circle)} wait for each other"


def _anchor(name: str, options: StageOptions) -> str | None:
    """The stage that this one is put before or after."""
    after = options.after if isinstance(options.after, str) else None
    if options.before and options.after is not None:
        raise ConfigError(f"stages.{name}: before={options.before} and after={options.after}: give one of them")
    return options.before or after


def _without_places(names: list[str], options: Mapping[str, StageOptions]) -> list[str]:
    for name in names:
        if options[name].place:
            raise ConfigError(
                f"stages.{name}.place={options[name].place}: this pipeline has no places; "
                f"give stages.{name}.before or stages.{name}.after, the name of a stage"
            )
    return names


def _at_places(names: list[str], options: Mapping[str, StageOptions], places: Sequence[str]) -> list[str]:
    twice = sorted({place for place in places if list(places).count(place) > 1})
    if twice:
        raise ConfigError(f"places: {twice[0]!r} is there twice")
    standing: dict[str, list[str]] = {place: [] for place in (*places, BRANCHES)}
    for name in names:
        standing[_place_of(name, options[name], places)].append(name)
    return [name for one in standing.values() for name in one]


def _place_of(name: str, options: StageOptions, places: Sequence[str]) -> str:
    if options.place:
        if options.place not in places:
            what = f"stages.{name}.place={options.place}: there is no such place"
            raise ConfigError(f"{what}; {suggestion(options.place, places)}")
        return options.place
    if name not in places and isinstance(options.after, list):
        return BRANCHES
    if name not in places:
        raise ConfigError(
            f"stages.{name}: where does it stand? Give stages.{name}.before or stages.{name}.after, the name of a "
            f"stage, or stages.{name}.place, one of {', '.join(places)}"
        )
    return name


def _inserted(order: list[str], anchored: Mapping[str, StageOptions], options: Mapping[str, StageOptions]) -> list[str]:
    """The order with each anchored stage next to its anchor; several at one anchor stand as they were given."""
    waiting, behind = dict(anchored), dict[str, str]()
    while waiting:
        ready = [name for name, one in waiting.items() if _known_anchor(name, one, options) in order]
        if not ready:
            names = ", ".join(waiting)
            raise ConfigError(f"stages.{next(iter(waiting))}: the stages {names} stand before or after each other")
        for name in ready:
            one = waiting.pop(name)
            if one.before:
                order.insert(order.index(one.before), name)
            else:
                anchor = str(one.after)
                order.insert(order.index(behind.get(anchor, anchor)) + 1, name)
                behind[anchor] = name
    return order


def _known_anchor(name: str, one: StageOptions, options: Mapping[str, StageOptions]) -> str:
    anchor, key = str(one.before or one.after), "before" if one.before else "after"
    _check_known(f"stages.{name}.{key}", anchor, options)
    if one.before and isinstance(options[anchor].after, list):
        raise ConfigError(
            f"stages.{name}.before={anchor}: {anchor} names what it reads itself; put {name} into stages.{anchor}.after"
        )
    return anchor


def _check_known(key: str, name: str, names: Mapping[str, StageOptions] | Sequence[str]) -> None:
    if name not in names:
        others = [one for one in names if key.split(".")[1] != one]
        raise ConfigError(f"{key}: there is no stage {name!r}; {suggestion(name, others)}")
