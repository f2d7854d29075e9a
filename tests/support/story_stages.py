"""Stages whose tasks have stories: made of others, measured, dropped in the middle of a chain, failed."""

from __future__ import annotations

import os

import attrs

from hpcurate import File, Stage, Task


@attrs.define(kw_only=True)
class Film(Task):
    """Something with a name."""

    source: str
    scenes: int = 0


@attrs.define(kw_only=True)
class Scene(Task):
    """A part of a film."""

    source: str
    number: int
    sharpness: float | None = None
    still: File | None = None


class Split(Stage[Film, Scene]):
    """One scene for each; fails on films of 13 scenes as long as there is a file, drops those of none."""

    version = 1
    batch_size = 2

    def __init__(self, bug: str) -> None:
        self.bug = bug

    def process(self, tasks: list[Film]) -> list[Scene]:
        """Scenes, in order."""
        made = []
        for film in tasks:
            print(f"{film.source}: {film.scenes} scenes", flush=True)
            if film.scenes == 13 and os.path.exists(self.bug):
                raise ValueError(f"{film.source}: cannot be split")
            if not film.scenes:
                self.drop(film, "no scene")
            if film.scenes == 4:
                self.left_out(film, "shorter than 2 s", count=3, seconds=4.1)
            made += [self.child(film, Scene, source=film.source, number=n) for n in range(film.scenes)]
        return made


class Look(Stage[Scene, Scene]):
    """Measures, writes a still, drops what is not sharp."""

    version = 1

    def __init__(self, min_sharpness: float = 0.5) -> None:
        self.min_sharpness = min_sharpness

    def process(self, tasks: list[Scene]) -> list[Scene]:
        """Scene 0 is not sharp."""
        kept = []
        for scene in tasks:
            scene.sharpness = scene.number / 2
            if scene.sharpness < self.min_sharpness:
                self.drop(scene, "blurred", value=scene.sharpness, threshold=self.min_sharpness, measure="sharpness")
                continue
            scene.still = self.file(scene, "still.txt")
            with open(scene.still, "w") as file:
                file.write(f"{scene.number}\n")
            kept.append(scene)
        return kept


class Halve(Stage[Scene, Scene]):
    """Two of each; of scene 3 the second is dropped."""

    version = 1

    def process(self, tasks: list[Scene]) -> list[Scene]:
        """A first and a second half."""
        halves = []
        for scene in tasks:
            both = [self.child(scene, Scene, source=scene.source, number=scene.number, still=scene.still) for _ in "ab"]
            if scene.number == 3:
                self.drop(both.pop(), "second half")
            halves += both
        return halves


class Publish(Stage[Scene, Scene]):
    """A file for each, by its id, in folders of two digits."""

    version = 1

    def __init__(self, output: str) -> None:
        self.output = output

    def process(self, tasks: list[Scene]) -> list[Scene]:
        """The same."""
        for scene in tasks:
            folder = os.path.join(self.output, "scenes", scene.id[:2])
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder, f"{scene.id}.txt"), "wb") as file:
                file.write(os.fsencode(scene.source))
        return tasks


class Whole(Stage[Scene, Scene]):
    """One of all."""

    version = 1
    gather = True

    def process(self, tasks: list[Scene]) -> list[Scene]:
        """A child of every scene."""
        return [self.child(tasks, Scene, source="whole", number=len(tasks))]
