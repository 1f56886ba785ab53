"""The five GETs of Jaeger's query service, so that Jaeger's UI and Grafana's Jaeger data source open our traces.

Source: Jaeger, HTTP JSON API of its query service (`/api/services`, `/api/traces`, …). Times are microseconds there.
An operation is the name of a trace: names of single spans are not searched. `web/jaeger_json.py` has the shapes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from starlette.routing import Route

from everyspan.errors import SettingsError
from everyspan.query.groups import GroupFilter, GroupOrder, TraceBy, list_groups
from everyspan.query.traces import TraceFilter, list_traces, trace
from everyspan.store.store import Store
from everyspan.web.endpoint import Asked, Endpoint
from everyspan.web.jaeger_json import as_jaeger, data, refused
from everyspan.web.parameters import PROJECT, Kind, Parameter

_MOST = 1000
_PAGE = 20
_MOST_IN_A_PAGE = 200
_NS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000}
_NS["h"] = 60 * _NS["m"]
_TAGS = {
    "user": "user",
    "user.id": "user",
    "session": "session",
    "session.id": "session",
    "tag": "tag",
    "model": "model",
    "gen_ai.request.model": "model",
    "gen_ai.response.model": "model",
    "provider": "provider",
    "gen_ai.provider.name": "provider",
    "environment": "environment",
    "deployment.environment.name": "environment",
}
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
        wanted = GroupFilter(project=asked.said.get("project", ""), order=GroupOrder.MOST, limit=_MOST)
        found = list_groups(self._store, TraceBy.SERVICE, wanted)
        return data(sorted({group.value for group in found.groups if group.value}))

    def _operations(self, asked: Asked) -> object:
        return data(self._names(asked, asked.path["service"]))

    def _operations_of_kind(self, asked: Asked) -> object:
        names = self._names(asked, asked.said.get("service", ""))
        return data([{"name": name, "spanKind": "internal"} for name in names])

    def _names(self, asked: Asked, service: str) -> list[str]:
        wanted = TraceFilter(project=asked.said.get("project", ""), service=service, limit=_MOST)
        return sorted({found.name for found in list_traces(self._store, wanted).traces if found.name})

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
            min_duration_ns=_duration_ns("minDuration", said),
            max_duration_ns=_duration_ns("maxDuration", said),
            limit=min(said.get("limit") or _PAGE, _MOST_IN_A_PAGE),
            **_from_tags(said.get("tags", "")),
        )
        page = list_traces(self._store, wanted)
        found = [trace(self._store, each.trace_id, project=each.project) for each in page.traces]
        return data([as_jaeger(each) for each in found])

    def _trace(self, asked: Asked) -> object:
        # Jaeger leaves out leading zeros.
        trace_id = asked.path["trace_id"].rjust(32, "0")
        return data([as_jaeger(trace(self._store, trace_id, project=asked.said.get("project")))])


def _endpoint(path: str, answer: Callable[[Asked], object], *parameters: Parameter) -> Route:
    return Endpoint(path=path, about="", answer=answer, parameters=parameters, refused=refused).route()


def _duration_ns(name: str, said: Mapping[str, Any]) -> int | None:
    text = said.get(name, "")
    if not text:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)", text)
    if not found:
        raise SettingsError(f"{name} is {text[:40]!r}; it takes 1.2s, 100ms or 500us")
    return int(float(found[1]) * _NS[found[2]])


def _from_tags(text: str) -> dict[str, Any]:
    try:
        tags = json.loads(text) if text else {}
    except ValueError:
        tags = None
    if not isinstance(tags, dict):
        raise SettingsError(f"tags is {text[:40]!r}; it takes a JSON object")
    wanted: dict[str, Any] = {}
    for name, value in tags.items():
        if name == "error":
            wanted["with_errors"] = str(value).lower() == "true"
        elif name in _TAGS:
            wanted[_TAGS[name]] = str(value)
        else:
            raise SettingsError(f"{name[:40]!r} can not be searched; known: error, {', '.join(_TAGS)}")
    return wanted
