"""No line goes to a shell, and no file of others' is read by something that would run what is in it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from checkout import ROOT

NEVER = {
    "os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "eval", "exec", "yaml.load",
    "yaml.unsafe_load", "yaml.full_load", "pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads", "dill.load",
    "joblib.load", "cloudpickle.load", "shelve.open",
}  # fmt: skip
NEEDS = {"torch.load": ("weights_only", True)}
"""Call → the argument without which it runs what it reads."""
REFUSED = {"shell": True, "allow_pickle": True, "trust_remote_code": True}
"""Arguments of any call."""
OWN = {"start.py": "marshal.loads", "pickles.py": "pickle.load"}
"""The bytecode of frozen code, in the run's own folder, as private as the source beside it; a value that was saved as a
pickle, where whoever loads it says so by name."""


def _found(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        called, given = ast.unparse(node.func), {one.arg: ast.unparse(one.value) for one in node.keywords}
        argument, value = NEEDS.get(called, ("", None))
        if called in NEVER or (argument and given.get(argument) != str(value)):
            yield f"{node.lineno}: {called}"
        yield from (f"{node.lineno}: {name}=" for name, value in REFUSED.items() if given.get(name) == str(value))


@pytest.mark.parametrize("folder", ["hpcurate", "stages", "launchers"])
def test_nothing_runs_what_others_wrote(folder: str) -> None:
    """No shell string, no pickle, no unsafe YAML; weights only as tensors."""
    paths = sorted((ROOT / folder).rglob("*.py"))
    found = [(path.name, one) for path in paths for one in _found(path.read_text())]
    assert [] == [f"{name}:{one}" for name, one in found if one.partition(": ")[2] != OWN.get(name)]
    assert paths


@pytest.mark.parametrize(
    "line", ["os.system('x')", "run('x', shell=True)", "pickle.load(f)", "torch.load(p)", "torch.load(p, weights_only=False)",
             "yaml.load(t, Loader=L)", "np.load(p, allow_pickle=True)"]
)  # fmt: skip
def test_it_would_be_found(line: str) -> None:
    """Each of them is."""
    assert 1 == len(list(_found(line)))


def test_nobody_makes_ffmpeg_log_through_python() -> None:
    """Its threads wait for the interpreter then, while who frees a decoder holds that and waits for them: for ever."""
    call = "av.logging.set" + "_level("
    paths = [
        path
        for folder in ("hpcurate", "stages", "tests", "scripts", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
    ]
    assert [] == [path.name for path in paths if call in path.read_text()]
