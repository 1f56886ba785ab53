"""The JSON API: what the page, the command line and other programs read."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from everyspan.collector.collector import Collector
from everyspan.errors import EveryspanError, NotFoundError, SettingsError
from everyspan.query.completeness import WriterFilter, audit
from everyspan.query.costs import CostBy, CostFilter, costs
from everyspan.query.traces import TraceFilter, TraceSpan, list_traces, trace
from everyspan.store.store import Store
from everyspan.version import __version__
from everyspan.web.as_json import as_json
from everyspan.web.guard import NO_STORE, PROJECT

_BODIES = frozenset({"input", "output", "trace_input", "trace_output", "attributes"})
_NUMBERS = frozenset({"since_ns", "until_ns", "limit"})
_QUESTIONS = frozenset({"errors", "bodies"})
_SHARED = ("project", "service", "since_ns", "until_ns", "model", "user", "session")
_TRACES = (*_SHARED, "name", "errors", "limit", "before")
_COSTS = (*_SHARED, "provider")
_YES, _NO = frozenset({"1", "true", "yes"}), frozenset({"0", "false", "no"})

Answerer = Callable[[Request], object]


class Api:
    """The endpoints under `/api/v1`, over one store. Each runs in a worker thread: the store blocks."""

    def __init__(self, store: Store, collector: Collector) -> None:
        self._store = store
        self._collector = collector

    def routes(self) -> list[Route]:
        """The routes, for a Starlette application behind `web.guard`."""
        endpoints: dict[str, Answerer] = {
            "/api/v1/health": self.health,
            "/api/v1/traces": self.traces,
            "/api/v1/traces/{trace_id}": self.trace,
            "/api/v1/traces/{trace_id}/spans/{key}": self.span,
            "/api/v1/costs": self.costs,
            "/api/v1/completeness": self.completeness,
        }
        return [Route(path, _endpoint(answer), methods=["GET"]) for path, answer in endpoints.items()]

    def health(self, request: Request) -> object:
        """Version, and whether anything waits, failed or was set aside."""
        _parameters(request, ())
        moved, taken = self._collector.moved, self._collector.taken
        return {
            "status": "ok" if not moved.problem else "degraded",
            "version": __version__,
            "inbox_pending": self._collector.pending,
            "quarantined": self._collector.quarantined,
            "problem": moved.problem,
            "requests": taken.requests,
            "refused_requests": taken.refused,
            "rejected_spans": taken.rejected,
            "stored_spans": moved.new,
            "known_spans": moved.known,
            "refused_spans": moved.refused,
            "unreadable_frames": moved.unreadable,
            "failures": moved.failures + taken.faults,
        }

    def traces(self, request: Request) -> object:
        """Filters as `TraceFilter` has them, `errors` for traces with one; `next_cursor` is the next `before`."""
        said = _parameters(request, _TRACES)
        said["with_errors"] = said.pop("errors", False)
        return list_traces(self._store, TraceFilter(**_within_project(said, request)))

    def trace(self, request: Request) -> object:
        """A whole trace as a tree; with `bodies=no` without inputs, outputs and attributes."""
        said = _within_project(_parameters(request, ("bodies", "project")), request)
        without = frozenset() if said.get("bodies", True) else _BODIES
        found = trace(self._store, request.path_params["trace_id"], project=said.get("project"))
        return {
            "summary": as_json(found.summary),
            **({} if without else {"input": found.input, "output": found.output}),
            "spans": [_span(each, without) for each in found.spans],
        }

    def span(self, request: Request) -> object:
        """One span of a trace, by its key, with everything that is known of it."""
        said = _within_project(_parameters(request, ("project",)), request)
        found = trace(self._store, request.path_params["trace_id"], project=said.get("project"))
        for each in found.spans:
            if each.row.key == request.path_params["key"]:
                return _span(each, frozenset())
        raise NotFoundError(f"trace {found.summary.trace_id} has no span {request.path_params['key']}")

    def costs(self, request: Request) -> object:
        """Calls and money by `by`, one of `CostBy`; the fields of `CostFilter` narrow it."""
        said = _parameters(request, ("by", *_COSTS))
        by = said.pop("by", CostBy.MODEL.value)
        if by not in [each.value for each in CostBy]:
            raise SettingsError(f"by is {by!r}; it takes one of: {', '.join(each.value for each in CostBy)}")
        return costs(self._store, by=CostBy(by), wanted=CostFilter(**_within_project(said, request)))

    def completeness(self, request: Request) -> object:
        """The audit, with its verdict in one word and in one sentence; `service` and `writer` narrow it."""
        said = _within_project(_parameters(request, ("service", "writer", "project")), request)
        found = audit(self._store, WriterFilter(**said), inbox_pending=self._collector.pending)
        return {**as_json(found), "sentence": found.sentence}


def _span(span: TraceSpan, without: frozenset[str]) -> dict[str, Any]:
    # Flat: where a span stands in the tree is one more fact about it.
    row: dict[str, Any] = as_json(span.row, without=without)
    return {**row, "depth": span.depth, "parent_missing": span.parent_missing}


def _endpoint(answer: Answerer) -> Callable[[Request], Response]:
    def endpoint(request: Request) -> Response:
        try:
            return json_response(as_json(answer(request)))
        except NotFoundError as missing:
            return error_response(str(missing), status=404)
        except SettingsError as wrong:
            return error_response(str(wrong), status=400)
        except EveryspanError as failure:
            return error_response(str(failure), status=503)

    return endpoint


def json_response(content: object, *, status: int = 200) -> Response:
    """`content` as JSON that no cache keeps."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    # A lone surrogate can not have come in through protobuf; should one, it must not turn an answer into a 500.
    body = text.encode("utf-8", "backslashreplace")
    return Response(
        body, status_code=status, media_type="application/json", headers={"cache-control": NO_STORE}
    )


def error_response(why: str, *, status: int) -> Response:
    """The one shape of an error; see `collector.answers.refusal`."""
    return json_response({"message": why, "error": why}, status=status)


def _within_project(said: dict[str, Any], request: Request) -> dict[str, Any]:
    """`said` held to the key's project. Only without keys may a request name one: there is nothing to protect."""
    own = request.scope.get(PROJECT, "")
    if own and said.get("project", own) != own:
        raise NotFoundError(f"this key opens project {own!r}, not {said['project']!r}")
    return {**said, "project": own} if own else said


def _parameters(request: Request, allowed: Sequence[str]) -> dict[str, Any]:
    """The query's parameters as what they mean. An unknown one is an error: a typo must not widen a query."""
    said: dict[str, Any] = {}
    for name, value in request.query_params.items():
        if name not in allowed:
            raise SettingsError(f"{name[:40]!r} is no parameter here; known: {', '.join(allowed) or 'none'}")
        if value == "":
            continue
        if name in _NUMBERS:
            said[name] = _whole_number(value, name)
        else:
            said[name] = _yes_or_no(value, name) if name in _QUESTIONS else value
    return said


def _whole_number(value: str, name: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 20):
        raise SettingsError(f"{name} is {value[:40]!r}; it takes a whole number")
    return int(value)


def _yes_or_no(value: str, name: str) -> bool:
    if value.lower() in _YES | _NO:
        return value.lower() in _YES
    raise SettingsError(f"{name} is {value[:40]!r}; it takes yes or no")
