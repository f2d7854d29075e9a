"""Forms with files, sent to a real server as browsers send them, and as nobody should."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from little_app import MOST, little_app
from web_client import END, FORM, Answer, Client, answer_of, part, read_all, serving

from hpcurate.web.events import Topic
from hpcurate.web.uploads import shown_name, suffix_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where files land."""
    return tmp_path_factory.mktemp("forms")


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[Client]:
    """Of a server that takes forms of 3 MiB."""
    with serving(little_app(Topic(), folder)) as client:
        yield client


def sent(client: Client, *parts: bytes, kind: str = FORM) -> Answer:
    """A form."""
    return client.ask("POST", "/form", b"".join(parts), Content_Type=kind)


def left(folder: Path) -> set[str]:
    """Names of files below."""
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_files_have_names_of_ours(client: Client) -> None:
    """Bytes as they came, only ours to read; the sender's name is for people."""
    data = bytes(range(256)) * 4096
    answer = sent(
        client, part("a", data, "../../etc/Clip.MP4"), part("text", "é\r\n--edg".encode()), part("b", b"", "x"), END
    )
    assert 200 == answer.status, answer.text
    a, b = answer.json["files"]["a"], answer.json["files"]["b"]
    assert {"text": "é\r\n--edg"} == answer.json["fields"]
    assert ("0.mp4", "Clip.MP4", len(data)) == (Path(a["path"]).name, a["name"], a["size"])
    assert data == Path(a["path"]).read_bytes()
    assert ("1", "x", 0) == (Path(b["path"]).name, b["name"], b["size"])
    assert 0o600 == stat.S_IMODE(Path(a["path"]).stat().st_mode)


@pytest.mark.parametrize(
    "name",
    ["../../x.mp4", "/etc/passwd", "a\x00.mp4", "x" * 3000 + ".mp4", "日本.mp4", "..", "~", "a/../b.mp4", "C:\\b.mp4"],
)
def test_no_name_leads_anywhere(client: Client, folder: Path, name: str) -> None:
    """Whatever it has in it."""
    answer = sent(client, part("a", b"1", name), END)
    assert 200 == answer.status, answer.text
    path = Path(answer.json["files"]["a"]["path"])
    assert (folder, "0") == (path.parent.parent, path.stem)
    assert len(answer.json["files"]["a"]["name"]) <= 120


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("a.MP4", ".mp4"), ("a.tar.gz", ".gz"), ("a", ""), ("a.", ""), ("a.mp4/", ""), ("a.abcdefghi", ""), ("a.m p", ""),
     ("a.mp4\n", ""), ("a.ｍp4", ""), (".env", ".env")],
)  # fmt: skip
def test_a_suffix_is_short_and_plain(name: str, suffix: str) -> None:
    """Stages look at it; what is not plain is left out."""
    assert suffix == suffix_of(name)


def test_names_are_shown_without_tricks() -> None:
    """No folders, no control characters, no turned writing; the end of a long one stays."""
    assert ["b.mp4", "b", "a�b", "�4pm.exe"] == [shown_name(n) for n in ("/a/b.mp4", "a\\b", "a\x1bb", "\u202e4pm.exe")]
    assert (120, "xxx.mp4") == (len(shown := shown_name("x" * 999 + ".mp4")), shown[-7:])


def test_a_form_without_files_may_be_plain(client: Client) -> None:
    """As a page without any sends it; a file field that nobody filled is not there."""
    plain = sent(client, b"a=1&b=%C3%A9+%26", kind="application/x-www-form-urlencoded")
    assert {"a": "1", "b": "é &"} == plain.json["fields"]
    assert {"fields": {"a": "1"}, "files": {}} == sent(client, part("a", b"1"), part("f", b"", ""), END).json


@pytest.mark.parametrize(
    ("parts", "kind", "status", "why"),
    [
        ([part("a", b"x" * MOST, "a.mp4"), END], FORM, 413, f"more than {MOST} bytes are not taken"),
        ([part("a", b"x" * 2000, "a.mp4")], FORM, 400, "the form is cut off"),
        ([part("a", b"x" * 2000, "a.mp4")[:-900]], FORM, 400, "the form is cut off"),
        ([part("a", b"", "a.mp4"), b"--edge-oops"], FORM, 400, "the form is"),
        ([b"nonsense"], FORM, 400, "the form is broken"),
        ([], FORM, 400, "the form is cut off"),
        ([part("a", b"1", "x"), part("a", b"2", "y"), END], FORM, 400, "a: is there twice"),
        ([part("a", b"1", "x"), part("a", b"2"), END], FORM, 400, "a: is there twice"),
        ([part("a", b"1", "x"), *(part(str(n), b"") for n in range(10_000)), END], FORM, 400, "at most 1000 fields"),
        (
            [part("a", b"1", "x"), b"--edge\r\nX: " + b"x" * 20_000 + b"\r\n\r\n\r\n", END],
            FORM,
            400,
            "the form",
        ),
        ([part("a", b"1", "x" * 10_000), END], FORM, 400, "the form"),
        ([part("a", b"1", "x"), b"--edge\r\nX: 1\r\n\r\n1\r\n", END], FORM, 400, "a part of the form has no name"),
        ([b"a=1"], "text/plain", 415, "expected a form"),
        ([b"a=1"], "multipart/form-data", 415, "expected a form"),
        ([b"a=1"], "", 415, "expected a form"),
        ([b"a=1&a=2"], "application/x-www-form-urlencoded", 400, "is there twice"),
        ([b"&".join(b"%d=" % n for n in range(10_000))], "application/x-www-form-urlencoded", 400, "at most 1000"),
    ],
)
def test_a_bad_form_leaves_nothing(
    client: Client, folder: Path, parts: list[bytes], kind: str, status: int, why: str
) -> None:
    """It is refused with the reason, and what had come of it is removed."""
    before = left(folder)
    answer = sent(client, *parts, kind=kind)
    assert (status, before) == (answer.status, left(folder))
    assert why in answer.json["detail"]


def test_a_form_that_says_it_is_too_long_is_not_read(client: Client) -> None:
    """Nor waited for."""
    with client.socket("POST /form HTTP/1.1", f"Content-Type: {FORM}", f"Content-Length: {2**40}") as made:
        assert made.recv(4000).startswith(b"HTTP/1.1 413 ")


def test_a_form_that_grows_too_long_is_cut_off(client: Client, folder: Path) -> None:
    """Chunk by chunk, without having said how long it is; the client can read why."""
    before = left(folder)
    blocks = [part("a", b"x" * 2**16, "a.mp4")[:-2], *[b"x" * 2**16] * 80]
    with closing(client.connection()) as connection:
        connection.request("POST", "/form", iter(blocks), client.headers(Content_Type=FORM), encode_chunked=True)
        answer = answer_of(connection.getresponse())
    assert (413, before) == (answer.status, left(folder))


def test_a_client_that_leaves_in_the_middle_leaves_nothing(client: Client, folder: Path) -> None:
    """Its file is removed; the server has nothing to say about it."""
    before = len(list(folder.rglob("*")))
    with client.socket(
        "POST /form HTTP/1.1", f"Content-Type: {FORM}", "Content-Length: 2100000", body=part("a", b"x" * 2**20, "a.mp4")
    ):
        while len(list(folder.rglob("*"))) < before + 2:  # its folder, and the file
            time.sleep(0.01)
    while len(list(folder.rglob("*"))) > before + 1:
        time.sleep(0.01)


def test_an_upload_that_stands_still_is_given_up(tmp_path: Path) -> None:
    """And answered so."""
    with serving(little_app(Topic(), tmp_path), stall_s=0.2) as client:
        head = "POST /form HTTP/1.1", f"Content-Type: {FORM}", "Content-Length: 5000"
        with closing(client.socket(*head, body=part("a", b"x" * 99, "a.mp4"))) as made:
            said = read_all(made)
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b"Nothing more came for 0.2 s." in said
    assert set() == left(tmp_path)
