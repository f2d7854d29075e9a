"""What `benchmarks/serve.py` serves, and the processes of the ways beside ours: `served_model.py WAY FOLDER`."""

from __future__ import annotations

import json
import os
import sys
import time

POLL_S = 0.5
"""How often the workers and the server of Cosmos-Gradio look for each other's files."""


class Model:
    """Works for a while, and leaves a file."""

    def infer(self, args: dict) -> dict:  # type: ignore[type-arg]
        """Wait for `seconds`, as for a GPU: the cores are free meanwhile."""
        time.sleep(args["seconds"])
        with open(os.path.join(args["output_dir"], "answer.txt"), "w") as file:
            file.write(args["prompt"])
        return {"prompt": args["prompt"]}


def bare() -> None:
    """A line of JSON in, one out: the class, and nothing around it."""
    model = Model()
    for line in sys.stdin:
        print(json.dumps(model.infer(json.loads(line))), flush=True)


def polled(folder: str) -> None:
    """As a worker of Cosmos-Gradio: it looks for a command file, and leaves a status file."""
    model, command, status = Model(), os.path.join(folder, "command.json"), os.path.join(folder, "status.json")
    while True:
        if not os.path.exists(command):
            time.sleep(POLL_S)
            continue
        with open(command) as file:
            args = json.load(file)
        os.remove(command)
        done = model.infer(args)
        with open(f"{status}.new", "w") as file:
            json.dump(done, file)
        os.rename(f"{status}.new", status)


if __name__ == "__main__":
    polled(sys.argv[2]) if sys.argv[1] == "polled" else bare()
