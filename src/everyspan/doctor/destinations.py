"""Whether each destination takes spans: a real request, with no span in it."""

from __future__ import annotations

import http.client
import select
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from email.utils import parsedate_to_datetime

from everyspan.clock import now_ns
from everyspan.doctor.finding import Finding, note, ok, problem, warning
from everyspan.errors import SettingsError
from everyspan.model.destination import Destination
from everyspan.sender.exchange import Wait
from everyspan.sender.http import Poster
from everyspan.sender.outcome import Answer, Outcome, judge, judge_failure
from everyspan.version import __version__

_ANSWER_WITHIN_S = 10.0
_CLOCKS_MAY_DIFFER_S = 5.0
_EMPTY_REQUEST = b""
"""What an `ExportTraceServiceRequest` without spans looks like in protobuf."""


def examine_destinations(
    destinations: Iterable[Destination], *, explicit: bool, allow_key_in_clear: bool
) -> Iterator[Finding]:
    """Send each destination an empty OTLP request, with its key, and judge the answer as the sender does.

    Args:
        explicit: somebody named these destinations; otherwise it is the local collector's default address.
    """
    for destination in destinations:
        yield from _examine(destination, explicit=explicit, allow_key_in_clear=allow_key_in_clear)


def _examine(destination: Destination, *, explicit: bool, allow_key_in_clear: bool) -> Iterator[Finding]:
    url = destination.public_url
    poster = Poster(destination, allow_key_in_clear=allow_key_in_clear)
    began = time.monotonic()
    try:
        answer = _wait_for(poster.post(_EMPTY_REQUEST, {}, within_s=_ANSWER_WITHIN_S))
    except SettingsError as error:
        yield problem(
            "destination.settings",
            f"{url}: {_without_keys(destination, str(error))}",
            "see EVERYSPAN_ALLOW_KEY_IN_CLEAR in docs/settings.md, or use https",
        )
        return
    except (OSError, http.client.HTTPException) as error:
        yield _unreachable(url, _without_keys(destination, judge_failure(error).problem), explicit=explicit)
        return
    finally:
        poster.close()
    yield _answered(url, answer, destination, took_s=time.monotonic() - began)
    yield from _clock(url, answer.headers)


def _wait_for(flight: Generator[Wait, None, Answer]) -> Answer:
    """Drive one exchange alone, as the sender drives many: poll its socket until it has what it waits for."""
    error: Exception | None = None
    while True:
        try:
            wait = next(flight) if error is None else flight.throw(error)
        except StopIteration as done:
            answer: Answer = done.value
            return answer
        poller = select.poll()
        poller.register(wait.sock, wait.events)
        error = (
            None
            if poller.poll(wait.within_s * 1_000)
            else TimeoutError(f"waited {wait.within_s:g} s for {wait.doing}")
        )


def _unreachable(url: str, why: str, *, explicit: bool) -> Finding:
    if explicit:
        return problem(
            "destination.unreachable",
            f"{url} does not answer ({why}): spans wait in the spool, and are dropped when it is full",
            "start what should listen there, or correct the endpoint",
        )
    return warning(
        "destination.unreachable",
        f"no destination was named, and at {url} nothing answers ({why}): spans wait in the spool",
        "start the collector with `everyspan serve`, or name a destination with EVERYSPAN_ENDPOINT",
    )


def _answered(url: str, answer: Answer, destination: Destination, *, took_s: float) -> Finding:
    verdict = judge(answer)
    words = _without_keys(destination, verdict.problem)
    if verdict.outcome is Outcome.TRY_LATER:
        return problem(
            "destination.refused",
            f"{url} does not take spans: {words}; they wait in the spool, and are dropped when it is full",
            "correct the endpoint or the key; what waits is delivered then",
        )
    if verdict.outcome is Outcome.REFUSED:
        return note(
            "destination.answers",
            f"{url} can be reached and dislikes a request without spans: {words}",
        )
    version = answer.headers.get("everyspan-collector")
    who = "an OTLP receiver"
    if version:
        who = f"an everyspan collector {version}"
        who += "" if version == __version__ else f" (this is everyspan {__version__})"
    key = " with this key" if destination.account else ""
    return ok("destination.takes", f"{url} takes spans{key}: {who}, in {took_s * 1_000:.0f} ms")


def _clock(url: str, headers: Mapping[str, str]) -> Iterator[Finding]:
    try:
        there_ns = parsedate_to_datetime(headers["date"]).timestamp() * 1e9
    except (KeyError, ValueError, OverflowError):
        return  # it does not say what time it has
    # The header is cut to whole seconds: half a second is what it is off on average.
    ahead_s = (now_ns() - there_ns) / 1e9 - 0.5
    if abs(ahead_s) <= _CLOCKS_MAY_DIFFER_S:
        yield ok("clock.agrees", f"the clocks here and at {url} agree within {_CLOCKS_MAY_DIFFER_S:.0f} s")
        return
    yield warning(
        "clock.differs",
        f"this machine's clock is {abs(ahead_s):,.0f} s {'ahead of' if ahead_s > 0 else 'behind'} that of {url}: spans "
        "stand at the wrong place in traces of several machines, and near midnight in the wrong day's costs",
        "set the clock of whichever is wrong, for example with NTP",
    )


def _without_keys(destination: Destination, words: str) -> str:
    """`words` without the keys of the destination, which a server may have echoed."""
    values = {value for _, value in destination.headers}
    values |= {value.partition(" ")[2] for value in values}
    for secret in sorted((each for each in values if len(each) >= 8), key=len, reverse=True):
        words = words.replace(secret, "***")
    return words
