"""What may be typed for a server, beside what its pipeline takes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import attrs

from hpcurate.cli.start.settings import Settings
from hpcurate.errors import ConfigError
from hpcurate.fields import convert, names_of, option
from hpcurate.serving.served import Limits
from hpcurate.units import megabytes, minutes, seconds

__all__ = ["ServeOptions", "of_class", "split_words"]


@attrs.define(frozen=True, kw_only=True)
class ServeOptions:
    """Keys of a server."""

    workers: int = option(1, "requests in work at once; each worker has stage processes of its own", minimum=1)
    queue: int = option(20, "requests that wait at most; the next one is refused", minimum=1)
    request_time: str = option("10m", "most time of a request in one stage; then it is ended", check=seconds)
    upload: str = option("2GB", "most of the files of a request", check=megabytes)
    keep_files: str = option("1h", "how long the files of a request stay after its end", check=seconds)
    idle: str | None = option(None, "time without a request after which the server ends; default: never", check=seconds)
    time: str | None = option(
        None, "with launcher=slurm, wall time of the job; default: the longest of its stages", check=minutes
    )
    listen: str = option(
        "127.0.0.1",
        "address that it listens on; beyond the default, the network can reach it, and only the token guards it",
    )
    port: int = option(0, "port that it listens on; default: a free one", minimum=0)

    def limits(self) -> Limits:
        """As the server takes them."""
        return Limits(
            workers=self.workers,
            queue=self.queue,
            request_s=seconds(self.request_time),
            upload_mb=megabytes(self.upload),
            keep_s=seconds(self.keep_files),
            idle_s=None if self.idle is None else seconds(self.idle),
        )


def split_words(words: Sequence[str]) -> tuple[str | None, ServeOptions, list[str]]:
    """(the stage, the server's own options, what the pipeline takes). Raises ConfigError."""
    stages, own, rest = list[str](), dict[str, Any](), list[str]()
    for word in words:
        key, equals, value = word.partition("=")
        if key in names_of(ServeOptions) and equals:
            own[key] = value
        elif equals or word.startswith(("~", "-")):
            rest.append(word)
        else:
            stages.append(word)
    if len(stages) > 1:
        raise ConfigError(f"serve: expected one stage, there are {', '.join(stages)}; name the last one of the way")
    return (stages[0] if stages else None), convert(ServeOptions, own, "serve"), rest


def of_class(words: Sequence[str]) -> list[str]:
    """What is typed for a class with `infer`, `mypackage.MyModel steps=3`, as a pipeline takes it; others as they are.

    What is no key of a run or a server is a parameter of the class. Pure.
    """
    target = next((word for word in words if _TARGET.fullmatch(word)), None)
    if target is None or any(word.lstrip("+").startswith("pipeline=") for word in words):
        return list(words)
    known = {*names_of(ServeOptions), *names_of(Settings), "site"}
    name = re.split(r"[.:]", target.removesuffix(".py"))[-1].rpartition("/")[2]
    found = ["+pipeline=infer", f"name={name}", f"stages.infer.target={target}"]
    for word in words:
        if re.fullmatch(r"\w+", key := word.partition("=")[0]) and "=" in word and key not in known:
            found.append(f"++stages.infer.parameters.{word}")
        elif word != target:
            found.append(word)
    return found


_TARGET = re.compile(r"[\w.]+[.:]\w+|[^=]+\.py(:[\w.]+)?")
"""`module.Class`, `module:Class`, `./file.py`, `./file.py:Class`."""
