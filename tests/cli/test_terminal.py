"""How lines look on a terminal: colours, width, encodings. Pure; one pty for all of it is at the end."""

from __future__ import annotations

import json
import math
import re
import subprocess

import pytest
from on_terminal import terminal, typed_on_terminal
from shell import Shell

from hpcurate.cli.main import run
from hpcurate.cli.tables import Table
from hpcurate.cli.terminal import Bars, Terminal, bar, drawn, printable, show_json, state, table, wants_colours
from hpcurate.cli.text import Styled, cells, shortened, styled, with_commands
from hpcurate.runs.reconcile import StageView
from hpcurate.runs.state import StageCounts

WIDE = Terminal(200, colours=False, encoding="utf-8")
NARROW = Terminal(80, colours=False, encoding="utf-8")
PIPE = Terminal(None, colours=False, encoding="utf-8")
ASCII = Terminal(80, colours=False, encoding="ascii")
RUN = "20261121-061437-clips-4f232e"
LONG = "a note that is too long for a line of eighty columns, and so wraps between two of its words"


def on(terminal: Terminal, *lines: str) -> list[str]:
    """What it shows."""
    return list(drawn(lines, terminal))


def test_json_is_what_every_reader_takes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A task with a field of NaN: `hpcurate why --json | jq` and JSON.parse refused all of it."""
    monkeypatch.setenv("MY_TOKEN", "hunter2hunter2")
    plain = {"a": [math.nan, (1.5, -math.inf)], "b": {"c": "hunter2hunter2 \udcff"}}
    show_json(plain)
    told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert {"a": [None, [1.5, None]], "b": {"c": "***MY_TOKEN*** \udcff"}} == told


def runs() -> list[str]:
    """A table with a name, texts and a last column that is long."""
    rows = [(RUN, state("failed"), "2/3", "stages.count.min_words=1 input=/data/some", LONG), ("b", "?", "0/1", "", "")]
    return table(("run", "state", "stages", "overrides", "note"), rows)


def counts(stage: str, shards: str) -> list[str]:
    """A table of numbers, with a bar."""
    rows = [(stage, bar(3, 10), shards, *"5401", "12.2", "5 min"), ("b", bar(1, 1), "1/1", *"5401", "", "")]
    return table(("stage", "", "shards", "in", "out", "dropped", "failed", "shards/min", "left"), rows, numbers=True)


# -- colours ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "terminal", "wanted"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, True, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"CLICOLOR_FORCE": "1"}, False, True),
        ({"CLICOLOR_FORCE": "0"}, False, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
    ],
)
def test_colours_where_a_terminal_is_or_they_are_asked_for(
    environment: dict[str, str], terminal: bool, wanted: bool
) -> None:
    """As no-color.org and bixense.com/clicolors have it; who wants none is asked first."""
    assert wants_colours(environment, terminal=terminal) is wanted


def test_styles_are_no_part_of_the_text() -> None:
    """A line is compared, measured and piped as what it says."""
    line = styled("r", "heading") + ": " + state("failed") + ", again"
    assert line == "r: failed, again"
    assert on(PIPE, line) == on(NARROW, line) == ["r: failed, again"]
    assert on(Terminal(80, colours=True, encoding="utf-8"), line) == ["\x1b[1mr\x1b[0m: \x1b[31mfailed\x1b[0m, again"]


def test_a_secret_in_two_styles_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the line is plain."""
    monkeypatch.setenv("MY_TOKEN", "tok-123456789")
    assert printable(styled("tok-1234", "bad") + "56789") == "***MY_TOKEN***"
    assert "tok-" not in "".join(on(NARROW, *table(("a",), [("tok-123456789",)])))


# -- width ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("terminal", [WIDE, NARROW, ASCII, Terminal(60, True, "utf-8"), Terminal(41, False, "latin-1")])
def test_nothing_is_wider_than_the_terminal_and_no_number_is_cut(terminal: Terminal) -> None:
    """Tables are drawn narrower, and where no table fits, each row is a few lines."""
    assert terminal.width
    lines = on(terminal, *counts("x" * 30, "300000/1000000"), *runs(), f"  a: {LONG} {LONG}", "視頻 " * 60)
    plain = [re.sub(r"\x1b\[\d+m", "", line) for line in lines]
    assert [] == [line for line in plain if cells(line) > terminal.width]
    assert any("300000/1000000" in line for line in plain)


def test_a_pipe_gets_everything() -> None:
    """For `grep`: lines as long as they are."""
    assert on(PIPE, *runs())[1].split("  ")[-1] == LONG
    assert on(PIPE, LONG * 9) == [LONG * 9]


def test_what_gives_way_first() -> None:
    """Bars, then long texts, the name in the first column last; the last text wraps between words."""
    assert on(NARROW, *counts("split", "1/10")) == [
        "stage                        shards  in  out  dropped  failed  shards/min   left",
        "split  ██████░░░░░░░░░░░░░░    1/10   5    4        0       1        12.2  5 min",
        "b      ████████████████████     1/1   5    4        0       1",
    ]
    assert on(NARROW, *runs())[:3] == [
        "run                           state   stages  overrides     note",
        f"{RUN}  failed  2/3     stages.coun…  a note that is too",
        "                                                            long for a line of",
    ]


def test_where_no_table_fits_a_row_is_a_few_lines() -> None:
    """Each number with its name."""
    assert on(Terminal(40, colours=False, encoding="utf-8"), *counts("split", "1/10"))[:3] == [
        "split",
        "  shards 1/10, in 5, out 4, dropped 0,",
        "    failed 1, shards/min 12.2, left 5",
    ]


def test_a_tree_in_ascii() -> None:
    """Its lines were the numbers of their characters."""
    assert on(ASCII, "├─ a", "│  └─ b") == ["|- a", "|  `- b"]


def test_lines_wrap_between_words() -> None:
    """Further lines begin below the text after a first column, or two further in; a path is never broken."""
    assert on(Terminal(30, colours=False, encoding="utf-8"), "     2  split: the words of a long reason") == [
        "     2  split: the words of a",
        "        long reason",
    ]
    path = "/" + "x" * 50
    assert on(Terminal(30, colours=False, encoding="utf-8"), f"output: {path}") == ["output:", f"  {path}"]


def test_a_command_that_wraps_can_be_copied() -> None:
    """It was two commands."""
    line = "next: " + styled("hpcurate retry r --store /scratch/me", "command") + " or wait"
    shown = on(Terminal(30, colours=False, encoding="utf-8"), line)
    assert shown == ["next: hpcurate retry r \\", "  --store /scratch/me or wait"]
    line = with_commands("r: it is broken; type `hpcurate logs r --gate`, then wait")
    shown = on(Terminal(34, colours=False, encoding="utf-8"), line)
    assert shown == ["r: it is broken; type `hpcurate \\", "  logs r --gate`, then wait"]


@pytest.mark.parametrize("word", ["'my long videos of May'", r"$'it\'s a b\xff c d e f'", "'a'\\''b c d e f g h i'"])
def test_a_quoted_word_of_a_command_is_not_broken(word: str) -> None:
    """A backslash at the end of a line would be a part of it."""
    shown = on(Terminal(20, colours=False, encoding="utf-8"), "next: " + styled(f"hpcurate {word} x", "command"))
    script = "\n".join(shown).replace("next: hpcurate", "printf '%s;'")
    said = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout
    assert said == subprocess.run(["bash", "-c", f"printf '%s;' {word} x"], capture_output=True, check=True).stdout


def test_wide_characters_count_as_two() -> None:
    """They shifted what stands to their right."""
    assert on(NARROW, *table(("a", "b"), [("視頻", "x"), ("ab", "y")])) == ["a     b", "視頻  x", "ab    y"]
    assert shortened("視頻視頻", 4) == "視…"
    assert shortened(Styled(("ab", "bad"), ("cd", "")), 3).parts == (("ab", "bad"), ("", ""), ("…", ""))


# -- any text ---------------------------------------------------------------------------------------


def test_what_moves_a_cursor_is_shown_as_what_it_is() -> None:
    """A file's name cleared the screen; a cell with a line break tore its table."""
    assert on(PIPE, "a\x1b[2Jb\x07\u202ec") == ["a\\x1b[2Jb\\x07\\u202ec"]
    assert on(PIPE, *table(("a", "b"), [("x\ny\r", "z")])) == ["a       b", "x\\ny\\r  z"]
    assert on(PIPE, "two\nlines") == ["two", "lines"]


def test_an_encoding_without_our_characters_gets_others() -> None:
    """`…` and bars have ASCII for them, other characters are escaped; nothing raises."""
    assert on(ASCII, "1 → 2 …", "ü \udcff") == ["1 -> 2 ...", "\\xfc \\udcff"]
    assert on(ASCII, *counts("split", "1/10"))[1].startswith("split  ######......")
    assert on(ASCII, *runs())[1].startswith(f"{RUN}  failed  2/3     stages.coun~")


def test_an_empty_table_has_a_header() -> None:
    """No row is no error."""
    assert on(NARROW, *table(("a", "b"), [])) == ["a  b"]
    assert Table((("a",),), (False,)).lines(1) == [["a"]]


# -- on a terminal ----------------------------------------------------------------------------------

LOOKS = [
    ["status"],
    ["watch", "--once"],
    ["why"],
    ["runs"],
    ["logs", "--failed"],
    ["compare", "latest", "latest"],
    ["explain"],
    ["status", "--help"],
    ["--help"],
    ["status", "--stroe"],
]


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("words", LOOKS, ids=" ".join)
def test_every_verb_fits_a_terminal(picky: Shell, words: list[str], columns: int) -> None:
    """With names of files that hold anything: no line is wider, but for one that is a single word, such as a path."""
    lines = typed_on_terminal(picky, *words, columns=columns).lines
    assert lines
    assert [] == [line for line in lines if cells(line) > columns and len(line.split()) > 1]
    assert [] == [line for line in lines if re.search(r"[\x00-\x1f\x7f]", line)]


@pytest.mark.parametrize("columns", [80, 200])
def test_bars_fit_a_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts that are 0 are left out, none is cut."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    counts = StageCounts(shards=1000, shards_done=370, tasks_in=37_000, tasks_out=36_998, failed=2, passed=36_998)
    with terminal(columns) as screen:
        bars = Bars()
        bars([StageView(name="word_count", ready=True, listed=True, counts=counts)])
        bars.close()
    assert all(cells(line) <= columns for line in screen.lines)
    assert "37,000 in, 36,998 out, 2 failed" in screen.lines[-1]


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_who_wants_no_colours_gets_none(picky: Shell, env: dict[str, str]) -> None:
    """Also on a terminal."""
    assert "\x1b[31m" in typed_on_terminal(picky, "status", "--stroe", columns=80).raw
    assert "\x1b" not in typed_on_terminal(picky, "status", "--stroe", columns=80, **env).raw
    assert "\x1b" not in typed_on_terminal(picky, "status", columns=80, **env).raw


def test_a_closed_stream_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """`hpcurate status >&-` ended with a traceback, and so did a cron job without stderr."""
    monkeypatch.setattr("sys.stdout", None)
    monkeypatch.setattr("sys.stderr", None)
    assert 0 == run(["--version"])
    assert 2 == run(["statsu"])


@pytest.mark.parametrize("columns", [1, 7, 20, 39])
def test_a_tiny_terminal_stops_nothing(picky: Shell, columns: int) -> None:
    """Lines are longer than that, and all there."""
    for words in (["status"], ["runs"], ["why"], ["watch", "--once"]):
        assert "picky" in "".join(typed_on_terminal(picky, *words, columns=columns).lines)


def test_which_store_is_looked_at_is_shown(picky: Shell) -> None:
    """On a terminal, where nobody named it: HPCURATE_STORE or a profile of another project was not noticed."""
    named = f"store {picky.store} (of the last run started)"
    assert named in " ".join(typed_on_terminal(picky, "why", columns=200).lines)
    assert named not in " ".join(typed_on_terminal(picky, "why", "--json", columns=200).lines)
    assert named not in " ".join(typed_on_terminal(picky, "why", f"store={picky.store}", columns=200).lines)
    assert named not in picky.type("why").stderr


def test_explain_takes_the_store_as_a_key(picky: Shell) -> None:
    """It took `explain RUN store=DIR` for a command that is not typed yet."""
    explained = typed_on_terminal(picky, "explain", "picky", f"store={picky.store}", columns=80).lines
    assert explained == ["pick  nothing to do: all committed (1 shard)"]


def test_a_c_locale_and_an_encoding_without_our_characters(picky: Shell) -> None:
    """Nothing raised, whatever is printed by whom."""
    for env in ({"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}):
        done = picky.typed_afresh("status", **env)
        assert "Traceback" not in done.stderr
        assert "dead letter" in done.stdout
