"""One call, one bill: which of several recordings of the same call counts.

A wrapper's span and the client's span below it, or two instrumentations side by side, record one call twice. All of
them are kept; this says which ones are not billed, and why. It is a pure function of the whole set of spans, so neither
the order of their arrival nor their repetition can change it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple

from everyspan.store.rows import SpanRow

SAME_CALL = "the same call as span "
"""How the reason of an unbilled twin begins; other reasons are the span's own and are never taken back."""

SURE_ID_LENGTH = 16
"""Response ids of at least this length are unique; some local servers number theirs from 1 to 999."""

CROWD = 20
"""More recordings with one response id than this do not name the one that counts: a reason that never changes again is
what keeps a stored answer that is handed out ten thousand times from being judged ten thousand times."""

ONE_OF_MANY = f"{SAME_CALL}s with its response id"
"""The reason of each of them."""

_WEAK_STATES = ("partial", "estimated", "unpriced")


class Call(NamedTuple):
    """What has to be known of a recording of a call."""

    key: str
    trace_id: str
    span_id: str
    parent_id: str | None
    start_ns: int
    end_ns: int
    response_id: str
    state: str
    cost: Decimal | None
    tokens: tuple[int, int] | None
    """Input and output; None when neither was reported."""
    stamped: bool
    unbilled: str
    """Why it does not count so far."""

    @property
    def says_something(self) -> bool:
        """Whether a bill can be made of it."""
        return self.cost is not None or any(self.tokens or ())

    @property
    def sure_id(self) -> str:
        """The response id, when it can tell calls apart."""
        return self.response_id if len(self.response_id) >= SURE_ID_LENGTH else ""


Parents = Mapping[tuple[str, str], str | None]
"""The parent of every span of the traces at hand, by trace id and span id."""


def unbilled_twins(
    calls: Iterable[Call], parents: Parents, crowded: Collection[str] = frozenset()
) -> dict[str, str]:
    """The keys of recordings that are not billed, each with the reason.

    Args:
        crowded: response ids with more than `CROWD` recordings; of these the best one has to be among `calls`, and the
            others need not be.

    First, of all that carry one response id the best one counts. Then, from the inside out, a call is compared with the
    calls below it: the inner one counts when both report the same, and the outer one when only that can be priced.
    """
    ordered = sorted(calls, key=lambda call: call.key)
    reasons: dict[str, str] = {}
    by_id: dict[str, list[Call]] = defaultdict(list)
    for call in ordered:
        if call.sure_id:
            by_id[call.sure_id].append(call)
    for recordings in by_id.values():
        best = min(recordings, key=_rank)
        one_of_many = best.sure_id in crowded
        reasons |= {
            each.key: ONE_OF_MANY if one_of_many else _reason(each, best)
            for each in recordings
            if each is not best
        }
    _Tree([call for call in ordered if call.key not in reasons], parents).judge(reasons)
    return reasons


def rebilled(
    rows: Iterable[SpanRow], parents: Parents, crowded: Collection[str] | None = None
) -> list[tuple[SpanRow, SpanRow]]:
    """The rows of one project whose bill is another one than they say, before and after.

    Args:
        crowded: see `unbilled_twins`; None when `rows` hold every recording with their response ids.
    """
    by_key = {row.key: row for row in rows}
    changed = new_reasons(map(call_of, by_key.values()), parents, crowded)
    return [(by_key[key], replace(by_key[key], unbilled=reason)) for key, reason in changed.items()]


def new_reasons(
    calls: Iterable[Call], parents: Parents, crowded: Collection[str] | None = None
) -> dict[str, str]:
    """The keys of calls of one project whose bill is another one than they say, with the reason, or nothing.

    Args:
        crowded: as for `rebilled`.
    """
    # What a span says of itself is never taken back, and such a span is nobody's twin.
    open_to_judgement = [call for call in calls if not call.unbilled or call.unbilled.startswith(SAME_CALL)]
    if crowded is None:
        counts = Counter(call.response_id for call in open_to_judgement)
        crowded = {response_id for response_id, count in counts.items() if count > CROWD}
    reasons = unbilled_twins(open_to_judgement, parents, crowded)
    return {
        call.key: reason
        for call in open_to_judgement
        if (reason := reasons.get(call.key, "")) != call.unbilled
    }


def call_of(row: SpanRow) -> Call:
    """What has to be known of a row."""
    inputs, outputs = row.usage.input_tokens, row.usage.output_tokens
    return Call(
        key=row.key,
        trace_id=row.trace_id,
        span_id=row.span_id,
        parent_id=row.parent_id,
        start_ns=row.start_ns,
        end_ns=row.end_ns,
        response_id=row.response_id,
        state=row.cost_state or "",
        cost=row.cost,
        tokens=None if inputs is None and outputs is None else (inputs or 0, outputs or 0),
        stamped=row.writer is not None,
        unbilled=row.unbilled,
    )


class _Tree:
    """Calls below calls, whatever stands between them."""

    def __init__(self, calls: Sequence[Call], parents: Parents) -> None:
        at = {(call.trace_id, call.span_id): call for call in calls}
        self._below: dict[str, list[Call]] = defaultdict(list)
        self._depth: dict[str, int] = {}
        for call in calls:
            above = _calls_above(call, at, parents)
            self._depth[call.key] = len(above)
            if above:
                self._below[above[0].key].append(call)
        self._outer = [call for call in calls if call.key in self._below]

    def judge(self, reasons: dict[str, str]) -> None:
        """Add the reasons of those that lose against a call above or below them."""
        for outer in sorted(self._outer, key=lambda call: (-self._depth[call.key], call.key)):
            inner = self._left_below(outer, reasons)
            if not inner:
                continue
            if _outer_repeats(outer, inner):
                reasons[outer.key] = _reason(outer, min(inner, key=_rank))
            elif _inner_repeat(outer, inner):
                reasons |= {each.key: _reason(each, outer) for each in inner}

    def _left_below(self, outer: Call, reasons: Mapping[str, str]) -> list[Call]:
        left: list[Call] = []
        waiting, seen = [outer], {outer.key}  # ids can form a ring
        while waiting:
            for call in self._below.get(waiting.pop().key, ()):
                if call.key not in seen:
                    seen.add(call.key)
                    (waiting if call.key in reasons else left).append(call)
        return left


def _calls_above(call: Call, at: Mapping[tuple[str, str], Call], parents: Parents) -> list[Call]:
    """The calls on the way to the root, the nearest first."""
    found: list[Call] = []
    seen = {call.span_id}
    span_id = call.parent_id
    while span_id is not None and span_id not in seen:  # ids can form a ring
        seen.add(span_id)
        above = at.get((call.trace_id, span_id))
        if above is not None and above is not call:
            found.append(above)
        span_id = parents.get((call.trace_id, span_id))
    return found


def _outer_repeats(outer: Call, inner: Sequence[Call]) -> bool:
    telling = [each for each in inner if each.says_something]
    if not telling or _differ(outer, inner):
        return False
    if not outer.says_something:
        return len(inner) == 1
    if outer.cost is not None and any(each.cost is None for each in telling):
        return False
    if outer.tokens is not None:
        return outer.tokens == _sum_of_tokens(telling)
    return len(telling) == 1 and outer.cost == telling[0].cost


def _inner_repeat(outer: Call, inner: Sequence[Call]) -> bool:
    if not outer.says_something or _differ(outer, inner):
        return False
    telling = [each for each in inner if each.says_something]
    if not telling:
        return len(inner) == 1 and outer.start_ns <= inner[0].start_ns <= outer.end_ns
    return outer.cost is not None and outer.tokens is not None and outer.tokens == _sum_of_tokens(telling)


def _differ(outer: Call, inner: Sequence[Call]) -> bool:
    """Two answers were given, each with an id of its own."""
    return len(inner) == 1 and bool(outer.sure_id and inner[0].sure_id)


def _sum_of_tokens(calls: Sequence[Call]) -> tuple[int, int]:
    counted = [call.tokens or (0, 0) for call in calls]
    return sum(one for one, _ in counted), sum(other for _, other in counted)


def _rank(call: Call) -> tuple[bool, bool, bool, bool, int, str]:
    """The best recording first: priced, surely so, with usage, numbered by us; else the innermost."""
    weak = call.state in _WEAK_STATES
    return (call.cost is None, weak, call.tokens is None, not call.stamped, -call.start_ns, call.key)


def _reason(call: Call, best: Call) -> str:
    elsewhere = "" if best.trace_id == call.trace_id else f" in trace {best.trace_id}"
    return f"{SAME_CALL}{best.span_id}{elsewhere}"
