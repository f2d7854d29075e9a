"""What a stage imports and the current environment lacks, from sources; and what follows from it for its `env`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from hpcurate import Chain, CurrentOr, Files, FileTask, StageOptions, Step
from hpcurate.config_files import shipped
from hpcurate.environments.files import read_env
from hpcurate.errors import ConfigError, PipelineError
from hpcurate.planning.build import _why, build
from hpcurate.planning.needs import extras_with, lacking, packages_of
from hpcurate.planning.pipeline import Environment
from hpcurate.stage import Stage, environment_of
from hpcurate.system.classes import load_class

MODULE = """
from __future__ import annotations
import json
from typing import TYPE_CHECKING
from hpcurate import CurrentOr, FileTask, Stage
from needs_helpers.pictures import read
from needs_helpers import towers
if TYPE_CHECKING:
    import no_such_types

class Plain(Stage[FileTask, FileTask]):
    def process(self, tasks):
        import numpy
        return tasks

class Heavy(Stage[FileTask, FileTask]):
    env = CurrentOr("vision")
    def setup(self, worker):
        towers.load()
        from no_such_torch.nn import functional
    def process(self, tasks):
        try:
            import no_such_extra
        except ImportError:
            pass
        return [read(task) for task in tasks]

class Light(Plain):
    env = CurrentOr("vision")
"""


@pytest.fixture
def stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Modules of a user: a package without `__init__.py`, and a stage file."""
    (tmp_path / "needs_helpers").mkdir()
    (tmp_path / "needs_helpers" / "pictures.py").write_text(
        "def read(task):\n    import no_such_pil\n\ndef unused():\n    import nobody\n"
    )
    (tmp_path / "needs_helpers" / "towers.py").write_text("def load():\n    import no_such_hub.file_download\n")
    (tmp_path / "needs_stage.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "needs_stage", raising=False)
    return tmp_path


def stage(name: str) -> Stage[Any, Any]:
    """One of the stages above."""
    made: Stage[Any, Any] = load_class(f"needs_stage.{name}", "stage")()
    return made


def test_what_a_stage_lacks_is_found_through_its_own_modules(stages: Path) -> None:
    """In functions that it refers to, in modules that it takes names from, and in no others."""
    assert ("no_such_hub", "no_such_pil", "no_such_torch") == lacking(stage("Heavy"), FileTask)
    assert () == lacking(stage("Plain"), FileTask)
    (stages / "needs_helpers" / "pictures.py").write_text("import no_such_cv2\n")  # runs whenever the file is imported
    assert ("no_such_cv2",) == lacking(stage("Plain"), FileTask)


CONDA_NAMES = {"PIL": "pillow", "cv2": "opencv", "safetensors": "transformers", "torch": "pytorch"}
"""What conda-forge calls a package, or another one of which it is a dependency."""
RUNTIME = {"attrs", "msgspec", "typing_extensions"}


def test_the_environments_that_we_ship_have_what_our_stages_import() -> None:
    """Each shipped stage that would take another environment; clips bring their decoder along."""
    from stages.language.answers import EmbedAnswers
    from stages.language.generate import Generate
    from stages.language.prompt_tasks import PromptTask
    from stages.video.tasks import ClipTask
    from stages.vision.aesthetic import Aesthetic
    from stages.vision.embed import Embed
    from stages.vision.nsfw import Nsfw
    from stages.vision.text_share import TextShare

    ours: list[tuple[Stage[Any, Any], Any]] = [(one(), ClipTask) for one in (Aesthetic, Embed, Nsfw, TextShare)]
    ours += [(Generate(), PromptTask), (EmbedAnswers(), PromptTask)]
    for stage, given in ours:
        env = environment_of(stage)
        assert isinstance(env, CurrentOr)
        wanted = {CONDA_NAMES.get(name, name) for name in packages_of(stage, given)} - RUNTIME
        assert wanted <= set(read_env(env.env, [shipped("envs")]).dependencies)
    assert "av" in packages_of(Aesthetic(), ClipTask)


def planned(options: StageOptions, *, name: str) -> tuple[Any, bool]:
    """The environment that is asked for."""
    asked: list[tuple[Any, bool]] = []

    def environment(env: Any, to_node: bool) -> Environment:
        asked.append((env, to_node))
        if env == "missing":
            raise ConfigError(f"env={env}: is not built")
        return Environment()

    build("p", Files(path="/nowhere"), {"one": Step(stage(name), options)}, environment=environment)
    return asked[0]


def test_the_current_environment_serves_if_it_has_everything(stages: Path) -> None:
    """Else the named one; what the user names at the place of use wins; the current one cannot be staged to nodes."""
    assert (None, False) == planned(StageOptions(), name="Light")
    assert ("vision", False) == planned(StageOptions(), name="Heavy")
    assert ("own", False) == planned(StageOptions(env="own"), name="Light")
    assert ("vision", True) == planned(StageOptions(stage_to_node=True), name="Light")


def test_a_refusal_says_what_the_current_environment_lacks(stages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is why another one is asked for at all."""
    heavy = type(stage("Heavy"))
    monkeypatch.setattr(heavy, "env", CurrentOr("missing"))
    with pytest.raises(ConfigError) as refused:
        planned(StageOptions(), name="Heavy")
    lacks = "no_such_hub, no_such_pil, no_such_torch (with it here, no other one is needed)"
    assert f"stages.one.env=missing: is not built; the current environment lacks {lacks}" == str(refused.value)


def test_a_refusal_names_the_extras_that_have_what_is_lacking() -> None:
    """It told of packages only, and of an environment of gigabytes: `+caption=openai` lacks one small package."""
    assert ("openai",) == extras_with(["httpx2"])
    assert ("models", "video") == extras_with(["PIL", "safetensors", "torch", "cv2"])
    assert () == extras_with(["torch", "no_such_torch"])
    assert "(with it here, no other one is needed: pip install 'hpcurate[vision]')" in _why(["onnxruntime"], False)
    assert "; the current environment lacks onnxruntime" == _why(["onnxruntime"], True)


def test_what_shipped_stages_import_is_in_extras() -> None:
    """safetensors was in none: it is imported by itself, and came with transformers."""
    from stages.video.tasks import ClipTask, VideoTask

    shipped_stages = [
        ("stages.language.caption.Caption", {"model": "x"}),
        ("stages.language.caption.Caption", {"model": "x", "backend": "openai", "server": {"url": "http://x/v1"}}),
        ("stages.language.enhance.Enhance", {"model": "x"}),
        ("stages.language.text_vectors.EmbedText", {"model": "x"}),
        ("stages.vision.aesthetic.Aesthetic", {}),
        ("stages.video.split.Split", {"detector": "transnetv2"}),
    ]
    for name, given in shipped_stages:
        takes = VideoTask if name.endswith("Split") else ClipTask
        imported = set(packages_of(load_class(name, "_target_")(**given), takes)) - RUNTIME
        assert extras_with(imported), f"{name}: {imported}"


def test_members_without_an_environment_follow_the_one_that_has_a_choice(stages: Path) -> None:
    """Two choices that differ, or a fixed one beside them, are refused."""
    assert CurrentOr("vision") == environment_of(Chain([stage("Plain"), stage("Heavy")]))

    class Fixed(Stage[FileTask, FileTask]):
        env = "vlm"

    with pytest.raises(PipelineError, match="share one env, these differ: the current one or vision, vlm"):
        Chain([stage("Heavy"), Fixed()])


def test_a_model_that_a_stage_could_have_had_is_not_needed() -> None:
    """`make demo` was refused where torch is not installed: `Split` refers to a network that it does not choose."""
    from stages.video.split import Split
    from stages.video.tasks import VideoTask

    assert "torch" not in packages_of(Split(), VideoTask)
    assert "torch" in packages_of(Split(detector="transnetv2"), VideoTask)
    assert ("video",) == extras_with(each for each in packages_of(Split(), VideoTask) if each not in RUNTIME)
