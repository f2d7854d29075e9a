"""Any class with `infer`, served: its form, checks before the worker, answers of real stage processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from serving import Asking, Sent, serving

from hpcurate.cli.start.serve_options import of_class
from hpcurate.serving.served import Event, Failed, Given, Result, Upload
from hpcurate.serving.service import Unfit


def ask(asking: Asking, inputs: dict[str, Any], **uploads: str) -> Event:
    """Send a request with these files, by field, and wait for its end."""
    name, folder = asking.service.folder_for()
    files = {}
    for number, (field, text) in enumerate(uploads.items()):
        path = Path(folder, f"{number}.txt")
        path.write_text(text)
        files[field] = Upload(path=str(path), name=f"{field}.txt", size=len(text))
    sent = Sent(name)
    asking.service.submit(Given(id=name, folder=folder, inputs=inputs, files=files), sent.tell)
    return sent.end()


def text_of(result: Event, name: str) -> str:
    """Of a file that was answered."""
    assert isinstance(result, Result), result
    return next(Path(file.path).read_text() for file in result.files if file.name == name)


def test_keywords_are_served(tmp_path: Path) -> None:
    """Texts of a form are read as what they are, an upload is a path of ours, and a path that was typed is none."""
    with serving(tmp_path, "+pipeline=infer", "stages.infer.target=infer_models.Words") as asking:
        assert "prompt" == asking.service.served.inputs[0].key
        done = ask(asking, {"prompt": "a", "steps": "3"}, picture="seen")
        assert isinstance(done, Result), done
        assert [{"said": "a", "steps": 3, "style": "lines", "picture": "seen"}] == [one["values"] for one in done.tasks]
        assert "a" == text_of(done, "said.txt")
        failed = ask(asking, {"prompt": "fail"})
        assert isinstance(failed, Failed), failed
        assert "this cannot be drawn" in failed.message
        for wrong in ({"promt": "a"}, {"prompt": "a", "picture": "/etc/passwd"}, {"prompt": "a", "output_dir": "/tmp"}):
            with pytest.raises(Unfit):
                ask(asking, wrong)
        with pytest.raises(Unfit):
            ask(asking, {"prompt": "a"}, other="file")


def test_a_dict_is_served(tmp_path: Path) -> None:
    """With its default request, and its `validate` before any worker; every file that was left is answered."""
    with serving(tmp_path, *of_class(["infer_models:Draws", "ink=red"])) as asking:
        assert {"prompt": "a square", "count": 2} == asking.service.served.example
        assert "Draws" == asking.service.served.title
        assert asking.service.served.about.startswith("In the manner of Cosmos-Gradio")
        done = ask(asking, {"request": {"prompt": "b"}})
        assert "b in red" == text_of(done, "0.txt")
        assert "a square in red" == text_of(ask(asking, {}), "1.txt")
        with pytest.raises(Unfit, match="write what to draw"):
            ask(asking, {"request": '{"count": 3}'})
        assert os.listdir(tmp_path / "server" / "requests")
