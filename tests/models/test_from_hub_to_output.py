"""The whole way of a model: hub → store → node → stage process → output, with tiny weights of real architectures."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT
from real_weights import weights, weights_store
from shell import LOCAL, Shell
from slurm_fixture import SlurmSite

pytest.importorskip("torch", reason="the models extra is not installed")


def fetch(shell: Shell, *models: str) -> None:
    """Tiny models are made and served by our script while the command fetches them."""
    made = [sys.executable, str(ROOT / "scripts" / "make-tiny-models"), str(shell.folder / "tiny"), "--"]
    words = [sys.executable, "-m", "hpcurate", "models", "fetch", *models, "--store", str(shell.store)]
    environment = {**shell.environment, "HF_HOME": str(shell.folder / "hf")}
    subprocess.run([*made, *words], cwd=shell.cwd, env=environment, check=True, capture_output=True, timeout=120)


def test_hello_with_tiny_models(shell: Shell) -> None:
    """The script makes and serves them while one command fetches; then GPT-2 writes, and each text has its vector."""
    import numpy as np
    import pyarrow.parquet as parquet

    fetch(shell, "tiny-gpt2", "tiny-embedder")
    disk = shell.folder / "disk"
    disk.mkdir()
    tiny = ["stages.generate.model=tiny-gpt2", "stages.embed.model=tiny-embedder", f"launcher.node_local=[{disk}]"]
    shell.run("+pipeline=hello", *tiny)
    (output,) = shell.store.glob("runs/*-hello-*/output")
    rows = [json.loads(line) for line in (output / "answers.jsonl").read_text().splitlines()]
    assert "write one sentence about the sea." == rows[0]["prompt"]
    assert [len((row["answer"] or row["prompt"]).split()) for row in rows] == [row["word_count"] for row in rows]
    vectors = parquet.read_table(output / "tiny-embedder_embd_parquet")
    assert [row["id"] for row in rows if row["answer"]] == vectors["id"].to_pylist()
    assert np.allclose(1, np.linalg.norm(np.array(vectors["embedding"].to_pylist()), axis=1))
    assert {"hpcurate--tiny-embedder", "hpcurate--tiny-gpt2"} == {
        p.name.split("@")[0] for p in disk.glob("hpcurate-*/*/[!.]*") if "@" in p.name
    }
    (stage,) = shell.store.glob("stages/generate-*/stage.json")
    assert json.loads(stage.read_text())["parts"]["models"][0].startswith("hpcurate/tiny-gpt2@")
    assert "nothing to do" in shell.run("+pipeline=hello", *tiny).stderr


def test_prompts_of_a_table_by_two_processes_of_a_node(shell: Shell) -> None:
    """A GGUF is unpacked once on the node, by whoever is first; both read it there. Answers are in the table's order."""
    pytest.importorskip("gguf", reason="the models extra is not installed")
    from tiny_gguf import write_tiny_gguf

    (shell.folder / "theirs").mkdir()
    write_tiny_gguf(shell.folder / "theirs" / "m.gguf")
    prompts = [{"id": f"p{n}", "prompt": f"prompt number {n} of {'many ' * n}"} for n in range(9, 0, -1)]
    (shell.cwd / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in prompts))
    disk = shell.folder / "disk"
    disk.mkdir()
    words = [
        "+pipeline=prompts", "input=prompts.jsonl", "output=out", f"models.theirs.path={shell.folder / 'theirs'}",
        "stages.generate.model=theirs", "stages.generate.generate.max_tokens=8", "stages.generate.shard_tasks=3",
        "stages.generate.processes=2", "stages.generate.resources.cpus=1", "~stages.embed",
    ]  # fmt: skip
    shell.type("install", *words, f"store={shell.store}")
    shell.run(*words, f"launcher.node_local=[{disk}]")
    rows = [json.loads(line) for line in (shell.cwd / "out" / "answers.jsonl").read_text().splitlines()]
    assert [(row["id"], row["prompt"]) for row in prompts] == [(row["id"], row["prompt"]) for row in rows]
    assert {"theirs"} == {row["model"] for row in rows}
    made = [json.loads(path.read_text())["what"] for path in shell.store.glob("runs/2*/submissions/*/brought-*.json")]
    assert 1 == made.count("setup_on_node of generate")
    assert 1 == len(list(disk.glob("hpcurate-*/*/setup-generate-*/theirs/model.safetensors")))


@pytest.mark.long
def test_hello_answers_in_english(shell: Shell) -> None:
    """The real models, from packages, as `make hello` types it: fluent sentences, each about what was asked."""
    weights("smollm2-135m-instruct")
    weights("all-minilm")
    shell.store.mkdir()
    (shell.store / "weights").symlink_to(weights_store() / "weights")
    shell.run("+pipeline=hello", "stages.generate.resources.cpus=1")
    (output,) = shell.store.glob("runs/*-hello-*/output")
    rows = [json.loads(line) for line in (output / "answers.jsonl").read_text().splitlines()]
    assert ["done", "done", "truncated"] == [row["status"] for row in rows]
    for row, word in zip(rows, ["sea", "bridges", "mountain"], strict=True):
        assert re.search(rf"\b{word}\b", row["answer"])
        assert 10 < row["word_count"] < 60
    assert all(row["answer"].endswith(".") for row in rows[:2])


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


@pytest.mark.slurm
def test_images_get_scores_and_vectors_on_slurm(shell: Shell, slurm: SlurmSite) -> None:
    """CLIP and SigLIP, with nothing but what was fetched: a row, a record and a vector for each image but the broken."""
    import numpy as np
    import pyarrow.parquet as parquet
    from PIL import Image

    fetch(shell, "tiny-clip", "tiny-aesthetic-head", "tiny-siglip")
    folder = shell.cwd / "images"
    (folder / "sub").mkdir(parents=True)
    for name, size in (("a.jpg", (300, 200)), ("sub/b.png", (80, 500)), ("c.webp", (1, 1))):
        noise = np.random.default_rng(len(name)).integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(noise).save(folder / name)
    (folder / "broken.jpg").write_bytes((folder / "a.jpg").read_bytes()[:999])
    words = (
        "+pipeline=images", "+aesthetic=clip", "+embed=siglip", "input=images", "output=out", "launcher=slurm", "wait=true",
        f"store={shell.store}", "stages.aesthetic.model=tiny-clip", "stages.aesthetic.head=tiny-aesthetic-head",
        "stages.embed.model=tiny-siglip", "stages.aesthetic.resources.gpus=0", "stages.embed.resources.gpus=0",
    )  # fmt: skip
    shell.type(*words, **slurm.env)
    out = shell.cwd / "out"
    rows = parquet.read_table(out / "images.parquet").to_pylist()
    assert ["a.jpg", "c.webp", "sub/b.png"] == [row["source"] for row in rows]
    assert all(np.isfinite(row["aesthetic_score"]) for row in rows)
    vectors = parquet.read_table(out / "tiny-siglip_embd_parquet")
    assert sorted(vectors["id"].to_pylist()) == sorted(row["id"] for row in rows)
    assert np.allclose(1, np.linalg.norm(np.array(vectors["embedding"].to_pylist()), axis=1))
    records = [json.loads(path.read_text()) for path in out.glob("metas/v0/*/*.json")]
    assert sorted(rows, key=lambda row: row["id"]) == sorted(records, key=lambda record: record["id"])
    summary = json.loads((out / "summary.json").read_text())
    assert (4, 3, 1) == (summary["num_input_images"], summary["total_num_images_passed"], summary["num_failed"])
    assert "broken.jpg: cannot be read as an image" in shell.rows("probe", "failed.jsonl")[0]


SECOND_OPINION = """
from stages.language.caption import Caption


class SecondOpinion(Caption):
    def answered(self, task, windows):
        for window, answer in windows:
            said = f"{self.model.name} {answer.status}: {answer.text}"
            window.types = [*(window.types or []), said]
        return task
"""


@pytest.mark.slurm
@pytest.mark.video
def test_windows_of_clips_get_captions_on_gpu_nodes(shell: Shell, slurm: SlurmSite) -> None:
    """By Qwen3-VL; two more look at the same windows. What was fetched is on the node; record and table have it all."""
    import pyarrow.parquet as parquet
    from video_help import make_video

    others = ("tiny-qwen2_5-vl", "tiny-llava")
    fetch(shell, "tiny-qwen3-vl", *others)
    for folder in (videos := shell.cwd / "videos", own := shell.cwd / "stages", disk := shell.folder / "disk"):
        folder.mkdir()
    (own / "second_opinion.py").write_text(SECOND_OPINION)
    make_video(videos / "v.mp4", numbers=[*range(24), *range(220, 244), *range(100, 132)], sound=None)
    small = ("prompt='What is it?'", "generate={max_tokens: 8}", "options={min_squares: 4, max_squares: 12}")
    words = [
        "+pipeline=video", "+caption=qwen3_vl", "input=videos", "output=out", "launcher=slurm", "launcher.partition=gpu",
        "wait=true", f"store={shell.store}", f"site.node_local=[{disk}]", "stages.split.method=stride",
        "stages.split.stride_s=2", "stages.split.min_s=0.5", "stages.caption.model=tiny-qwen3-vl",
        "stages.caption.windows={frames: 24, remainder: 12}", *(f"stages.caption.{each}" for each in small),
        "+stages.more.place=captions",
    ]  # fmt: skip
    for name in others:
        member = f"+stages.more.chain.{name.replace('-', '_')}"
        words += [f"{member}._target_=stages.second_opinion.SecondOpinion", f"{member}.model={name}"]
        words += [f"{member}.{each}" for each in small]
    for stage in ("stages.caption", "+stages.more"):
        words += [f"{stage}.device=cpu", f"{stage}.resources={{memory: 2GB, cpus: 1}}"]
    shell.type(*words, **slurm.env)
    out = shell.cwd / "out"
    windows = [one for row in parquet.read_table(out / "clips.parquet").to_pylist() for one in row["windows"]]
    assert [(0, 23), (24, 47), (0, 31)] == [(each["start_frame"], each["end_frame"]) for each in windows]
    assert [("tiny-qwen3-vl", "truncated", 8)] * 3 == [(e["model"], e["status"], e["output_tokens"]) for e in windows]
    assert 3 == len({each["caption"] for each in windows})
    assert [[f"{name} truncated" for name in others]] * 3 == [
        [said.partition(":")[0] for said in each["types"]] for each in windows
    ]
    records = [json.loads(path.read_text()) for path in out.glob("metas/v0/*/*.json")]
    assert sorted(e["caption"] for e in windows) == sorted(e["caption"] for r in records for e in r["windows"])
    captions = json.loads((out / "summary.json").read_text())["captions"]
    assert {"windows": 3, "truncated": 3} == {name: captions[name] for name in ("windows", "truncated")}
    there = {path.name.split("@")[0] for path in disk.glob("hpcurate-*/*/[!.]*")}
    assert {f"hpcurate--{name}" for name in ("tiny-qwen3-vl", *others)} <= there
