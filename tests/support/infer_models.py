"""Classes with `infer`, as people write them: none of them imports anything of hpcurate."""

from __future__ import annotations

import enum
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypedDict

import attrs
import msgspec
import pydantic


class Draws:
    """In the manner of Cosmos-Gradio: a dict comes in, files are left in its `output_dir`."""

    default_request: ClassVar[dict[str, Any]] = {"prompt": "a square", "count": 2, "output_dir": "/nowhere"}

    def __init__(self, ink: str = "black") -> None:
        self.ink = ink

    def infer(self, args: dict[str, Any]) -> None:
        """Write as many files as are asked for."""
        folder = Path(args["output_dir"])
        (folder / "more").mkdir()
        for number in range(args["count"]):
            (folder / "more" / f"{number}.txt").write_text(f"{args['prompt']} in {self.ink}")

    @staticmethod
    def validate(request: dict[str, Any]) -> dict[str, Any]:
        """Fix up what is missing, refuse what is wrong."""
        if not request.get("prompt"):
            raise ValueError("prompt: write what to draw")
        return {"count": 1, **request}


def draws_in_blue() -> Draws:
    """A factory that says what it makes."""
    return Draws(os.environ.get("INK", "blue"))


def draws_something():  # type: ignore[no-untyped-def]
    """A factory that does not."""
    return Draws("grey")


class Style(enum.Enum):
    """How to draw."""

    LINES = "lines"
    DOTS = "dots"


class Words:
    """Keyword parameters."""

    def infer(
        self,
        prompt: str,
        steps: int = 30,
        style: Style = Style.LINES,
        ratio: Literal["16:9", "1:1"] = "16:9",
        guidance: float | None = None,
        picture: Path | None = None,
        tags: list[str] = [],  # noqa: B006
        output_dir: str = "",
    ) -> dict[str, Any]:
        """Say what came.

        Args:
            prompt: what to draw.
            steps: of the sampler,
                more are better.
        """
        if prompt == "fail":
            raise ValueError("this cannot be drawn")
        (Path(output_dir) / "said.txt").write_text(prompt)
        return {"said": prompt, "steps": steps, "style": style.value, "picture": picture and picture.read_text()}


@dataclass
class Request:
    """A dataclass with a check of its own."""

    prompt: str
    """what to draw"""
    seed: int = 0
    sizes: list[int] = field(default_factory=lambda: [64])

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError("a seed is not negative")


@dataclass
class Answer:
    """What comes back."""

    text: str
    picture: Path | None = None


class Typed:
    """A class of requests."""

    def infer(self, request: Request) -> Answer:
        """Say what came."""
        return Answer(f"{request.prompt} {request.seed} {request.sizes}")


@attrs.define
class AttrsRequest:
    """The same with attrs."""

    prompt: str = attrs.field(metadata={"help": "what to draw"})
    seed: int = attrs.field(default=0, validator=attrs.validators.ge(0))


class StructRequest(msgspec.Struct):
    """The same with msgspec."""

    prompt: Annotated[str, msgspec.Meta(description="what to draw", min_length=1)]
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0


class DictRequest(TypedDict):
    """The same as a dict."""

    prompt: str
    seed: int


class ModelRequest(pydantic.BaseModel):
    """The same with pydantic."""

    prompt: str = pydantic.Field(description="what to draw")
    seed: int = pydantic.Field(0, ge=0)


class WithAttrs:
    """Takes it."""

    def infer(self, request: AttrsRequest) -> str:
        """Say what came."""
        return f"{type(request).__name__} {request.prompt} {request.seed}"


class WithStruct:
    """Takes it."""

    def infer(self, request: StructRequest) -> str:
        """Say what came."""
        return f"{type(request).__name__} {request.prompt} {request.seed}"


class WithDict:
    """Takes it."""

    def infer(self, request: DictRequest) -> str:
        """Say what came."""
        return f"{type(request).__name__} {request['prompt']} {request['seed']}"


class WithModel:
    """Takes it."""

    def infer(self, request: ModelRequest) -> str:
        """Say what came."""
        return f"{type(request).__name__} {request.prompt} {request.seed}"


class Nothing:
    """Has no infer."""


class Returns:
    """Whatever it was constructed with, or makes of it."""

    def __init__(self, what: str = "") -> None:
        self.what = what

    def infer(self, args: dict[str, Any]) -> Any:
        """One of many kinds of result."""
        folder = Path(args["output_dir"])
        if self.what == "link":
            (folder / "passwd").symlink_to("/etc/passwd")
        if self.what == "elsewhere":
            return {"picture": Path(args["elsewhere"]), "seed": 3}
        if self.what == "inside":
            (folder / "a.txt").write_text("a")
            return {"clip": str(folder / "a.txt"), "note": f"see {folder / 'a.txt'}"}
        if self.what == "paths":
            for name in ("a.txt", "b.txt"):
                (folder / name).write_text(name)
            return [folder / "a.txt", folder / "b.txt"]
        if self.what == "array":
            return {"pixels": memoryview(b"abc"), "object": object()}
        return args["value"]
