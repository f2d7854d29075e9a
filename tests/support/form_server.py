"""`hpcurate form` as a user starts it, and a client that has its cookie."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path

import attrs
from shell import Shell

SECRET, OTHER = "hf_0123456789abcdef", "zwölf &<>\"'%+ geheime Zeichen"
"""Values in the file of secrets: one plain, one that pages, addresses and JSON would write in other ways."""
STAGE = '''"""Stages that are asked for by a form."""
import hashlib
import json
import time

from hpcurate import Stage
from stages.hello import HelloTask


class Tell(Stage[HelloTask, HelloTask]):
    """Tell what it was given.

    Args:
        text: any text at all.
        hf_token: proves who we are.
    """

    def __init__(self, text: str, hf_token: str, other: str, names: list, size: str, behind: str = "none", wait_s: float = 0.0,
                 fails: bool = False) -> None:
        self.text, self.hf_token, self.other, self.names = text, hf_token, other, names
        self.behind, self.wait_s, self.fails = behind, wait_s, fails

    def setup(self, worker) -> None:
        print("the token is", self.hf_token, self.other, flush=True)

    def process(self, tasks: list[HelloTask]) -> list[HelloTask]:
        """Digests of what is secret, and the rest as it is."""
        time.sleep(self.wait_s)
        for task in tasks:
            if self.fails and task.prompt == "bad":
                raise ValueError(f"refused with {self.hf_token}")
            digests = [hashlib.sha256(one.encode()).hexdigest() for one in (self.hf_token, self.other)]
            task.prompt = json.dumps([self.text, self.names, self.behind, *digests])
        return tasks
'''
PIPELINE = """\
# @package _global_
# Asks for all kinds of values.
name: tell
params:
  text: {default: plain, help: any text at all}
  size: {default: small, choices: [small, large], help: of nothing}
  names: {default: [a], help: a few of them}
  wait_s: {default: 0.0, help: how long it takes}
  hf_token: {default: '???', help: of the hub}
source: {_target_: stages.hello.Prompts, prompts: [one, bad]}
stages:
  tell:
    _target_: asked_stages.Tell
    text: ${params.text}
    names: ${params.names}
    wait_s: ${params.wait_s}
    hf_token: ${params.hf_token}
    other: ${oc.env:OTHER_KEY}
    size: ${params.size}
"""


def write_project(folder: Path) -> Path:
    """A pipeline that asks for all kinds of values, and a file of secrets; its path."""
    (folder / "conf" / "pipeline").mkdir(parents=True)
    (folder / "conf" / "pipeline" / "tell.yaml").write_text(PIPELINE)
    (folder / "asked_stages.py").write_text(STAGE)
    secrets = folder / "my-secrets"
    secrets.write_text(f"# mine\nHF_TOKEN={SECRET}\nMY_OTHER={OTHER}\nUNUSED={SECRET[::-1]}\n")
    secrets.chmod(0o600)
    return secrets


@attrs.define
class FormServer:
    """A form that is served, and what it has answered."""

    process: subprocess.Popen[str]
    url: str
    answers: list[str] = attrs.field(factory=list)
    _opener: urllib.request.OpenerDirector = attrs.field(
        factory=lambda: urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    )

    @property
    def base(self) -> str:
        """Without path and token."""
        return self.url.split("/?")[0]

    def open(self, path: str, fields: Mapping[str, str] | None = None) -> tuple[int, str, str]:
        """(status, path in the end, text) of what is there; with fields of what is there after they were sent."""
        data = None if fields is None else urllib.parse.urlencode(fields).encode()
        try:
            answer = self._opener.open(urllib.parse.urljoin(self.base, path), data=data)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            text = answer.read().decode()
            self.answers += [text, answer.url, str(answer.headers)]
            return answer.status, answer.url.removeprefix(self.base), text

    def watch(self, path: str) -> Iterator[str]:
        """Names of the events that are pushed, until the end; the data of each is the last of the answers."""
        name = ""
        with self._opener.open(f"{self.base}{path}/events", timeout=100) as stream:
            for line in stream:
                self.answers.append(line.decode())
                if line.startswith(b"event: "):
                    name = line.decode().strip().removeprefix("event: ")
                elif line.startswith(b"data: "):
                    yield name

    def planned(self, fields: Mapping[str, str]) -> str:
        """A dry run that is not refused; the digest that can be started."""
        status, _, text = self.open("/preview", fields)
        assert status == 200, text
        (digest,) = re.findall(r'name="digest" value="(\w+)"', text)
        return str(digest)


@contextmanager
def form_server(shell: Shell, *words: str, **env: str) -> Iterator[FormServer]:
    """`hpcurate form WORDS` in the shell's folder, until Ctrl-C: then it ends well."""
    with (shell.folder / "form.err").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "hpcurate", "form", *words], cwd=shell.cwd, env={**shell.environment, **env},
            stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True,
        )  # fmt: skip
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, line + (shell.folder / "form.err").read_text()
        server = FormServer(process, found[0])
        server.open(server.url)
        yield server
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does: to all that it has not put into a session of their own
        assert 0 == process.wait(timeout=30)
        server.answers += [process.stdout.read(), (shell.folder / "form.err").read_text()]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
