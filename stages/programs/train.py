"""A training in small, as a program: seeded, on CPUs, in as many processes as torchrun starts, and never twice a step.

`python -m torch.distributed.run … -m stages.programs.train --steps 200 --checkpoint FOLDER …`. The gradients of all
processes are added up, so the result depends on the seed and on how many there are, and not on how often it was killed:
each step is a function of the step before and its number.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist

SAMPLES, BATCH, WIDE = 256, 32, 16


class Training:
    """A small network, its optimizer, and the number of the next step."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.network = torch.nn.Sequential(torch.nn.Linear(8, WIDE), torch.nn.Tanh(), torch.nn.Linear(WIDE, 1))
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.05, momentum=0.9)
        self.inputs = torch.randn(SAMPLES, 8)
        self.wanted = torch.sin(self.inputs.sum(dim=1, keepdim=True))
        self.seed, self.step = seed, 0

    def gradients(self, rank: int, ranks: int) -> torch.Tensor:
        """The loss and all gradients of one process's share of the batch, in a row."""
        dice = torch.Generator().manual_seed(self.seed * 1_000_003 + self.step)
        chosen = torch.randperm(SAMPLES, generator=dice)[:BATCH][rank::ranks]
        loss = ((self.network(self.inputs[chosen]) - self.wanted[chosen]) ** 2).sum() / BATCH
        self.optimizer.zero_grad()
        loss.backward()
        grads = [p.grad.flatten() for p in self.network.parameters() if p.grad is not None]
        return torch.cat([loss.detach().reshape(1), *grads])

    def take(self, summed: torch.Tensor) -> float:
        """One step, with the sum over all processes. The loss before it."""
        at = 1
        for parameter in self.network.parameters():
            parameter.grad = summed[at : at + parameter.numel()].view_as(parameter)
            at += parameter.numel()
        self.optimizer.step()
        self.step += 1
        return float(summed[0])

    def state(self) -> dict[str, Any]:
        """All that the steps so far have changed."""
        return {"step": self.step, "network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]


def reference(steps: int, seed: int, ranks: int) -> dict[str, torch.Tensor]:
    """The weights that so many processes come to, computed in one."""
    training = Training(seed)
    while training.step < steps:
        shares = [training.gradients(rank, ranks) for rank in range(ranks)]
        training.take(torch.stack(shares).sum(dim=0) if ranks > 2 else sum(shares[1:], shares[0]))
    return training.network.state_dict()


def save(state: dict[str, Any], path: str) -> None:
    """Under another name, and then in one step: a kill leaves the one before."""
    beside = f"{path}.{os.uname().nodename}.{os.getpid()}"
    torch.save(state, beside)
    os.replace(beside, path)


def latest(path: str) -> dict[str, Any] | None:
    """What an earlier attempt has left. The first process reads it for all: others' caches may be older."""
    found: list[Any] = [None]
    if dist.get_rank() == 0 and os.path.exists(path):
        found = [torch.load(path, weights_only=True)]
    dist.broadcast_object_list(found)
    state: dict[str, Any] | None = found[0]
    return state


def train(training: Training, options: argparse.Namespace) -> float:
    """All steps that are left. The last loss."""
    rank, ranks, loss = dist.get_rank(), dist.get_world_size(), float("nan")
    path = os.path.join(options.checkpoint, "state.pt")
    if (state := latest(path)) is not None:
        training.restore(state)
        loss = state["loss"]
    if rank == 0:
        print(f"begins at step {training.step} of {options.steps}, {ranks} processes", flush=True)
    while training.step < options.steps:
        summed = training.gradients(rank, ranks)
        dist.all_reduce(summed)
        loss = training.take(summed)
        if rank == 0:
            with open(options.metrics, "a", encoding="utf-8") as file:
                file.write(json.dumps({"metric": "loss", "value": loss, "step": training.step}) + "\n")
            if training.step % options.every == 0:
                save({**training.state(), "loss": loss}, path)
        time.sleep(options.pause)
    return loss


def main(argv: Sequence[str] | None = None) -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=5, help="steps between two checkpoints")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds that each step takes longer")
    for name in ("checkpoint", "metrics", "values", "weights"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    training = Training(options.seed)
    loss = train(training, options)
    if dist.get_rank() == 0:
        torch.save(training.network.state_dict(), options.weights)
        with open(options.values, "w", encoding="utf-8") as file:
            json.dump({"loss": loss, "steps": training.step}, file)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
