"""The docs are true: every command line in them is typed, the reference is what the help says, links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from checkout import ROOT
from readme import readme_stage
from shell import Shell
from slurm_fixture import SlurmSite
from video_help import make_video

from hpcurate.cli.verbs.reference import page, sections

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CODE_ROOTS = ("hpcurate", "stages", "launchers", "tests", "conf", "envs", "benchmarks")
CODE = [path.relative_to(ROOT).as_posix() for root in CODE_ROOTS for path in (ROOT / root).rglob("*.py")]
CODE_FOLDERS = {
    f"{path.relative_to(ROOT).as_posix()}/" for root in CODE_ROOTS for path in [ROOT / root, *(ROOT / root).rglob("*/")]
}


def page_name(path: Path) -> str:
    """`docs/models.md`."""
    return path.relative_to(ROOT).as_posix()


def test_no_config_field_lacks_its_help() -> None:
    """Whatever can be set is explained where it is defined."""
    assert [] == [f"{title}: {field.key}" for title, _, fields in sections() for field in fields if not field.help]


def test_the_reference_is_what_the_help_says() -> None:
    """`hpcurate reference > docs/reference.md` makes it."""
    assert (ROOT / "docs" / "reference.md").read_text() == page()


@pytest.mark.parametrize("path", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=page_name)
def test_links_lead_somewhere(path: Path) -> None:
    """Files of the repository, by relative path."""
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text())
    assert [] == [link for link in links if "://" not in link and not (path.parent / link).exists()]


@pytest.mark.parametrize("path", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=page_name)
def test_lines_fit_a_terminal(path: Path) -> None:
    """120 characters; a row of a table is one line, however long."""
    lines = [line for line in path.read_text().splitlines() if len(line) > 120]
    assert [] == [line for line in lines if not line.startswith("|")]


def test_every_page_is_in_the_index() -> None:
    """docs/README.md sorts them by tutorial, how-to, reference and internals."""
    index = (ROOT / "docs" / "README.md").read_text()
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert set() == {name for name in pages if f"({name})" not in index}


INTERNALS = [ROOT / "docs" / "architecture.md", ROOT / "docs" / "protocol.md", ROOT / "CONTRIBUTING.md"]


@pytest.mark.parametrize("path", INTERNALS, ids=page_name)
def test_what_the_internals_name_exists(path: Path) -> None:
    """Files and folders of the code by the end of their path, tests by file and function."""
    files = [*CODE, *CODE_FOLDERS]
    named = set(re.findall(r"`([\w/]+(?:\.py|/))`", path.read_text())) - {"files/"}  # of a shard
    assert set() == {name for name in named if not any(f"/{file}".endswith(f"/{name}") for file in files)}
    tests = {test.stem: test.read_text() for test in (ROOT / "tests").rglob("test_*.py")}
    for file, function in re.findall(r"`(test_\w+)(?:::(test_\w+))?`", path.read_text()):
        assert f"def {function}" in tests.get(file, ""), f"{file}::{function}"


@pytest.mark.parametrize("path", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=page_name)
def test_pages_use_the_words_of_the_field(path: Path) -> None:
    """Words that a reader would stumble over have a natural one."""
    assert [] == re.findall(r"\b(?:anew|mends?|mended|last words|brought|yardstick)\b", path.read_text())


# -- every line that begins with hpcurate -----------------------------------------------------------


def command_lines() -> dict[str, str]:
    """Each line of a code block that begins with `hpcurate` → a page with it; the first two days have a file of their own."""
    found: dict[str, str] = {}
    for path in PAGES:
        if path.name in ("first-day.md", "second-day.md"):
            continue
        for block in re.findall(r"^```\w*\n(.*?)^```", path.read_text(), re.M | re.S):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("hpcurate "):
                    found.setdefault(re.sub(r"\s+#.*", "", line), path.name)
    return found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, slurm: SlurmSite) -> Shell:
    """A shell on a login node, with videos, a manifest, and one run in the store that the docs name."""
    shell = Shell(tmp_path_factory.mktemp("docs"))
    shell.store = shell.folder / "curate"
    shell.extra = {**slurm.env, "HPCURATE_STORE": str(shell.store), "USER": "me"}
    (shell.folder / "videos").mkdir()
    (shell.folder / "tars").mkdir()
    (shell.folder / "tars" / "0001.tar").touch()
    (shell.folder / "texts").mkdir()
    (shell.folder / "texts" / "a.jsonl").write_text('{"text": "a"}\n')
    make_video(shell.folder / "videos" / "a.mp4", frames=48)
    for year in ("2024", "2025"):
        (shell.folder / year).mkdir()
        (shell.folder / year / "a.mp4").symlink_to(shell.folder / "videos" / "a.mp4")
    (shell.cwd / "clips.jsonl").write_text("".join(f'{{"path": "{k}", "duration_s": {k + 1}}}\n' for k in range(9)))
    (shell.cwd / "bad.txt").write_text("b.mp4\n")
    text = (ROOT / "docs" / "writing-a-stage.md").read_text()
    for name, kind in (("stages/titles.py", "python"), ("conf/pipeline/titles.yaml", "yaml")):
        (block,) = re.findall(rf"`{re.escape(name)}`[^\n]*:\n\n```{kind}\n(.*?)^```", text, re.M | re.S)
        (shell.cwd / name).parent.mkdir(parents=True, exist_ok=True)
        (shell.cwd / name).write_text(block)
    (shell.cwd / "stages" / "caption.py").write_text(readme_stage()[0])
    (shell.cwd / "mine.py").write_text(
        "from hpcurate import Stage\nfrom stages.video.tasks import ClipTask\n\n\n"
        "class Mine(Stage[ClipTask, ClipTask]):\n"
        "    def process(self, tasks: list[ClipTask]) -> list[ClipTask]:\n        return tasks\n"
    )
    shell.run("+pipeline=titles", f"input={shell.folder / 'videos'}")
    shell.run("+pipeline=video", f"input={shell.folder / 'videos'}", "stages.split.method=stride")
    return shell


def test_what_is_typed_warm_is_as_from_a_fresh_python(shell: Shell) -> None:
    """One verb, one run that is refused, one module of the current folder: status and both streams."""
    (shell.cwd / "mine.py").write_text("raise ValueError('imported')\n")
    for words in (
        ["runs", "--help"],
        ["+pipeline=words", "no.such=1"],
        ["+pipeline=words", "+stages.a.file=./mine.py"],
    ):
        fresh, typed = shell.typed_afresh(*words), shell.typed(*words)
        assert (fresh.returncode, fresh.stdout, fresh.stderr) == (typed.returncode, typed.stdout, typed.stderr)


@pytest.mark.slurm
@pytest.mark.parametrize(("line", "page_name"), command_lines().items())
def test_a_command_line_of_the_docs_can_be_typed(cluster: Shell, page_name: str, line: str) -> None:
    """A run as a dry run, a verb as it stands, a server until it says where it is; nothing is refused as misspelt.
    Weights that the test has no way to fetch are all that may be missing.
    """
    text = line.replace("/data/videos", str(cluster.folder / "videos")).replace("/scratch/$USER", str(cluster.folder))
    text = text.replace("input=s3://raw/", f"input={cluster.folder}/")  # nobody's bucket
    folders = {"images": "videos", "shards": "tars", "texts": "texts", "2024": "2024", "2025": "2025"}
    for named, made in ((f"/data/{name}", folder) for name, folder in folders.items()):
        text = text.replace(named, str(cluster.folder / made))
    words = shlex.split(text)[1:]
    is_run = words[0].startswith(("+", "-m"))
    dry = is_run or (words[0] == "serve" and "--list" not in words)
    harmless = ["dry_run=true"] if dry else ["--dry-run"] if words[0] in ("install", "form") else []
    done = (cluster.served if "--serve" in words else cluster.typed)(*words, *harmless)
    assert "--help` shows all" not in done.stderr
    assert "Traceback" not in done.stderr
    if is_run:
        lacks = "are not in the store" in done.stderr and "type `hpcurate install " in done.stderr
        allowed = (2,) if lacks else (0,)
    else:
        nothing = ("no such log", "nobody has", "has no dead letters", "there is no such archive")
        allowed = (2,) if any(said in done.stderr for said in nothing) else (0, 1)
    assert done.returncode in allowed, done.stderr
