"""`hpcurate runs` and `hpcurate note`: list, search, annotate."""

from __future__ import annotations

import json

from shell import LOCAL, Shell


def test_runs_are_listed_searched_and_noted(shell: Shell) -> None:
    """Newest first; by override, by note, by config value, by state."""
    shell.run("+pipeline=words", "stages.show.batch_size=7")
    shell.run("+pipeline=words", "limit=1")
    rows = json.loads(shell.type("runs", "--json").stdout)
    assert [row["overrides"] for row in rows] == [f"limit=1 {LOCAL}", f"stages.show.batch_size=7 {LOCAL}"]
    assert {row["stages"] for row in rows} == {"3/3"}
    assert all(row["started"] and 0 <= row["seconds"] < 600 for row in rows)
    (shown, more) = shell.type("runs", "-n", "1").stdout.splitlines()[1:]
    assert shown.startswith(rows[0]["run"])
    assert more == "and 1 older; -n 2 lists all"
    older = rows[1]["run"]
    shell.type("note", older, "the", "good one")
    assert "the good one" in shell.type("note", older).stdout

    def found(*words: str) -> list[str]:
        return [row["run"] for row in json.loads(shell.type("runs", *words, "--json").stdout)]

    assert found("good one") == found("batch_size=7") == [older]
    assert len(found("cold day in April")) == 2
    assert found("--state", "failed") == []
    assert older in shell.type("runs").stdout
