"""Observations, traces and sessions: the current API, and the older one that scripts were written against."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from starlette.routing import Route

from everyspan.store.reads import TraceFilter, TraceSummary
from everyspan.store.rows import SpanRow
from everyspan.store.scores import ScoreFilter, SpanFilter
from everyspan.store.store import Store
from everyspan.store.upkeep import Deletion
from everyspan.web.langfuse import shapes
from everyspan.web.langfuse.exchange import Asked, RequestError, endpoint, iso, missing, paged
from everyspan.web.langfuse.filters import Filter, filter_of, read_filter
from everyspan.web.langfuse.ids import span_id_of, trace_id_of
from everyspan.web.langfuse.scores import position_of

_MOST_ROWS = 1000
_MOST_LOOKED_AT = 5000
"""Spans that one request looks at when the store cannot tell which ones fit."""


class Reads:
    """The endpoints, over one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/api/public/v2/observations", endpoint(self.observations), methods=["GET"]),
            Route("/api/public/observations", endpoint(self.legacy_observations), methods=["GET"]),
            Route("/api/public/observations/{id}", endpoint(self.legacy_observation), methods=["GET"]),
            Route("/api/public/traces", endpoint(self.traces), methods=["GET"]),
            Route("/api/public/traces/{id}", endpoint(self.trace), methods=["GET"]),
            Route("/api/public/traces/{id}", endpoint(self.delete_trace), methods=["DELETE"]),
            Route("/api/public/traces", endpoint(self.delete_traces), methods=["DELETE"]),
            Route("/api/public/sessions", endpoint(self.sessions), methods=["GET"]),
            Route("/api/public/sessions/{id}", endpoint(self.session), methods=["GET"]),
        ]

    def observations(self, asked: Asked) -> object:
        """Spans, latest first, with a cursor."""
        if asked.one("parseIoAsJson").lower() == "true":
            raise RequestError("parseIoAsJson is not supported; input and output are text")
        limit = asked.whole("limit", default=50, most=_MOST_ROWS)
        wanted, looked_at = _span_filter(asked, limit=limit + 1, cursor=asked.one("cursor"))
        data: list[dict[str, Any]] = []
        cursor, seen = "", 0
        while True:
            found = self._store.list_spans(wanted)
            for row in found:
                if len(data) == limit:
                    return {"data": data, "meta": {"cursor": cursor}}
                shown = shapes.observation(row)
                cursor = f"{row.start_ns}.{row.key}"
                data += [shown] if looked_at.fits(shown) else []
            seen += len(found)
            if len(found) < wanted.limit:
                return {"data": data, "meta": {}}
            if seen >= _MOST_LOOKED_AT:
                # The page may be short, or empty; the next one goes on from here.
                return {"data": data, "meta": {"cursor": cursor}}
            wanted = replace(wanted, before=position_of(cursor), limit=_MOST_ROWS)

    def legacy_observations(self, asked: Asked) -> object:
        """Spans by page."""
        page, limit = asked.whole("page", default=1, most=10_000), asked.whole("limit", default=50, most=100)
        wanted, looked_at = _span_filter(asked, limit=limit, skip=(page - 1) * limit)
        if looked_at.looks:
            raise RequestError("level, version and filters of texts need /api/public/v2/observations")
        found = [shapes.legacy_observation(row) for row in self._store.list_spans(wanted)]
        return paged(found, page=page, limit=limit, total=self._store.count_spans(wanted))

    def legacy_observation(self, asked: Asked) -> object:
        """One span by its id."""
        wanted = SpanFilter(project=asked.project, span_ids=(span_id_of(asked.path["id"]),), limit=1)
        for row in self._store.list_spans(wanted):
            return shapes.legacy_observation(row)
        raise missing(f"Observation {asked.path['id'][:80]!r}")

    def traces(self, asked: Asked) -> object:
        """Traces by page, latest first."""
        page, limit = asked.whole("page", default=1, most=10_000), asked.whole("limit", default=50, most=100)
        wanted = self._trace_filter(asked, limit=min(page * limit, _MOST_ROWS))
        found = self._store.list_traces(wanted)[(page - 1) * limit : page * limit]
        total = self._store.trace_totals(wanted).traces
        return paged([self._trace(summary) for summary in found], page=page, limit=limit, total=total)

    def trace(self, asked: Asked) -> object:
        """A trace with everything in it."""
        found = self._store.read_trace(trace_id_of(asked.path["id"]), project=asked.project)
        if found is None:
            raise missing(f"Trace {asked.path['id'][:80]!r}")
        summary, rows = found
        return {
            **shapes.trace(summary, rows),
            "observations": [shapes.legacy_observation(row) for row in rows if not shapes.is_trace(row)],
            "scores": [shapes.score(each) for each in self._scores(asked, summary.trace_id)],
        }

    def delete_trace(self, asked: Asked) -> object:
        """Gone, with scores and files, when this returns."""
        wanted = Deletion(project=asked.project, trace_id=trace_id_of(asked.path["id"]))
        if not self._store.delete(wanted).traces:
            raise missing(f"Trace {asked.path['id'][:80]!r}")
        return {"message": "Trace deleted successfully"}

    def delete_traces(self, asked: Asked) -> object:
        """Several of them; those that are not here are gone already."""
        ids = asked.body.get("traceIds") if isinstance(asked.body, dict) else None
        if not isinstance(ids, list) or not all(isinstance(each, str) and each for each in ids):
            raise RequestError("the body takes traceIds, a list of ids")
        if len(ids) > _MOST_ROWS:
            raise RequestError(f"traceIds has {len(ids)} ids; it takes {_MOST_ROWS} at once")
        for each in ids:
            self._store.delete(Deletion(project=asked.project, trace_id=trace_id_of(each)))
        return {"message": "Traces deleted successfully"}

    def sessions(self, asked: Asked) -> object:
        """Sessions by page, those with the latest trace first."""
        page, limit = asked.whole("page", default=1, most=10_000), asked.whole("limit", default=50, most=100)
        traces = self._store.list_traces(self._trace_filter(asked, limit=_MOST_ROWS))
        first: dict[str, int] = {}
        environment: dict[str, str] = {}
        for trace in traces:
            if trace.session:
                first[trace.session] = min(trace.started_ns, first.get(trace.session, trace.started_ns))
                environment.setdefault(trace.session, trace.environment)
        found = [_session(asked, each, at, environment[each]) for each, at in first.items()]
        return paged(found[(page - 1) * limit : page * limit], page=page, limit=limit, total=len(found))

    def session(self, asked: Asked) -> object:
        """A session with its traces."""
        session = asked.path["id"]
        wanted = TraceFilter(project=asked.project, session=session, limit=_MOST_ROWS)
        found = self._store.list_traces(wanted)
        if not found:
            raise missing(f"Session {session[:80]!r}")
        shown = _session(asked, session, min(trace.started_ns for trace in found), found[0].environment)
        return {**shown, "traces": [self._trace(summary) for summary in found]}

    def _trace(self, summary: TraceSummary) -> dict[str, Any]:
        found = self._store.read_trace(summary.trace_id, project=summary.project)
        rows: Sequence[SpanRow] = found[1] if found else ()
        scores = ScoreFilter(project=summary.project, trace_ids=(summary.trace_id,), limit=_MOST_ROWS)
        return {
            **shapes.trace(summary, rows),
            "observations": [shapes.observation_id(row) for row in rows if not shapes.is_trace(row)],
            "scores": [each.id for each in self._store.list_scores(scores)],
        }

    def _scores(self, asked: Asked, trace_id: str) -> Sequence[Any]:
        wanted = ScoreFilter(project=asked.project, trace_ids=(trace_id,), limit=_MOST_ROWS)
        return self._store.list_scores(wanted)

    def _trace_filter(self, asked: Asked, *, limit: int) -> TraceFilter:
        return TraceFilter(
            project=asked.project,
            name=asked.one("name"),
            user=asked.one("userId"),
            session=asked.one("sessionId"),
            environment=asked.one("environment"),
            tag=asked.one("tags"),
            since_ns=asked.time("fromTimestamp"),
            until_ns=asked.time("toTimestamp"),
            limit=limit,
        )


def _session(asked: Asked, session: str, first_ns: int, environment: str) -> dict[str, Any]:
    return {
        "id": session,
        "createdAt": iso(first_ns),
        "projectId": asked.project,
        "environment": environment or "default",
    }


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
    if environments := list(asked.several("environment")):
        yield {
            "type": "stringOptions",
            "column": "environment",
            "operator": "any of",
            "value": environments,
        }
    for name in ("level", "version"):
        if value := asked.one(name):
            value = value.upper() if name == "level" else value
            yield {"type": "string", "column": name, "operator": "=", "value": value}
    if root := asked.one("isRootObservation").lower():
        if root not in ("true", "false"):
            raise RequestError(f"isRootObservation is {root[:40]!r}; it takes true or false")
        yield {"type": "boolean", "column": "isRootObservation", "operator": "=", "value": root == "true"}
