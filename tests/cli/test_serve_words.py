"""What is typed for `hpcurate serve`: a class with `infer` beside stages of a pipeline."""

from __future__ import annotations

import pytest

from hpcurate.cli.start.serve_options import of_class


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("mypackage.MyModel", "MyModel"),
        ("my.package:make", "make"),
        ("./my_model.py", "my_model"),
        ("../a b/m.py:MyModel", "MyModel"),
    ],
)
def test_a_class_is_a_pipeline(target: str, name: str) -> None:
    """It is called as the class; what is no key of a run or a server is a parameter of the class; the others stay."""
    words = [target, "checkpoint=large", "workers=2", "store=/s", "stages.infer.resources.gpus=1", "launcher=slurm"]
    made = [
        "+pipeline=infer",
        f"name={name}",
        f"stages.infer.target={target}",
        "++stages.infer.parameters.checkpoint=large",
        *words[2:],
    ]
    assert made == of_class(words)


@pytest.mark.parametrize(
    "words", [["+pipeline=video", "motion", "workers=2"], ["+pipeline=video", "a.b"], ["caption"], ["limit=3"], []]
)
def test_stages_are_stages(words: list[str]) -> None:
    """Where a pipeline is named, and where no word can be a class."""
    assert words == of_class(words)
