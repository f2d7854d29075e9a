"""What a pipeline needs and its store does not have, in one message."""

from __future__ import annotations

from hpcurate.planning.missing import Need, NotInstalled, all_of

WEIGHTS = NotInstalled({"model big: its weights are not in the store": ()}, [Need("model", "big", "fetch big")])
ENV = NotInstalled({"env=vision: is not built in this store": ()}, [Need("env", "vision", "build vision")])


def test_what_several_stages_lack_is_said_once() -> None:
    """It was one line of 2400 characters for `+pipeline=video_full`, which named the same weights three times."""
    found = all_of(
        [WEIGHTS.of("stages.filter: "), ENV.of("stages.aesthetic.", "; why"), WEIGHTS.of("stages.caption: ")], "install"
    )
    assert [
        "stages.filter: model big: its weights are not in the store (also stages.caption);",
        "stages.aesthetic.env=vision: is not built in this store; why;",
        "type `install`",
    ] == str(found).splitlines()
    assert ["big", "vision"] == [need.name for need in found.needs]


def test_one_thing_is_one_line() -> None:
    """With what installs it alone, where no command installs everything."""
    assert "model big: its weights are not in the store; type `fetch big`" == str(WEIGHTS)
