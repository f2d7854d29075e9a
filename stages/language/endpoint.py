"""A server that speaks OpenAI's protocol answers: vLLM, llama.cpp, a site's gateway, or OpenAI's own."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from hpcurate import WorkerInfo
from hpcurate.errors import ConfigError, SetupLost, TryAgain
from hpcurate.fields import convert
from hpcurate.node.server import KEY
from stages.language.asks import Answer, Ask, Generate, Ready
from stages.language.chat import (
    ContentFiltered,
    CutOff,
    NoAnswer,
    RateLimited,
    Refused,
    ServerLost,
    Unreachable,
    read_answer,
    request_of,
)  # fmt: skip
from stages.language.client import Client
from stages.language.endpoint_options import EndpointOptions, Server, checked_options, checked_server
from stages.language.engine import Engine
from stages.language.jpeg import Longest, jpeg_of
from stages.language.server_place import Where, node_server_of, place_of

if TYPE_CHECKING:
    from stages.video.media.sampling import Picture

START_S = 10.0
"""For which a server that cannot be reached is tried at the start: then the address is believed to be wrong."""
LONGEST_PAUSE_S = 10.0
DEATHS = 2
"""So many servers of the node may die of a question, asked alone: somebody may have killed one."""
DEADLY = f"{DEATHS} servers of the node died while only this was asked; the worker's log has more"
LOST = (Unreachable, CutOff)
"""How a server that dies answers."""
KEPT = 4096
"""Answers that are kept for another try of their batch."""
SMALL_TALK = Ask("Say yes.")
"""Asked to see whether the server answers this model's questions to this key."""


IT_ANSWERS = (RateLimited, ContentFiltered)
"""What a server says that is all right."""


@attrs.define(frozen=True)
class Question:
    """A request as it is sent."""

    body: bytes
    digest: bytes


class Endpoint(Engine):
    """Asks a server, many questions at once.

    What was answered is kept: where a batch fails, and is tried again in parts, nothing is asked twice. A question
    that fails fails its task, if the server answers others; else the server is waited for, and then SetupLost is
    raised: no task is to blame.
    """

    def __init__(self, name: str, generate: Generate, options: Mapping[str, Any], server: Mapping[str, Any]) -> None:
        """See `Engine`. Raises ConfigError, also for a key that is no name."""
        super().__init__(name, generate, options, server)
        self._options = checked_options(convert(EndpointOptions, options, "options"))
        self._server = checked_server(convert(Server, server, "server"))
        self._kept: OrderedDict[bytes, Answer] = OrderedDict()
        self._deadly: set[bytes] = set()
        self.node_server = node_server_of(self._server, name)

    @property
    def model_id_names(self) -> list[str]:
        """The model's weights, if the command of a server is given their folder; else that is the server's matter."""
        return [self.name] if self.node_server and self.node_server.wants_weights else []

    @property
    def deterministic(self) -> bool:
        """A server batches what it is asked with what others ask."""
        return False

    @property
    def fit(self) -> Callable[[Picture], Picture]:
        """As large as they are sent."""
        return Longest(self._options.longest_side)

    def start(self, worker: WorkerInfo) -> None:
        """Ask the server something small. Raises ConfigError for what would be the same for all questions."""
        self._place = place_of(self._server, worker)
        proxies = self.node_server is None  # none leads to this node
        self._client = Client(self._server.concurrency, self._server.timeout_s, proxies)
        self._pool = ThreadPoolExecutor(self._server.concurrency, "ask")
        if wrong := self._wrong(START_S):
            raise ConfigError(f"server: {wrong}")

    def ready(self, ask: Ask) -> Ready:
        """The whole request."""
        pictures = [jpeg_of(picture, self._options.quality) for picture in ask.pictures]
        body = msgspec.json.encode(request_of(self.name, self.generate, ask, pictures, self._options.body))
        question = Question(body, hashlib.blake2b(body, digest_size=16).digest())
        return Ready(attrs.evolve(ask, pictures=()), question, len(body))

    def answers(self, asked: Sequence[Ready]) -> list[Answer]:
        """All are asked, also where some fail. Raises NoAnswer of the first that did, or SetupLost."""
        questions: list[Question] = [one.inputs for one in asked]
        found = {one.digest: self._kept[one.digest] for one in questions if one.digest in self._kept}
        new = {one.digest: one for one in questions if one.digest not in found}
        failed: list[NoAnswer] = []
        for digest, answer in zip(new, self._pool.map(self._counted, new.values())):
            if isinstance(answer, Answer):
                found[digest] = answer
            else:
                failed.append(answer)
        self._keep(found)
        if failed:
            self._make_sure(failed)
            raise next((one for one in failed if not isinstance(one, TryAgain)), failed[0])
        return [found[one.digest] for one in questions]

    def stop(self) -> None:
        """Let go of the connections."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _counted(self, question: Question) -> Answer | NoAnswer:
        """Its outcome. A server that answers is worth another start; small talk is no proof of that."""
        outcome = self._outcome(question)
        if isinstance(outcome, Answer):
            self._place.answered()
        return outcome

    def _outcome(self, question: Question) -> Answer | NoAnswer:
        """Asked again where the node's server was lost: another question may have ended it. Raises SetupLost."""
        if question.digest in self._deadly:
            return ServerLost(DEADLY)
        with self._place.asking(alone=False):
            here = self._place.where()
            outcome = self._asked(here, question)
        if not here.keeper or not isinstance(outcome, LOST):
            return outcome
        with self._place.asking(alone=True):
            return self._alone(question, here, outcome)

    def _alone(self, question: Question, lost: Where, outcome: Answer | NoAnswer) -> Answer | NoAnswer:
        """While nobody else on the node asks, and until it is known what became of the server: so it is its doing."""
        here, deaths = self._place.where(lost.url), 0
        while here.url != lost.url and deaths < DEATHS:
            outcome = self._asked(here, question)
            if not isinstance(outcome, LOST):
                return outcome
            lost, here = here, self._place.where(here.url)
            deaths += lost.died(here)
        if deaths < DEATHS:  # it lives
            return outcome
        self._deadly.add(question.digest)
        return ServerLost(DEADLY)

    def _asked(self, here: Where, question: Question) -> Answer | NoAnswer:
        try:
            return read_answer(self._client.post(f"{here.url}/chat/completions", here.key, question.body))
        except NoAnswer as error:
            return error

    def _keep(self, answers: Mapping[bytes, Answer]) -> None:
        for digest, answer in answers.items():
            self._kept[digest] = answer
            self._kept.move_to_end(digest)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    # -- the server ---------------------------------------------------------------------------------

    def _make_sure(self, failed: Iterable[NoAnswer]) -> None:
        """That it answers other questions. Raises SetupLost."""
        if all(isinstance(one, IT_ANSWERS) for one in failed):
            return
        if wrong := self._wrong(self._server.wait_s):
            raise SetupLost(f"the server answers no question any more: {wrong}")

    def _wrong(self, patience_s: float) -> str:
        """Why it answers no question, after a while of trying; empty if it does."""
        deadline, pause_s = time.monotonic() + patience_s, 0.5
        while True:
            url, failed = self._place.where().url, self._outcome(self._small_talk())
            if isinstance(failed, (Answer, *IT_ANSWERS)):
                return ""
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not isinstance(failed, TryAgain):
                return f"{url}: {type(failed).__name__}: {failed}{self._hint(failed)}"
            print(f"waiting for {url}, {left_s:.0f} s at most: {failed}", flush=True)
            time.sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _small_talk(self) -> Question:
        body = request_of(self.name, self.generate, SMALL_TALK, (), self._options.body)
        few = {key: min(body[key], 16) for key in ("max_tokens", "max_completion_tokens") if key in body}
        return Question(msgspec.json.encode({**body, **few}), b"")

    def _hint(self, failed: NoAnswer) -> str:
        """What to look at, where the server refuses."""
        status = failed.status if isinstance(failed, Refused) else 0
        if status in (401, 403):
            key = KEY if self.node_server else self._server.key
            sent = self._place.where().key
            return f"; the key is that of {key}" if sent else f"; no key was sent{key and f': export {key}'}"
        return f"; asked for model {self.name!r}, {self._models()}" if status == 404 else ""

    def _models(self) -> str:
        here = self._place.where()
        try:
            found = msgspec.json.decode(self._client.get(f"{here.url}/models", here.key), type=_Models)
        except (NoAnswer, msgspec.MsgspecError):
            return f"at {here.url}, which usually ends in /v1"
        return f"the server has: {', '.join(one.id for one in found.data[:20])}"


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]
