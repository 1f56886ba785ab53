"""What an answer means for the spans that were sent: pure judgement, no I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from typing import NamedTuple

from everyspan.errors import WireError
from everyspan.wire.decode import partial_success
from everyspan.wire.status import message_of

UNREACHABLE = "connection refused"
"""The kind of a failure that means: nothing listens there, and waiting a second will not change it."""

_WORDS_LENGTH = 300
"""Characters of a server's own words that are kept: enough for a reason, not for a web page."""

_MALFORMED = frozenset({400, 413, 422})
"""The only statuses that speak about the data; all others speak about us, the way, or the server's day."""

_PROTOBUF = ("application/x-protobuf", "application/protobuf", "application/octet-stream", "")

_ADVICE = {
    401: "check the key",
    403: "check what the key is allowed to do",
    404: "check the path of the endpoint",
    405: "check the path of the endpoint",
}


class Outcome(Enum):
    """What became of the spans of one POST."""

    STORED = "the destination has them"
    TRY_LATER = "unreachable, or not in a state to take them; they wait in the spool"
    REFUSED = "malformed, says the destination; sending them again cannot help"


class Answer(NamedTuple):
    """An HTTP response: its status, its headers by lower-case name, and its whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Verdict(NamedTuple):
    """An outcome with its reason.

    Attributes:
        problem: what is wrong, in words for the user; empty when nothing is.
        kind: a short name for that sort of problem, so that each is only said once.
        rejected: spans that the destination says it left out of the batch; 0 when it did not count them.
        retry_after: the `Retry-After` header as it came.
    """

    outcome: Outcome
    problem: str = ""
    kind: str = ""
    rejected: int = 0
    retry_after: str | None = None


def judge(answer: Answer) -> Verdict:
    """What `answer` to an OTLP/HTTP export says about the spans in it.

    A redirect is not success, though it is below 400; nor is a 200 with the login page of a network.
    """
    if 200 <= answer.status < 300:
        return _judge_success(answer)
    words = _words(answer)
    if answer.status in _MALFORMED:
        return Verdict(Outcome.REFUSED, f"HTTP {answer.status}{words}", "refused")
    advice = _ADVICE.get(answer.status, "")
    if 300 <= answer.status < 400:
        target = answer.headers.get("location", "an unnamed place")[:_WORDS_LENGTH]
        advice = f"redirects to {target}, which is not followed; set the endpoint to where it really is"
    problem = f"HTTP {answer.status}{words}" + (f" ({advice})" if advice else "")
    return Verdict(
        Outcome.TRY_LATER, problem, f"http {answer.status}", retry_after=answer.headers.get("retry-after")
    )


def judge_failure(error: Exception) -> Verdict:
    """What it means that there was no answer: always TRY_LATER, since nobody said that the data is wrong."""
    if isinstance(error, ConnectionRefusedError):
        return Verdict(Outcome.TRY_LATER, "connection refused: nothing listens there", UNREACHABLE)
    if isinstance(error, TimeoutError):
        return Verdict(Outcome.TRY_LATER, str(error) or "timed out", "timeout")
    words = error.strerror or str(error) if isinstance(error, OSError) else f"not HTTP: {error}"
    return Verdict(Outcome.TRY_LATER, words[:_WORDS_LENGTH] or repr(error), type(error).__name__)


def _judge_success(answer: Answer) -> Verdict:
    if not answer.body:
        return Verdict(Outcome.STORED)
    content_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if content_type == "application/json":
            rejected, message = _rejected_in_json(answer.body)
        elif content_type in _PROTOBUF:
            rejected, message = partial_success(answer.body)
        else:
            raise ValueError(f"content type {content_type}")
    except (ValueError, WireError, RecursionError) as error:
        problem = f"HTTP {answer.status} from something that is not an OTLP receiver: {error}"
        return Verdict(Outcome.TRY_LATER, problem, "not otlp")
    if not 0 < rejected < 1 << 63:  # an int64: the upper half is negative
        return Verdict(Outcome.STORED)
    words = f": {_printable(message)}" if message else ""
    return Verdict(Outcome.REFUSED, f"{rejected} rejected{words}", "refused", rejected=rejected)


def _rejected_in_json(body: bytes) -> tuple[int, str]:
    found = json.loads(body)
    if not isinstance(found, dict):
        raise ValueError("its JSON is not an object")
    partial = found.get("partialSuccess") or found.get("partial_success") or {}
    if not isinstance(partial, dict):
        raise ValueError("its partialSuccess is not an object")
    count = partial.get("rejectedSpans") or partial.get("rejected_spans") or 0
    message = partial.get("errorMessage") or partial.get("error_message") or ""
    return int(str(count)), str(message)  # protobuf's JSON writes 64-bit numbers as strings


def _words(answer: Answer) -> str:
    if answer.headers.get("content-type", "").startswith("text/html"):
        return ""  # a page for people: its first 300 characters say `<!doctype html>`
    text = _printable(_said(answer))
    return f": {text}" if text else ""


def _said(answer: Answer) -> str:
    if answer.headers.get("content-type", "").partition(";")[0].strip().lower() in _PROTOBUF:
        with suppress(WireError):  # then it is shown as it is
            return message_of(answer.body)
    return answer.body[: 4 * _WORDS_LENGTH].decode("utf-8", "replace")


def _printable(text: str) -> str:
    """`text` on one line, without what is no text."""
    kept = "".join(char if char.isprintable() and char != "\ufffd" else " " for char in text)
    return " ".join(kept.split())[:_WORDS_LENGTH]
