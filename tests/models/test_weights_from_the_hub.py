"""Weights from the hub into the store: the real download code against a hub-compatible server on loopback."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import ROOT
from fragile import fragile
from shell import Shell

sys.path.append(str(ROOT / "scripts"))

from tiny_models.hub import Hub, Repository

from hpcurate.errors import ConfigError, StoreError
from hpcurate.models.hub import _plain_errors
from hpcurate.models.registry import entry_of, read_registry
from hpcurate.models.weights import faults
from hpcurate.store.manifest import FileEntry, read_manifest, write_manifest

pytest.importorskip("huggingface_hub", reason="the models extra is not installed")

BIG = bytes(range(256)) * 4000  # a megabyte, so that a cut falls into its middle
FILES = {"config.json": b"{}", "model.safetensors": BIG, "sub/vocab.txt": b"a\nb\n"}
ENTRY = "repo: me/model\nrevision: main\nlicence: MIT\n"


@pytest.fixture
def hub(shell: Shell) -> Iterator[Hub]:
    """A hub with one repository, and a shell whose conf/models knows it."""
    (shell.cwd / "conf" / "models").mkdir(parents=True)
    (shell.cwd / "conf" / "models" / "mine.yaml").write_text(ENTRY)
    with Hub() as server:
        server.repositories["me/model"] = Repository()
        server.repositories["me/model"].push(FILES)
        shell.extra = {**server.env, "HF_HOME": str(shell.folder / "hf"), "HF_HUB_DOWNLOAD_TIMEOUT": "5"}
        yield server


def fetch(shell: Shell, *words: str, status: int = 0) -> Path | str:
    """`hpcurate models fetch mine`: the folder it printed, or what it complained of."""
    done = shell.type("models", "fetch", "mine", "--store", str(shell.store), *words, status=status)
    assert "Traceback" not in done.stderr
    return done.stderr if status else Path(done.stdout.strip())


def content(folder: Path) -> dict[str, bytes]:
    """Files of fetched weights, without the manifest."""
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    manifest = json.loads(found.pop("files.json"))
    assert {one["path"]: one["sha256"] for one in manifest["files"]} == {
        name: hashlib.sha256(data).hexdigest() for name, data in found.items()
    }
    return found


def test_weights_are_fetched_whole_and_once(shell: Shell, hub: Hub) -> None:
    """Every file, read-only, with a manifest of digests; a second call asks the hub nothing."""
    folder = fetch(shell)
    assert isinstance(folder, Path)
    commit = hub.repositories["me/model"].branches["main"]
    assert folder == shell.store / "weights" / f"me--model@{commit}"
    assert content(folder) == FILES
    assert not os.access(folder / "config.json", os.W_OK) or os.geteuid() == 0
    asked = len(hub.requests)
    fetch(shell)
    assert len(hub.requests) == asked


def test_only_the_files_that_are_named(shell: Shell, hub: Hub) -> None:
    """By pattern."""
    (shell.cwd / "conf" / "models" / "mine.yaml").write_text(ENTRY + "files: ['*.json', 'sub/*']\n")
    folder = fetch(shell)
    assert isinstance(folder, Path)
    assert content(folder).keys() == {"config.json", "sub/vocab.txt"}


def test_a_branch_is_pinned_until_it_is_asked_for_anew(shell: Shell, hub: Hub) -> None:
    """A branch that moves does not change what runs; `--update` does."""
    first = fetch(shell)
    hub.repositories["me/model"].push({**FILES, "config.json": b'{"new": true}'})
    assert fetch(shell) == first
    second = fetch(shell, "--update")
    assert second != first
    assert fetch(shell) == second


def test_a_cut_connection_is_resumed_where_it_stopped(shell: Shell, hub: Hub) -> None:
    """The second transfer of the file asks for the rest only; the library writes in pieces of 10 MB."""
    large = {**FILES, "model.safetensors": BIG * 22}
    hub.repositories["me/model"].push(large)
    hub.cut_after["model.safetensors"] = 15_000_000
    folder = fetch(shell)
    assert isinstance(folder, Path)
    assert content(folder) == large
    ranges = [r for method, path, r in hub.requests if method == "GET" and path.endswith("model.safetensors")]
    assert len(ranges) == 2
    assert ranges[0] == ""
    assert 0 < int(ranges[1].removeprefix("bytes=").partition("-")[0]) <= 15_000_000


def test_other_bytes_than_announced_are_not_taken(shell: Shell, hub: Hub) -> None:
    """The file is named and deleted; the next call brings it whole."""
    hub.corrupt.add("model.safetensors")
    assert "model.safetensors is not what the hub announced" in str(fetch(shell, status=2))
    assert not list(shell.store.glob("weights/*/files.json"))
    hub.corrupt.clear()
    folder = fetch(shell)
    assert isinstance(folder, Path)
    assert content(folder) == FILES


def test_a_gated_model_needs_a_token(shell: Shell, hub: Hub) -> None:
    """What to do is said; with the token it comes, and the token is written nowhere."""
    hub.repositories["me/model"].token = "hf_hush"
    told = str(fetch(shell, status=2))
    assert "me/model is gated; accept its licence" in told
    shell.extra["HF_TOKEN"] = "hf_hush"
    assert isinstance(fetch(shell), Path)
    texts = [p.read_bytes() for p in shell.folder.rglob("*") if p.is_file()]
    assert not any(b"hf_hush" in text for text in texts)


WRONG = [
    ("repo: me/nothing\n", "the hub has no me/nothing"),
    ("repo: me/model\nrevision: v9\n", "me/model has no revision 'v9'"),
    ("repo: me/model\nfiles: ['*.gguf']\n", "no file of me/model matches"),
    ("repo: me/model\nsize: 900000GB\n", "make room there, or name another store"),
    ("repo: me/model\nrevison: v1\n", "revison: there is no such key; did you mean 'revision'?"),
    ("repo: no spaces allowed\n", "expected owner/name as on the hub"),
]


@pytest.mark.parametrize(("entry", "told"), WRONG)
def test_what_cannot_be_fetched_is_refused(shell: Shell, hub: Hub, entry: str, told: str) -> None:
    """One clear message each, and nothing that looks complete is left."""
    (shell.cwd / "conf" / "models" / "mine.yaml").write_text(entry)
    assert told in str(fetch(shell, status=2))
    assert not list(shell.store.glob("weights/*/files.json"))


def test_a_hub_that_is_not_there(shell: Shell, hub: Hub) -> None:
    """Said in a line."""
    shell.extra["HF_ENDPOINT"] = "http://127.0.0.1:9"
    assert "the hub could not be reached" in str(fetch(shell, status=2))


@pytest.mark.parametrize("kind", ["read-only", "no inodes"])
def test_a_store_that_takes_no_file(shell: Shell, hub: Hub, kind: str) -> None:
    """It is said in a line, with the number; afterwards the same command fetches."""
    with fragile(shell.folder) as disk:
        (disk.store / "weights" / ".turns").mkdir(parents=True)
        with disk.trouble(kind):
            told = str(fetch(shell, status=1))
            assert f"hpcurate: {disk.store}" in told
            assert {"read-only": "Read-only file system", "no inodes": "0 of 4000 files (inodes) free"}[kind] in told
        assert isinstance(fetch(shell), Path)


def test_a_quota_that_ends_in_a_download_is_not_the_hubs(shell: Shell, hub: Hub) -> None:
    """It said that the hub could not be reached, or that the connection broke."""
    entry = read_registry([shell.cwd / "conf"])["mine"]
    for number, raised in ((errno.EDQUOT, OSError), (errno.ECONNRESET, StoreError)):
        with pytest.raises(raised), _plain_errors(entry):
            raise OSError(number, os.strerror(number))


def test_where_the_hub_is_switched_off_that_is_the_answer(shell: Shell, hub: Hub) -> None:
    """Many clusters set it for everybody; it was called a broken connection."""
    shell.extra["HF_HUB_OFFLINE"] = "1"
    assert "model mine: HF_HUB_OFFLINE is set here, so nothing is fetched; unset it" in str(fetch(shell, status=2))


def test_a_hub_that_is_busy_for_a_moment(shell: Shell, hub: Hub) -> None:
    """Too many requests: said, with what to do."""
    hub.refusals = 1
    done = shell.type("models", "fetch", "mine", "--store", str(shell.store), status=2)
    assert "the hub answered 429 for me/model; the hub asks to slow down" in done.stderr
    assert isinstance(fetch(shell), Path)


def test_verify_finds_what_was_damaged_and_remove_lets_it_be_fetched_anew(shell: Shell, hub: Hub) -> None:
    """A truncated file, a changed one, a missing one; the list says what is there."""
    folder = fetch(shell)
    assert isinstance(folder, Path)
    model = folder / "model.safetensors"
    model.chmod(0o644)
    model.write_bytes(BIG[:-1])
    told = shell.type("models", "verify", "mine", "--store", str(shell.store), status=1).stdout
    assert f"model.safetensors: {len(BIG) - 1} bytes, expected {len(BIG)}" in told
    shell.type("models", "remove", "mine", "--store", str(shell.store))
    assert (
        "no" in shell.type("models", "list", "--store", str(shell.store)).stdout.split("me/model", 1)[1].splitlines()[0]
    )
    assert isinstance(fetch(shell), Path)
    assert (
        "every file has its size and digest"
        in shell.type("models", "verify", "mine", "--store", str(shell.store)).stdout
    )


def test_faults_name_each_file(tmp_path: Path) -> None:
    """Missing, of another size, of another digest."""
    data = {"a": b"same", "b": b"long", "c": b"text"}
    write_manifest(str(tmp_path), [FileEntry(n, len(d), hashlib.sha256(d).hexdigest()) for n, d in data.items()])
    (tmp_path / "b").write_bytes(b"longer")
    (tmp_path / "c").write_bytes(b"tixt")
    assert [f.path for f in read_manifest(str(tmp_path))] == ["a", "b", "c"]
    assert faults(str(tmp_path)) == ["a: missing", "b: 6 bytes, expected 4", "c: its SHA-256 differs"]
    os.utime(tmp_path / "c", (0, 0))
    assert faults(str(tmp_path), unchanged=True) == ["a: missing", "b: 6 bytes, expected 4"]


def test_a_model_has_several_names(tmp_path: Path) -> None:
    """Its entry's, its repository's, its aliases; an unknown one is answered with the nearest."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "gpt.yaml").write_text("repo: openai/gpt\naliases: [old-gpt]\n")
    registry = read_registry([tmp_path], {"gpt": {"revision": "v2"}})
    assert {registry[name].revision for name in ("gpt", "openai/gpt", "old-gpt")} == {"v2"}
    with pytest.raises(ConfigError, match="did you mean 'gpt'"):
        registry["gtp"]


def test_an_entry_stays_inside_the_store() -> None:
    """A revision is part of a file name."""
    with pytest.raises(ConfigError, match="revision="):
        entry_of("x", {"repo": "a/b", "revision": "../../etc"}, "x.yaml")
