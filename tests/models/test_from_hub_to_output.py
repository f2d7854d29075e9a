"""The whole way of a model: hub → store → node → stage process → output, with tiny weights of real architectures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT
from shell import LOCAL, Shell

pytest.importorskip("torch", reason="the models extra is not installed")


def test_hello_with_models_as_the_docs_say(shell: Shell) -> None:
    """The script makes and serves them while one command fetches; then GPT-2 writes, and each text has its vector."""
    import numpy as np

    made = [sys.executable, str(ROOT / "scripts" / "make-tiny-models"), str(shell.folder / "tiny"), "--"]
    fetch = [
        sys.executable,
        "-m",
        "hpcurate",
        "models",
        "fetch",
        "tiny-gpt2",
        "tiny-embedder",
        "--store",
        str(shell.store),
    ]
    environment = {**shell.environment, "HF_HOME": str(shell.folder / "hf")}
    subprocess.run([*made, *fetch], cwd=shell.cwd, env=environment, check=True, capture_output=True, timeout=120)
    disk = shell.folder / "disk"
    disk.mkdir()
    tiny = ["stages.gpt2.model=tiny-gpt2", "stages.embed.model=tiny-embedder", f"launcher.node_local=[{disk}]"]
    shell.run("+pipeline=hello", *tiny)
    rows = [json.loads(row) for row in shell.rows("embed")]
    assert all(row["output"].startswith(row["prompt"]) for row in rows)
    assert [len(row["output"].split()) for row in rows] == [row["word_count"] for row in rows]
    vectors = np.load(shell.store / "stages" / rows[0]["vectors"])
    assert (2, 32) == vectors.shape
    assert np.allclose(1, np.linalg.norm(vectors, axis=1))
    assert sorted(p.name.split("@")[0] for p in disk.glob("hpcurate-*/*/[!.]*")) == [
        "hpcurate--tiny-embedder",
        "hpcurate--tiny-gpt2",
    ]
    (stage,) = shell.store.glob("stages/gpt2-*/stage.json")
    assert json.loads(stage.read_text())["parts"]["models"][0].startswith("hpcurate/tiny-gpt2@")
    assert "nothing to do" in shell.run("+pipeline=hello", *tiny).stderr


def test_a_ported_model_changes_its_imports_only(shell: Shell) -> None:
    """The names of the guide: ModelInterface, model_id_names, get_local_dir_for_weights_name."""
    (shell.cwd / "ported.py").write_text(
        "from hpcurate import Stage\nfrom hpcurate import model as model_utils\n"
        "from hpcurate.model import ModelInterface\nfrom stages.hello import HelloTask\n\n\n"
        "class Reader(ModelInterface):\n"
        "    @property\n    def conda_env_name(self) -> str | None:\n        return None\n\n"
        "    @property\n    def model_id_names(self) -> list[str]:\n        return ['me/ported']\n\n"
        "    def setup(self) -> None:\n"
        "        folder = model_utils.get_local_dir_for_weights_name(self.model_id_names[0])\n"
        "        self.text = (folder / 'text').read_text()\n\n\n"
        "class Say(Stage[HelloTask, HelloTask]):\n"
        "    def __init__(self) -> None:\n        self._model = Reader()\n\n"
        "    @property\n    def model(self) -> ModelInterface | None:\n        return self._model\n\n"
        "    def process(self, tasks):\n        for task in tasks:\n            task.prompt = self._model.text\n        return tasks\n"
    )
    from hpcurate.store.manifest import FileEntry, write_manifest

    commit = "b" * 40
    folder = Path(shell.store, "weights", f"me--ported@{commit}")
    folder.mkdir(parents=True)
    (folder / "text").write_text("hello from the weights")
    write_manifest(str(folder), [FileEntry("text", 22, "0" * 64)])
    (shell.cwd / "conf" / "models").mkdir(parents=True)
    (shell.cwd / "conf" / "models" / "ported.yaml").write_text(f"repo: me/ported\nrevision: {commit}\n")
    shell.type("+pipeline=words", "stages.say.file=ported.py", LOCAL, f"store={shell.store}")
    assert {json.loads(row)["prompt"] for row in shell.rows("say")} == {"hello from the weights"}
