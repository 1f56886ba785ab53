"""Observations: the current API with a cursor, and the older one by page that scripts were written against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from starlette.routing import Route

from everyspan.store.rows import SpanRow
from everyspan.store.scores import SpanFilter
from everyspan.store.store import Store
from everyspan.web.langfuse import shapes
from everyspan.web.langfuse.exchange import Asked, RequestError, endpoint, missing, paged, position_of
from everyspan.web.langfuse.filters import Filter, filter_of, read_filter
from everyspan.web.langfuse.ids import span_id_of, trace_id_of
from everyspan.web.langfuse.looks import any_of

_MOST_ROWS = 1000
_MOST_LOOKED_AT = 5000
"""Spans that one request looks at when the store cannot tell which ones fit."""


_NARROWING = (
    *("name", "userId", "type", "traceId", "level", "parentObservationId", "environment", "version"),
    *("fromStartTime", "toStartTime", "filter"),
)
LEGACY_TAKES = ("page", "limit", *_NARROWING)
TAKES = (
    *("fields", "expandMetadata", "parseIoAsJson", "limit", "cursor"),
    *(*_NARROWING, "sessionId", "isRootObservation"),
)
_FIELDS = {
    "core": ("id", "traceId", "startTime", "endTime", "projectId", "parentObservationId", "type"),
    "basic": (
        *("name", "level", "statusMessage", "version", "environment", "bookmarked", "public"),
        *("userId", "sessionId", "isRootObservation"),
    ),
    "time": ("completionStartTime", "createdAt", "updatedAt"),
    "io": ("input", "output"),
    "metadata": ("metadata",),
    "model": (
        *("model", "providedModelName", "internalModelId", "modelParameters"),
        *("modelId", "inputPrice", "outputPrice", "totalPrice"),
    ),
    "usage": ("usageDetails", "costDetails", "totalCost", "usagePricingTierName", "unbilled"),
    "prompt": ("promptId", "promptName", "promptVersion"),
    "metrics": ("latency", "timeToFirstToken"),
    "trace_context": ("tags", "release", "traceName"),
}
"""What each group of fields has; the first is always there."""


class Observations:
    """The endpoints, over one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def routes(self) -> list[Route]:
        """The routes."""
        current, legacy = "/api/public/v2/observations", "/api/public/observations"
        return [
            Route(current, endpoint(self.observations, takes=TAKES), methods=["GET"]),
            Route(legacy, endpoint(self.legacy_observations, takes=LEGACY_TAKES), methods=["GET"]),
            Route(f"{legacy}/{{id}}", endpoint(self.legacy_observation), methods=["GET"]),
        ]

    def observations(self, asked: Asked) -> object:
        """Spans, latest first, with a cursor."""
        if asked.one("parseIoAsJson").lower() == "true":
            raise RequestError("parseIoAsJson is not supported; input and output are text")
        groups = asked.groups(_FIELDS)
        limit = asked.whole("limit", default=50, most=_MOST_ROWS)
        wanted, looked_at = _span_filter(asked, limit=limit + 1, cursor=asked.one("cursor"))
        data: list[Mapping[str, Any]] = []
        cursor, seen = "", 0
        while True:
            found = self._store.list_spans(wanted)
            for row in found:
                if len(data) == limit:
                    return {"data": data, "meta": {"cursor": cursor}}
                shown = shapes.observation(row)
                cursor = f"{row.start_ns}.{row.key}"
                data += [_narrowed(shown, groups)] if looked_at.fits(shown) else []
            seen += len(found)
            if len(found) < wanted.limit:
                return {"data": data, "meta": {}}
            if seen >= _MOST_LOOKED_AT:
                # The page may be short, or empty; the next one goes on from here.
                return {"data": data, "meta": {"cursor": cursor}}
            wanted = replace(wanted, before=position_of(cursor), limit=_MOST_ROWS)

    def legacy_observations(self, asked: Asked) -> object:
        """Spans by page."""
        page, limit = asked.paging()
        wanted, looked_at = _span_filter(asked, limit=limit, skip=(page - 1) * limit)
        wanted = replace(wanted, only_observations=True)
        if looked_at.looks:
            fitting = list(self._fitting(wanted, looked_at))
            rows, total = fitting[wanted.skip : wanted.skip + limit], len(fitting)
        else:
            rows, total = self._store.list_spans(wanted), self._store.count_spans(wanted)
        found = [shapes.legacy_observation(row) for row in rows]
        return paged(found, page=page, limit=limit, total=total)

    def _fitting(self, wanted: SpanFilter, looked_at: Filter) -> Iterator[SpanRow]:
        """Every span that fits: a page's number says nothing where the store cannot count."""
        less = "narrow their times, or ask /api/public/v2/observations, which goes on from a cursor"
        rows = every_span(self._store, wanted, most=_MOST_LOOKED_AT, less=less)
        return (row for row in rows if looked_at.fits(shapes.observation(row)))

    def legacy_observation(self, asked: Asked) -> object:
        """One span by its id."""
        wanted = SpanFilter(project=asked.project, span_ids=(span_id_of(asked.path["id"]),), limit=1)
        for row in self._store.list_spans(wanted):
            return shapes.legacy_observation(row)
        raise missing(f"Observation {asked.path['id'][:80]!r}")


def every_span(store: Store, wanted: SpanFilter, *, most: int, less: str) -> Iterator[SpanRow]:
    """The spans of all pages.

    Raises:
        RequestError: there are more than `most`; `less` says how to ask for fewer.
    """
    wanted = replace(wanted, skip=0, limit=_MOST_ROWS)
    seen = 0
    while found := store.list_spans(wanted):
        seen += len(found)
        if seen > most:
            raise RequestError(f"that is more than {most} observations to look at one by one; {less}")
        yield from found
        wanted = replace(wanted, before=(found[-1].start_ns, found[-1].key))


def _narrowed(shown: dict[str, Any], groups: frozenset[str] | None) -> Mapping[str, Any]:
    """The fields of these groups; all there are when none are asked for, as scripts for Langfuse 3 expect."""
    if groups is None:
        return shown
    return {name: shown[name] for group in ("core", *groups) for name in _FIELDS[group]}


def _span_filter(asked: Asked, *, limit: int, skip: int = 0, cursor: str = "") -> tuple[SpanFilter, Filter]:
    """What the store is asked, and what each span that it finds has to be beside."""
    page: dict[str, Any] = {"limit": limit, "skip": skip, "before": position_of(cursor)}
    if asked.one("filter"):
        # As Langfuse has it, the other parameters then do not count.
        found = read_filter(asked.one("filter"))
        return SpanFilter(project=asked.project, conditions=found.conditions, **page), found
    parent = asked.one("parentObservationId")
    only_top = "parentObservationId" in asked.query and not parent
    wanted = SpanFilter(
        project=asked.project,
        trace_ids=tuple(map(trace_id_of, asked.several("traceId"))),
        parent_id="" if only_top else span_id_of(parent) if parent else None,
        names=tuple(asked.query.get("name", ())),
        kinds=tuple(kind.lower() for kind in asked.several("type")),
        users=tuple(asked.query.get("userId", ())),
        sessions=tuple(asked.query.get("sessionId", ())),
        since_ns=asked.time("fromStartTime"),
        until_ns=asked.time("toStartTime"),
        **page,
    )
    found = filter_of(list(_told(asked)))
    return replace(wanted, conditions=found.conditions), found


def _told(asked: Asked) -> Iterator[dict[str, Any]]:
    """The parameters that are more than a column of the store, as conditions."""
    if environments := asked.several("environment"):
        yield any_of("environment", environments)
    for name in ("level", "version"):
        if value := asked.one(name):
            value = value.upper() if name == "level" else value
            yield {"type": "string", "column": name, "operator": "=", "value": value}
    if root := asked.one("isRootObservation").lower():
        if root not in ("true", "false"):
            raise RequestError(f"isRootObservation is {root[:40]!r}; it takes true or false")
        yield {"type": "boolean", "column": "isRootObservation", "operator": "=", "value": root == "true"}
