"""Lists of scores: by page as Langfuse 2 to 4 have them, with a cursor as Langfuse 5 does."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from starlette.routing import Route

from everyspan.store.reads import TraceSummary
from everyspan.store.scores import Score, ScoreFilter
from everyspan.store.store import Store
from everyspan.web.langfuse.exchange import Asked, RequestError, endpoint, paged, position_of
from everyspan.web.langfuse.ids import span_id_of, trace_id_of
from everyspan.web.langfuse.looks import Columns, Look, any_of, condition_of, look_of, read_conditions
from everyspan.web.langfuse.shapes import score, score_v3

_AT_ONCE = 1000
_MOST_LOOKED_AT = 10_000
"""Scores that one request looks at when the store cannot tell which ones fit."""
_LESS = "narrow fromTimestamp and toTimestamp, or give name or traceId"
_BOTH = (
    *("limit", "fields", "name", "source", "dataType", "environment", "configId", "queueId"),
    *("value", "traceId", "sessionId", "observationId", "fromTimestamp", "toTimestamp"),
)
LEGACY_TAKES = (*_BOTH, "page", "userId", "operator", "scoreIds", "traceTags", "filter")
CURRENT_TAKES = (*_BOTH, "cursor", "id", "authorUserId", "valueMin", "valueMax")
_GROUPS = {
    "details": ("comment", "configId", "metadata"),
    "subject": ("subject",),
    "annotation": ("authorUserId", "queueId"),
}
"""What each group of fields of the current shape has; what is in none is always there."""
SCORE = Columns(
    names=(
        *("id", "name", "source", "dataType", "value", "stringValue", "comment", "environment", "timestamp"),
        *("traceId", "observationId", "sessionId", "configId", "queueId", "authorUserId", "metadata"),
    ),
    numbers=frozenset({"value"}),
    times=frozenset({"timestamp"}),
)
_WITH_TRACE = Columns(names=("userId", "tags"), lists=frozenset({"tags"}))
_OPERATORS = ("=", "!=", "<", "<=", ">", ">=")


class ScoreLists:
    """The endpoints, over one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def routes(self) -> list[Route]:
        """The routes."""
        legacy = endpoint(self.by_page, takes=LEGACY_TAKES)
        return [
            Route("/api/public/scores", legacy, methods=["GET"]),
            Route("/api/public/v2/scores", legacy, methods=["GET"]),
            Route("/api/public/v3/scores", endpoint(self.current, takes=CURRENT_TAKES), methods=["GET"]),
        ]

    def by_page(self, asked: Asked) -> object:
        """A page, each score with what is known of its trace unless `fields` leaves that out."""
        (page, limit), groups = asked.paging(), asked.groups(("score", "trace"))
        wanted, looks = _legacy_filter(asked), _legacy_looks(asked)
        of_traces = _looks_at_traces(asked)
        start = (page - 1) * limit
        traces = TracesOfScores(self._store)
        if looks or of_traces:
            fitting = [
                each
                for each in every_score(self._store, wanted, most=_MOST_LOOKED_AT, less=_LESS)
                if _fits(each, looks) and all(look(_about(traces.of(each)) or {}) for look in of_traces)
            ]
            found, total = fitting[start : start + limit], len(fitting)
        else:
            found = self._store.list_scores(replace(wanted, limit=limit, skip=start))
            total = self._store.count_scores(wanted)
        if groups is None or "trace" in groups:
            shown = [{**score(each), "trace": _about(traces.of(each))} for each in found]
        else:
            shown = [score(each) for each in found]
        return paged(shown, page=page, limit=limit, total=total)

    def current(self, asked: Asked) -> object:
        """A page with a cursor; it may be short, or empty, where the store could not tell what fits."""
        limit, groups = asked.whole("limit", default=50, most=100), asked.groups(_GROUPS)
        looks = _current_looks(asked)
        wanted = _current_filter(asked)
        wanted = replace(wanted, before=position_of(asked.one("cursor")), limit=limit + 1)
        data: list[Mapping[str, Any]] = []
        cursor, seen = "", 0
        while True:
            found = self._store.list_scores(wanted)
            for each in found:
                if len(data) == limit:
                    return {"data": data, "meta": {"limit": limit, "cursor": cursor}}
                cursor = f"{each.at_ns}.{each.id}"
                data += [_narrowed(score_v3(each), groups)] if _fits(each, looks) else []
            seen += len(found)
            if len(found) < wanted.limit:
                return {"data": data, "meta": {"limit": limit}}
            if seen >= _MOST_LOOKED_AT:
                return {"data": data, "meta": {"limit": limit, "cursor": cursor}}
            wanted = replace(wanted, before=position_of(cursor), limit=_AT_ONCE)


def every_score(store: Store, wanted: ScoreFilter, *, most: int, less: str) -> Iterator[Score]:
    """The scores of all pages.

    Raises:
        RequestError: there are more than `most`; `less` says how to ask for fewer.
    """
    wanted = replace(wanted, limit=_AT_ONCE)
    seen = 0
    while found := store.list_scores(wanted):
        seen += len(found)
        if seen > most:
            raise RequestError(f"that is more than {most} scores to look at one by one; {less}")
        yield from found
        wanted = replace(wanted, before=(found[-1].at_ns, found[-1].id))


class TracesOfScores:
    """What is told of the traces that scores judge, each read once in a request."""

    def __init__(self, store: Store, *, most: int = _MOST_LOOKED_AT) -> None:
        self._store = store
        self._most = most
        self._known: dict[tuple[str, str], TraceSummary | None] = {}

    def of(self, kept: Score) -> TraceSummary | None:
        """None for a score of a session, and while the trace has not arrived."""
        place = (kept.project, kept.trace_id)
        if not kept.trace_id:
            return None
        if place not in self._known:
            if len(self._known) >= self._most:
                raise RequestError(
                    f"that is more than {self._most} traces of scores to look at one by one; narrow the times"
                )
            found = self._store.read_outline(kept.trace_id, project=kept.project)
            self._known[place] = found[0] if found else None
        return self._known[place]


def _about(trace: TraceSummary | None) -> dict[str, Any] | None:
    """What is told of a trace beside its score."""
    if trace is None:
        return None
    return {
        "userId": trace.user or None,
        "tags": list(trace.tags),
        "environment": trace.environment or "default",
        "sessionId": trace.session or None,
    }


def _fits(kept: Score, looks: list[Look]) -> bool:
    if not looks:
        return True
    seen = {**score(kept), "value": kept.value, "timestamp": kept.at_ns}
    return all(look(seen) for look in looks)


def _narrowed(shown: dict[str, Any], groups: frozenset[str] | None) -> dict[str, Any]:
    if groups is None:
        return shown
    left_out = {name for group, names in _GROUPS.items() if group not in groups for name in names}
    return {name: value for name, value in shown.items() if name not in left_out}


def _legacy_filter(asked: Asked) -> ScoreFilter:
    names = asked.one("name")
    return replace(_filter(asked), ids=asked.several("scoreIds"), names=(names,) if names else ())


def _current_filter(asked: Asked) -> ScoreFilter:
    return replace(_filter(asked), ids=asked.several("id"), names=asked.several("name"))


def _filter(asked: Asked) -> ScoreFilter:
    return ScoreFilter(
        project=asked.project,
        trace_ids=tuple(map(trace_id_of, asked.several("traceId"))),
        span_ids=tuple(map(span_id_of, asked.several("observationId"))),
        sessions=asked.several("sessionId"),
        data_types=tuple(each.upper() for each in asked.several("dataType")),
        sources=tuple(each for said in asked.several("source") for each in {said, said.upper()}),
        environments=asked.several("environment"),
        since_ns=asked.time("fromTimestamp"),
        until_ns=asked.time("toTimestamp"),
    )


def _legacy_looks(asked: Asked) -> list[Look]:
    listed = read_conditions(asked.one("filter")) if asked.one("filter") else []
    looks = [look_of(condition_of(each, SCORE), SCORE) for each in listed]
    looks += _one_of(asked, "configId", "queueId")
    operator, value = asked.one("operator"), asked.one("value")
    if bool(operator) != bool(value):
        raise RequestError("operator and value are given together, such as operator=>=&value=0.5")
    if operator:
        if operator not in _OPERATORS:
            raise RequestError(f"operator is {operator[:40]!r}; it takes one of {', '.join(_OPERATORS)}")
        looks.append(_value_look("=" if operator == "!=" else operator, _number("value", value)))
        if operator == "!=":
            equal = looks.pop()
            looks.append(lambda seen: seen["value"] is not None and not equal(seen))
    return looks


def _looks_at_traces(asked: Asked) -> list[Look]:
    said: list[dict[str, Any]] = []
    if user := asked.one("userId"):
        said.append({"type": "string", "column": "userId", "operator": "=", "value": user})
    if tags := list(asked.several("traceTags")):
        said.append({"type": "arrayOptions", "column": "tags", "operator": "all of", "value": tags})
    return [look_of(condition_of(each, _WITH_TRACE), _WITH_TRACE) for each in said]


def _current_looks(asked: Asked) -> list[Look]:
    looks = _one_of(asked, "configId", "queueId", "authorUserId")
    kinds = [each.upper() for each in asked.several("dataType")]
    for name, operator in (("valueMin", ">="), ("valueMax", "<=")):
        if said := asked.one(name):
            if kinds != ["NUMERIC"]:
                raise RequestError(f"{name} takes dataType=NUMERIC beside it")
            looks.append(_value_look(operator, _number(name, said)))
    if values := asked.several("value"):
        looks.append(_any_value(values, kinds))
    return looks


def _any_value(values: tuple[str, ...], kinds: list[str]) -> Look:
    if kinds == ["CATEGORICAL"]:
        return lambda seen: seen["stringValue"] in values
    if kinds == ["BOOLEAN"]:
        truths = {"true": 1.0, "false": 0.0}
        if not set(values) <= truths.keys():
            raise RequestError("value takes true or false where dataType is BOOLEAN")
        numbers = {truths[each] for each in values}
    elif kinds == ["NUMERIC"]:
        numbers = {_number("value", each) for each in values}
    else:
        raise RequestError("value takes one dataType beside it, NUMERIC, BOOLEAN or CATEGORICAL")
    return lambda seen: seen["value"] in numbers


def _one_of(asked: Asked, *names: str) -> list[Look]:
    return [
        look_of(condition_of(any_of(name, values), SCORE), SCORE)
        for name in names
        if (values := asked.several(name))
    ]


def _value_look(operator: str, number: float) -> Look:
    said = {"type": "number", "column": "value", "operator": operator, "value": number}
    return look_of(condition_of(said, SCORE), SCORE)


def _number(name: str, said: str) -> float:
    try:
        number = float(said)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise RequestError(f"{name} is {said[:40]!r}; it takes a number")
    return number
