"""A stage is tested like any class: no store, no scheduler. Run with `python -m pytest`."""

from pathlib import Path

from hpcurate import FileTask
from hpcurate.testing import try_stage
from stages.NAME import CountWords


def test_words_are_counted_and_short_files_dropped(tmp_path: Path) -> None:
    """Two files: one is long enough."""
    tasks = []
    for name, text in {"long.txt": "one two three", "short.txt": "one"}.items():
        (tmp_path / name).write_text(text)
        tasks.append(FileTask(id=name, source=name, path=str(tmp_path / name), size=len(text), mtime_ns=0))
    outcome = try_stage(CountWords(min_words=2), tasks, tmp_path / "trial")
    assert [task.words for task in outcome.tasks] == [3]
    assert [row["reason"] for row in outcome.dropped] == ["too short"]
