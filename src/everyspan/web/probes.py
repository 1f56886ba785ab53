"""What machines ask about a server: does it live, may it be sent to, and its figures for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from everyspan.collector.collector import Collector
from everyspan.collector.retention import Retention
from everyspan.version import __version__
from everyspan.web.guard import NO_STORE

_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_NOT_KEPT = {"cache-control": NO_STORE}


class Figure(NamedTuple):
    """One time series; a name that ends in `_total` only grows."""

    name: str
    about: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()


class Probes:
    """The endpoints, over one server's parts."""

    def __init__(self, collector: Collector, retention: Retention) -> None:
        self._collector = collector
        self._retention = retention

    def routes(self) -> list[Route]:
        """The routes."""
        return [
            Route("/healthz", self._alive, methods=["GET"]),
            Route("/readyz", self._ready, methods=["GET"]),
            Route("/metrics", self._metrics, methods=["GET"]),
        ]

    async def _alive(self, request: Request) -> Response:
        return PlainTextResponse("ok\n", headers=_NOT_KEPT)

    async def _ready(self, request: Request) -> Response:
        # A store that fails is no reason: the inbox takes what comes, and its spans are stored later.
        why = await run_in_threadpool(self._collector.refusal)
        if why:
            return PlainTextResponse(f"{why}\n", status_code=503, headers=_NOT_KEPT)
        return PlainTextResponse("ready\n", headers=_NOT_KEPT)

    async def _metrics(self, request: Request) -> Response:
        return Response("".join(_lines(list(self.figures()))), media_type=_TYPE, headers=_NOT_KEPT)

    def figures(self) -> Iterator[Figure]:
        """Everything that is counted, since the start of the server."""
        taken, moved, (syncs, sync_s) = self._collector.taken, self._collector.moved, self._collector.syncs
        yield Figure("everyspan_build_info", "The version.", 1, (("version", __version__),))
        for name, about, value in (
            ("requests_total", "Requests to the doors for spans.", taken.requests),
            ("refused_requests_total", "Those that were answered with an error.", taken.refused),
            ("faults_total", "Requests refused because of an error of the collector's own.", taken.faults),
            ("taken_spans_total", "Spans in requests that were kept.", taken.spans),
            ("rejected_spans_total", "Spans named in a partial success.", taken.rejected),
            ("stored_spans_total", "Spans that were not in the store before.", moved.new),
            ("known_spans_total", "Spans that were: sent again, or by a second sender.", moved.known),
            ("refused_spans_total", "Spans that no store can hold.", moved.refused),
            ("store_failures_total", "Attempts to store that failed.", moved.failures),
            ("store_failing", "1 while the last attempt to store failed.", int(bool(moved.problem))),
            ("inbox_pending", "Requests acknowledged and not yet stored.", self._collector.pending),
            ("quarantined", "Requests that were set aside.", self._collector.quarantined),
            ("in_flight_bytes", "Bytes of bodies under way.", taken.in_flight_bytes),
            ("inbox_syncs_total", "How often the inbox was synced to disk.", syncs),
            ("inbox_sync_seconds_total", "Seconds spent on it.", sync_s),
            (
                "quota_write_failures_total",
                "Times that what a key has used up could not be written to disk.",
                self._collector.keys.quotas.failures,
            ),
            ("retention_deleted_traces_total", "Traces deleted by age.", self._retention.deleted.traces),
            ("retention_deleted_spans_total", "Their spans.", self._retention.deleted.spans),
            ("retention_failures_total", "Runs of the retention that failed.", self._retention.failures),
        ):
            yield Figure(f"everyspan_{name}", about, value)
        for key, count in sorted(self._collector.keys.quotas.refused.items()):
            yield Figure(
                "everyspan_throttled_requests_total",
                "Requests of keys that had used up their quota.",
                count,
                (("key", key),),
            )


def _lines(figures: list[Figure]) -> Iterator[str]:
    said: set[str] = set()
    for figure in figures:
        if figure.name not in said:
            said.add(figure.name)
            kind = "counter" if figure.name.endswith("_total") else "gauge"
            yield f"# HELP {figure.name} {figure.about}\n# TYPE {figure.name} {kind}\n"
        labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in figure.labels)
        named = f"{figure.name}{{{labels}}}" if labels else figure.name
        yield f"{named} {figure.value}\n"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
