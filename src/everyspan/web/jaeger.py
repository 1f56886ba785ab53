"""The five GETs of Jaeger's query service, so that Jaeger's UI and Grafana's Jaeger data source open our traces.

Source: Jaeger, HTTP JSON API of its query service (`/api/services`, `/api/traces`, …). Times are microseconds there.
`web/jaeger_search.py` has what its third version asks too, `web/jaeger_json.py` the shapes.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.routing import Route

from everyspan.query.traces import TraceFilter, trace
from everyspan.store.store import Store
from everyspan.web import jaeger_search as search
from everyspan.web.endpoint import Asked, Endpoint
from everyspan.web.jaeger_json import as_jaeger, data, refused
from everyspan.web.parameters import PROJECT, Kind, Parameter

_SERVICE = Parameter("service", "The service's name.")
_LEFT_ALONE = tuple(Parameter(name, "Not used.") for name in ("start", "end", "raw", "prettyPrint"))
"""A trace is read whole, and as it is: what narrows or dresses it may be said and changes nothing."""
_SEARCH = (
    *(PROJECT, _SERVICE),
    Parameter("operation", "The trace's name."),
    Parameter("tags", "A JSON object of tags and their values."),
    Parameter("start", "Microseconds since 1970.", Kind.WHOLE),
    Parameter("end", "Microseconds since 1970.", Kind.WHOLE),
    Parameter("limit", "How many traces.", Kind.WHOLE),
    Parameter("minDuration", "As `1.2s` or `100ms`."),
    Parameter("maxDuration", "As `1.2s` or `100ms`."),
    Parameter("lookback", "Not used: `start` says it."),
    Parameter("traceID", "One trace."),
)


class Jaeger:
    """The endpoints, over one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def routes(self) -> list[Route]:
        """The routes, for a Starlette application behind `web.guard`."""
        return [
            _endpoint("/api/services", self._services, PROJECT),
            # A service's name may hold a slash, which arrives as one.
            _endpoint("/api/services/{service:path}/operations", self._operations, PROJECT),
            _endpoint(
                "/api/operations", self._operations_of_kind, PROJECT, _SERVICE, Parameter("spanKind", "")
            ),
            _endpoint("/api/traces", self._traces, *_SEARCH),
            _endpoint("/api/traces/{trace_id}", self._trace, PROJECT, *_LEFT_ALONE),
        ]

    def _services(self, asked: Asked) -> object:
        return data(search.services(self._store, asked.said.get("project", "")))

    def _operations(self, asked: Asked) -> object:
        return data(search.operations(self._store, asked.said.get("project", ""), asked.path["service"]))

    def _operations_of_kind(self, asked: Asked) -> object:
        names = search.operations(self._store, asked.said.get("project", ""), asked.said.get("service", ""))
        return data([{"name": name, "spanKind": "internal"} for name in names])

    def _traces(self, asked: Asked) -> object:
        said = asked.said
        if said.get("traceID"):
            return data([as_jaeger(trace(self._store, said["traceID"], project=said.get("project")))])
        start, end = said.get("start"), said.get("end")
        wanted = TraceFilter(
            project=said.get("project", ""),
            service=said.get("service", ""),
            name=said.get("operation", ""),
            since_ns=None if start is None else start * 1000,
            until_ns=None if end is None else end * 1000,
            min_duration_ns=search.duration_ns("minDuration", said.get("minDuration", "")),
            max_duration_ns=search.duration_ns("maxDuration", said.get("maxDuration", "")),
            limit=min(said.get("limit") or search.PAGE, search.MOST_IN_A_PAGE),
            **search.tags("tags", said.get("tags", "")),
        )
        return data([as_jaeger(each) for each in search.whole_traces(self._store, wanted)])

    def _trace(self, asked: Asked) -> object:
        # Jaeger leaves out leading zeros.
        trace_id = asked.path["trace_id"].rjust(32, "0")
        return data([as_jaeger(trace(self._store, trace_id, project=asked.said.get("project")))])


def _endpoint(path: str, answer: Callable[[Asked], object], *parameters: Parameter) -> Route:
    return Endpoint(path=path, about="", answer=answer, parameters=parameters, refused=refused).route()
