"""Networks of torch with their class, and tensors: as safetensors where that holds them, else by torch. Python 3.9.

Nothing is unpickled freely: `.pt` files are read with `weights_only=True`. The class of a network is imported by its
name, and constructed with what was written down.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
from collections.abc import Mapping
from typing import Any

from hpcurate.errors import SavedError
from hpcurate.savers.base import Checkpoint, Facts, Saver, class_name, class_of, module_of
from hpcurate.savers.comes_back import check_comes_back


class TensorsSaver(Saver):
    """Networks, and dicts of tensors, as one file of safetensors."""

    suffix = ".safetensors"
    libraries = ("torch", "safetensors")

    def takes(self, value: Any) -> bool:
        """Where all of it is tensors."""
        state = _state(value)
        return bool(state) and all(map(_is_tensor, state.values())) and _there("safetensors")

    def write(self, value: Any, path: str) -> Facts:
        """Each tensor by itself, also where two share memory: so the same network gives the same bytes."""
        from safetensors.torch import save_file

        facts, state = _about(value), _state(value)
        save_file({name: one.detach().cpu().clone().contiguous() for name, one in state.items()}, path)
        return facts

    def read(self, path: str, facts: Facts) -> Any:
        """On the CPU; a network in `eval` mode if it was saved so."""
        from safetensors.torch import load_file

        return _made(facts, load_file(path))


class TorchSaver(Saver):
    """Networks and nested states that are not tensors alone, such as an optimizer's."""

    suffix = ".pt"
    libraries = ("torch",)

    def takes(self, value: Any) -> bool:
        """A network, or plain data with tensors in it."""
        return bool(_state(value)) or (isinstance(value, (dict, list, tuple)) and _holds_tensor(value))

    def write(self, value: Any, path: str) -> Facts:
        """Only what can be read back without running code."""
        import torch

        facts, state = _about(value), _state(value)
        with open(path, "wb") as file:  # of a file of Python's, so that a full disk is said to be one
            torch.save(state or value, file)
        try:
            _read(path)
        except Exception as error:
            raise SavedError(
                f"a {type(value).__name__} that torch reads back only by running code from the file: {error!s:.200}"
            ) from None
        return facts

    def read(self, path: str, facts: Facts) -> Any:
        """As `TensorsSaver` does."""
        return _made(facts, _read(path))


def _read(path: str) -> Any:
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)


def _there(library: str) -> bool:
    return importlib.util.find_spec(library) is not None


def _is_tensor(value: Any) -> bool:
    torch = module_of("torch")
    return torch is not None and isinstance(value, torch.Tensor) and value.layout is torch.strided


def _holds_tensor(value: Any) -> bool:
    inner = value.values() if isinstance(value, dict) else value
    return any(_is_tensor(one) or (isinstance(one, (dict, list, tuple)) and _holds_tensor(one)) for one in inner)


def _module(value: Any) -> Any:
    """The network; None for what is none."""
    found, torch = value.module if isinstance(value, Checkpoint) else value, module_of("torch")
    return found if torch is not None and isinstance(found, torch.nn.Module) else None


def _state(value: Any) -> Mapping[str, Any]:
    """Name → tensor, of a network or of a dict with one at least; empty for anything else."""
    module = _module(value)
    if module is not None:
        return dict(module.state_dict())
    if isinstance(value, dict) and all(isinstance(key, str) for key in value) and _holds_tensor(value):
        return value
    return {}


def _about(value: Any) -> Facts:
    """Its class, what that is constructed with, and how large it is. Raises SavedError."""
    module, state = _module(value), _state(value)
    tensors = [one for one in state.values() if _is_tensor(one)]
    facts = {"tensors": len(tensors), "numbers": sum(one.numel() for one in tensors)} if state else {}
    if module is None:
        return facts
    config = dict(value.config) if isinstance(value, Checkpoint) else {}
    kind = type(module)
    _check_constructs(kind, config)
    check_comes_back(module, config)
    return {**facts, "type": class_name(kind), "config": config, "training": module.training, **_settings(module)}


def _settings(module: Any) -> Facts:
    """What no tensor of the state says: parts in the other mode, frozen parameters, dtypes of buffers beside it."""
    state = module.state_dict()
    found = {
        "other_mode": [name for name, part in module.named_modules() if part.training != module.training],
        "frozen": [name for name, one in module.named_parameters() if not one.requires_grad],
        "buffers": {name: str(one.dtype) for name, one in module.named_buffers() if name not in state},
    }
    return {name: value for name, value in found.items() if value}


def _check_constructs(kind: type, config: dict[str, Any]) -> None:
    """Whether the class may be found and constructed again; now, as later nobody could do anything about it."""
    example = f"Checkpoint({kind.__name__.lower()}, {{…}}) from hpcurate.savers says them"
    if "<locals>" in kind.__qualname__:
        raise SavedError(f"{kind.__qualname__} is defined inside a function, and cannot be imported again")
    try:
        inspect.signature(kind).bind(**config)
    except TypeError as error:
        raise SavedError(f"{kind.__qualname__} cannot be constructed again: {error}; {example}") from None
    try:
        same = json.loads(json.dumps(config)) == config
    except (TypeError, ValueError):
        same = False
    if not same:
        raise SavedError(
            f"{kind.__qualname__}: config is plain data: numbers, texts, lists, dicts; got {config!r:.200}"
        )


def _made(facts: Facts, state: Any) -> Any:
    """The network, or what was saved without one. Raises SavedError."""
    if "type" not in facts:
        return state
    import torch

    kind = class_of(facts["type"], "the network's class")
    if not issubclass(kind, torch.nn.Module):
        raise SavedError(f"{facts['type']!r} is no torch.nn.Module")
    made = kind(**facts["config"])
    _set(made, facts, state)
    made.load_state_dict(state)
    made.train(facts.get("training", True))
    for name in facts.get("other_mode", ()):
        part = made.get_submodule(name)
        part.training = not part.training
    return made


def _set(made: Any, facts: Facts, state: Mapping[str, Any]) -> None:
    """Dtypes and frozen parameters; in place, so that what is shared stays shared."""
    import torch

    beside = {name: getattr(torch, kind.rpartition(".")[2]) for name, kind in facts.get("buffers", {}).items()}
    dtypes = {**beside, **{name: one.dtype for name, one in state.items() if _is_tensor(one)}}
    for name, one in (*made.named_parameters(), *made.named_buffers()):
        one.data = one.data.to(dtypes.get(name, one.dtype))
    for name in facts.get("frozen", ()):
        made.get_parameter(name).requires_grad_(False)
