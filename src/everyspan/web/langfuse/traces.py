"""Traces and sessions by page, as Langfuse 2 to 4 read them, and what deletes traces."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from starlette.routing import Route

from everyspan.store.groups import GroupFilter, TraceBy, TraceGroup
from everyspan.store.reads import TraceFilter, TraceSummary
from everyspan.store.store import Store
from everyspan.store.upkeep import Deletion
from everyspan.web.langfuse import shapes
from everyspan.web.langfuse.exchange import Asked, RequestError, endpoint, iso, missing, paged
from everyspan.web.langfuse.ids import trace_id_of
from everyspan.web.langfuse.trace_filters import wanted_traces
from everyspan.web.langfuse.trace_search import MOST_ROWS, TraceSearch

_MOST_LOOKED_UP = 10_000
"""Sessions whose environment one request looks up."""
_MOST_SESSIONS = 100_000

TAKES = (
    *("page", "limit", "userId", "name", "sessionId", "fromTimestamp", "toTimestamp", "orderBy", "tags"),
    *("version", "release", "environment", "fields", "filter"),
)
SESSIONS_TAKE = ("page", "limit", "fromTimestamp", "toTimestamp", "environment")
_GROUPS = ("core", "io", "scores", "observations", "metrics")


class Traces:
    """The endpoints, over one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._search = TraceSearch(store)

    def routes(self) -> list[Route]:
        """The routes."""
        traces, sessions = "/api/public/traces", "/api/public/sessions"
        return [
            Route(traces, endpoint(self.traces, takes=TAKES), methods=["GET"]),
            Route(f"{traces}/{{id}}", endpoint(self.trace, takes=("fields",)), methods=["GET"]),
            Route(f"{traces}/{{id}}", endpoint(self.delete_trace), methods=["DELETE"]),
            Route(traces, endpoint(self.delete_traces), methods=["DELETE"]),
            Route(sessions, endpoint(self.sessions, takes=SESSIONS_TAKE), methods=["GET"]),
            Route(f"{sessions}/{{id}}", endpoint(self.session), methods=["GET"]),
        ]

    def traces(self, asked: Asked) -> object:
        """Traces by page, latest first unless another order is asked for."""
        (page, limit), wanted, groups = asked.paging(), wanted_traces(asked), asked.groups(_GROUPS)
        start, end = (page - 1) * limit, page * limit
        if wanted.by_the_store:
            found = list(
                islice(self._search.summaries(wanted.filter, at_once=min(end, MOST_ROWS)), start, end)
            )
            total = self._store.trace_totals(wanted.filter).traces
        else:
            fitting = self._search.ordered(wanted)
            found, total = fitting[start:end], len(fitting)
        shown = [_narrowed(self._trace(summary), groups) for summary in found]
        return paged(shown, page=page, limit=limit, total=total)

    def trace(self, asked: Asked) -> object:
        """A trace with everything in it."""
        groups = asked.groups(_GROUPS)
        found = self._store.read_trace(trace_id_of(asked.path["id"]), project=asked.project)
        if found is None:
            raise missing(f"Trace {asked.path['id'][:80]!r}")
        summary, rows = found
        shown = {
            **shapes.trace(summary, rows),
            "observations": [shapes.legacy_observation(row) for row in rows if not shapes.is_trace(row)],
            "scores": [shapes.score(each) for each in self._search.scores(summary)],
        }
        return _narrowed(shown, groups)

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
        if len(ids) > MOST_ROWS:
            raise RequestError(f"traceIds has {len(ids)} ids; it takes {MOST_ROWS} at once")
        for each in ids:
            self._store.delete(Deletion(project=asked.project, trace_id=trace_id_of(each)))
        return {"message": "Traces deleted successfully"}

    def sessions(self, asked: Asked) -> object:
        """Sessions by page, those with the latest trace first; a session is created when its first trace starts."""
        page, limit = asked.paging()
        since, until = asked.time("fromTimestamp"), asked.time("toTimestamp")
        everyone = GroupFilter(project=asked.project, since_ns=since, limit=_MOST_SESSIONS)
        found = [
            session
            for session in self._store.trace_groups(TraceBy.SESSION, everyone)
            if (since is None or session.first_ns >= since) and (until is None or session.first_ns < until)
        ]
        if len(found) > _MOST_SESSIONS:
            raise RequestError(f"that is more than {_MOST_SESSIONS} sessions; narrow fromTimestamp")
        if environments := asked.several("environment"):
            if len(found) > _MOST_LOOKED_UP:
                raise RequestError(
                    f"that is more than {_MOST_LOOKED_UP} sessions whose environment is to be looked up; "
                    "narrow fromTimestamp and toTimestamp"
                )
            found = [session for session in found if self._environment(session) in environments]
        shown = [
            _session(asked, each.value, each.first_ns, self._environment(each))
            for each in found[(page - 1) * limit : page * limit]
        ]
        return paged(shown, page=page, limit=limit, total=len(found))

    def session(self, asked: Asked) -> object:
        """A session with its traces."""
        session = asked.path["id"]
        wanted = TraceFilter(project=asked.project, session=session)
        found = list(islice(self._search.summaries(wanted, at_once=MOST_ROWS), MOST_ROWS + 1))
        if not found:
            raise missing(f"Session {session[:80]!r}")
        if len(found) > MOST_ROWS:
            raise RequestError(
                f"the session has more than {MOST_ROWS} traces; ask for them by page, /traces?sessionId="
            )
        first_ns = min(trace.started_ns for trace in found)
        shown = _session(asked, session, first_ns, found[0].environment or "default")
        return {**shown, "traces": [self._trace(summary) for summary in found]}

    def _environment(self, session: TraceGroup) -> str:
        """Of its latest trace."""
        wanted = TraceFilter(project=session.project, session=session.value, limit=1)
        return next((found.environment for found in self._store.list_traces(wanted)), "") or "default"

    def _trace(self, summary: TraceSummary) -> dict[str, Any]:
        summary, rows = self._search.read(summary)
        return {
            **shapes.trace(summary, rows),
            "observations": [shapes.observation_id(row) for row in rows if not shapes.is_trace(row)],
            "scores": [each.id for each in self._search.scores(summary)],
        }


def _narrowed(shown: dict[str, Any], groups: frozenset[str] | None) -> Mapping[str, Any]:
    """A trace without the groups of fields that were left out, in the values that Langfuse has for it."""
    left_out = frozenset(_GROUPS) - groups if groups is not None else frozenset()
    values: dict[str, Mapping[str, Any]] = {
        "io": {"input": None, "output": None, "metadata": None},
        "scores": {"scores": []},
        "observations": {"observations": []},
        "metrics": {"latency": -1, "totalCost": -1},
    }
    for group in left_out & values.keys():
        shown = {**shown, **values[group]}
    return shown


def _session(asked: Asked, session: str, first_ns: int, environment: str) -> dict[str, Any]:
    return {
        "id": session,
        "createdAt": iso(first_ns),
        "projectId": asked.project,
        "environment": environment,
    }
