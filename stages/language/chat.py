"""OpenAI's protocol: what is sent to /chat/completions, what comes back, and what that means. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from hpcurate.errors import HpcurateError, TryAgain
from hpcurate.masks import mask
from stages.language.asks import Answer, Ask, Generate, answer_of

SHOWN = 200
"""Characters of what a server said that a message has."""


class NoAnswer(HpcurateError):
    """A server was asked, and this is no answer."""


class RateLimited(NoAnswer, TryAgain):
    """Too many questions at once, or in a minute."""


class ServerError(NoAnswer, TryAgain):
    """The server, or what stands before it, cannot answer now."""


class Unreachable(NoAnswer, TryAgain):
    """There is no connection to the server."""


class TooSlow(NoAnswer, TryAgain):
    """The answer was not there in time."""


class CutOff(NoAnswer, TryAgain):
    """The connection ended before the answer did."""


class Malformed(NoAnswer, TryAgain):
    """What came is not what the protocol has."""


class ServerLost(NoAnswer):
    """Servers that were started for it died of it, one after the other: likely it is what ends them."""


class Refused(NoAnswer):
    """The server does not take the question: it would not take it a moment later either."""

    status = 0


class ContentFiltered(NoAnswer):
    """The server withholds the answer for what it says."""


# -- a question -------------------------------------------------------------------------------------


def request_of(
    model: str, generate: Generate, ask: Ask, pictures: Sequence[bytes], more: Mapping[str, Any]
) -> dict[str, Any]:
    """The body. `pictures` are those of the question, as JPEG; `more` adds keys, and takes out those with None."""
    system = [{"role": "system", "content": ask.system}] if ask.system else []
    body: dict[str, Any] = {
        "model": model,
        "messages": [*system, {"role": "user", "content": _content(ask, pictures)}],
        "max_tokens": generate.max_tokens,
        "temperature": generate.temperature,
        "top_p": generate.top_p,
        "seed": generate.seed,
    }
    if generate.repetition_penalty != 1:  # not OpenAI's; vLLM and SGLang have it
        body["repetition_penalty"] = generate.repetition_penalty
    return {key: value for key, value in {**body, **more}.items() if value is not None}


def _content(ask: Ask, pictures: Sequence[bytes]) -> Any:
    if not pictures:
        return ask.prompt
    urls = [f"data:image/jpeg;base64,{base64.b64encode(one).decode()}" for one in pictures]
    images = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return [{"type": "text", "text": ask.prompt + _about_video(ask.times_s)}, *images]


def _about_video(times_s: Sequence[float]) -> str:
    """The protocol has no videos: that the pictures are one is said in words."""
    if len(times_s) < 2:
        return ""
    gap_s = (times_s[-1] - times_s[0]) / (len(times_s) - 1)
    return f"\n\nThe {len(times_s)} pictures are frames of one video, in order, {gap_s:.3g} seconds apart."


# -- an answer --------------------------------------------------------------------------------------


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Completion(msgspec.Struct):
    choices: Annotated[list[_Choice], msgspec.Meta(min_length=1)]
    usage: _Usage | None = None


WHOLE = {
    "stop": True, "eos": True, "eos_token": True, "end_turn": True, "stop_sequence": True,
    "length": False, "max_tokens": False,
}  # fmt: skip
"""How servers say that an answer is whole, or was cut at the most tokens."""
FILTERED = frozenset({"content_filter", "safety", "refusal"})


def read_answer(body: bytes) -> Answer:
    """Raises Malformed, also for an end that nobody has a word for, and ContentFiltered."""
    try:
        found = msgspec.json.decode(body, type=_Completion)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"no answer of the protocol ({error}): {said(body)}") from None
    choice, usage = found.choices[0], found.usage or _Usage()
    reason = choice.finish_reason
    if reason in FILTERED or (choice.message.refusal and not choice.message.content):
        raise ContentFiltered(f"finish_reason={reason}: {said((choice.message.refusal or '').encode())}")
    if reason not in WHOLE:
        raise Malformed(f"finish_reason={reason}: expected one of {', '.join(WHOLE)}: {said(body)}")
    return answer_of(
        choice.message.content or "",
        whole=WHOLE[reason],
        prompt_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
    )


def failure_of(status: int, body: bytes) -> NoAnswer:
    """What an answer with another status than 200 means."""
    message = f"HTTP {status}: {said(body)}"
    if status == 429:
        return RateLimited(message)
    if status in (408, 425) or (status >= 500 and status not in (501, 505)):
        return ServerError(message)
    refused = Refused(message)
    refused.status = status
    return refused


def said(body: bytes) -> str:
    """What a server said, for a message: short, on one line, without secrets."""
    text = " ".join(mask(body[: 100 * SHOWN].decode(errors="replace")).split())
    return (text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…") or "it said nothing"
