"""Inputs that are broken or odd: one run over all kinds, each of which ends as the table says."""

from __future__ import annotations

import functools
import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from checkout import ROOT

from tests.stages.broken.ends import End, curate, ends_in, peaks_in
from tests.stages.broken.fuzz import faults
from tests.stages.broken.kinds import KINDS, Kind, make_all, table
from tests.stages.broken.media import video
from tests.stages.broken.mutation import write

pytestmark = pytest.mark.video

MEDDLE = '''
import os
from hpcurate import FileTask, Stage

class Meddle(Stage[FileTask, FileTask]):
    """Does what others do to files while a run works on them."""
    version = 1
    def process(self, tasks: list[FileTask]) -> list[FileTask]:
        for task in tasks:
            if task.source.startswith(("vanishing", "pipe-later")):
                os.unlink(task.path)
            if task.source.startswith("pipe-later"):
                os.mkfifo(task.path)
            if task.source.startswith("growing"):
                with open(task.path, "ab") as file, open("REST", "rb") as rest:
                    file.write(rest.read())
        return tasks
'''


CHEAP = ("stages.cut.preset=ultrafast", "stages.preview.effort=0")
FUZZED = 20
"""Files that are damaged at random; 2000 more in the long suite."""


@attrs.define(frozen=True)
class Curated:
    """One run over all kinds."""

    ends: dict[str, list[End]]
    """Source → where it, and each of its clips, ended; the reason in full."""
    peaks: dict[str, float]
    """Stage → peak memory in MB."""
    fetched: list[str]
    """What was asked of the server whose address the playlists have."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str], Path]]:
    """(a URL of a video, what has been asked for, a file that has that video)."""
    folder, asked = tmp_path_factory.mktemp("elsewhere"), list[str]()
    (folder / "other.ts").write_bytes(video("mpegts"))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *words: object) -> None:
            asked.append(str(words[0]))

    handler = functools.partial(Handler, directory=os.fspath(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/other.ts", asked, folder / "other.ts"
        server.shutdown()


@pytest.fixture(scope="module")
def curated(served: tuple[str, list[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Curated:
    """The pipeline over all kinds, with a stage in front that changes files as others would."""
    folder, (url, asked, other) = tmp_path_factory.mktemp("broken"), served
    make_all(folder / "in", other, url)
    write(folder / "in" / "fuzzed", FUZZED, seed=0)
    (folder / "rest").write_bytes(video("mpegts")[188 * 300 :])
    (folder / "meddle.py").write_text(MEDDLE.replace("REST", os.fspath(folder / "rest")))
    curate(folder, f"+stages.meddle.file={folder}/meddle.py", "+stages.meddle.before=probe", *CHEAP)
    return Curated(ends_in(folder / "store"), peaks_in(folder / "store"), asked)


def expected(kind: Kind) -> End:
    """As the table has it; root may read everything."""
    return End("clips") if kind.file == "unreadable.mp4" and os.geteuid() == 0 else kind.end


@pytest.mark.parametrize("kind", KINDS, ids=[kind.file for kind in KINDS])
def test_each_kind_ends_as_its_row_says(curated: Curated, kind: Kind) -> None:
    """Clips, dropped, a dead letter of that stage with that message, or not taken in; and nothing else.

    Before: `slow-rate.avi` hung its stage, `pipe-later.mp4` was called empty, `encrypted.mp4` damaged, and junk behind
    the end of a whole video truncated; sound of an unknown codec, and a stream that begins late, were errors of ours.
    """
    end, found = expected(kind), [end for name, ends in curated.ends.items() for end in ends if below(name, kind.file)]
    if end.how == "not taken in":
        assert [] == found
    else:
        assert {(end.how, end.stage)} == {(one.how, one.stage) for one in found}
        assert [] == [one.reason for one in found if end.reason not in one.reason]
        assert [] == [one.reason for one in found if end.how == "dead letter" and kind.file not in one.reason]


def below(source: str, file: str) -> bool:
    """Whether a source is the file, or in the folder."""
    return source == file or source.startswith(f"{file}/")


def test_nothing_that_a_file_names_is_opened(curated: Curated) -> None:
    """No request arrives at the address that playlists have; that they have no clips is in the table."""
    assert [] == curated.fetched


def test_files_damaged_at_random_end_somewhere_with_a_reason(curated: Curated) -> None:
    """Clips, dropped, or a dead letter with a typed error that names the file."""
    found = {name: ends for name, ends in curated.ends.items() if name.startswith("fuzzed/")}
    assert FUZZED == len(found)
    assert [] == faults(found)


LIMITS = {"probe": 2000, "split": 4000, "clips": 4000}
"""MB that the stages ask for."""


def test_memory_stays_within_what_the_stages_ask_for(curated: Curated) -> None:
    """Bombs among the inputs included: they are refused before they are decoded. 8K is decoded.

    Before: `png-bomb.mov` took 780 MB, `index-bomb.mp4` 1.4 GB, `strip.mp4` 551 MB, and other numbers more.
    """
    assert {stage: peak for stage, peak in curated.peaks.items() if peak > LIMITS.get(stage, 2000)} == {}
    assert curated.peaks["probe"] < 300  # each bomb alone would take more


def test_the_page_has_the_table() -> None:
    """To renew it: scripts/make-broken-inputs --table."""
    assert table() in (ROOT / "docs" / "broken-inputs.md").read_text()
