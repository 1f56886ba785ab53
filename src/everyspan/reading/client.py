"""`everyspan.Client`: what a collector knows, as typed values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from everyspan.query.completeness import Audit
from everyspan.query.costs import CostReport
from everyspan.query.groups import GroupPage
from everyspan.query.latency import LatencyReport
from everyspan.query.otlp import otlp_request
from everyspan.query.traces import TracePage, TraceSpan, TraceTotals
from everyspan.reading.asking import Answer, Collector, Parameter
from everyspan.reading.chrome import chrome_events
from everyspan.reading.shapes import made_of
from everyspan.reading.table import Table
from everyspan.reading.waterfall import waterfall
from everyspan.settings import collector
from everyspan.store.groups import LatencyGroup, TraceGroup
from everyspan.store.reads import CostGroup, TraceSummary
from everyspan.store.rows import SpanRow

_PAGE = 200
_TRACE_COLUMNS = ("started_ns", "name", "models", "user", "spans", "calls", "errors", "cost", "trace_id")
_COST_COLUMNS = ("value", "period", "calls", "cost", "input_tokens", "output_tokens", "states")


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceView:
    """A whole trace. In Jupyter it shows itself as a waterfall."""

    summary: TraceSummary
    input: str = ""
    output: str = ""
    tree: tuple[TraceSpan, ...]
    """Each span at its place: before its children, siblings by start."""
    link: str = field(default="", compare=False)
    """Its address in the page."""

    @property
    def spans(self) -> Table[SpanRow]:
        """The spans without their places, as a table."""
        return Table([each.row for each in self.tree])

    def otlp(self) -> dict[str, Any]:
        """As an OTLP/JSON request, which any OpenTelemetry collector takes."""
        return otlp_request([each.row for each in self.tree])

    def chrome(self) -> dict[str, Any]:
        """As a Chrome trace, for Perfetto and `chrome://tracing`."""
        return {
            "traceEvents": chrome_events([each.row for each in self.tree], process=1),
            "displayTimeUnit": "ms",
        }

    def _repr_html_(self) -> str:
        return waterfall(self.summary, self.tree, link=self.link)


class Client:
    """Asks a collector. Holds no connection; may be used from any thread.

    Every filter of `docs/api.md` is a keyword: `client.traces(model="gpt-4o", errors=True)`.

    Args:
        url: the collector. Default: EVERYSPAN_ENDPOINT, else http://127.0.0.1:4319.
        api_key: its key. Default: EVERYSPAN_API_KEY.

    Raises:
        SettingsError: the URL is none.
    """

    def __init__(self, url: str | None = None, *, api_key: str | None = None) -> None:
        base, key = collector(url, api_key=api_key)
        self._collector = Collector(url=base, api_key=key)

    def __repr__(self) -> str:
        return f"everyspan.Client({self._collector.url!r})"

    def traces(self, *, limit: int = 100, **filters: Parameter) -> Table[TraceSummary]:
        """The newest traces that fit, at most `limit`.

        Raises:
            AnswerError: the collector does not answer, or refuses the question; the same for every method here.
        """
        found = []
        for summary in self.each_trace(**filters):
            found.append(summary)
            if len(found) >= limit:
                break
        return Table(found, columns=_TRACE_COLUMNS)

    def each_trace(self, **filters: Parameter) -> Iterator[TraceSummary]:
        """All traces that fit, newest first, asked for page by page; what arrives meanwhile is not among them."""
        before = ""
        while True:
            page = made_of(
                TracePage, self._collector.ask("traces", limit=_PAGE, **{**filters, "before": before})
            )
            yield from page.traces
            before = page.next_cursor
            if not before:
                return

    def totals(self, **filters: Parameter) -> TraceTotals:
        """What all traces that fit come to."""
        return made_of(TraceTotals, self._collector.ask("traces", "totals", **filters))

    def trace(self, trace_id: str, *, project: str | None = None, prices: str = "") -> TraceView:
        """One trace with everything; `prices="latest"` for its newest costs in place of the recorded ones."""
        said = self._collector.ask("traces", trace_id, project=project, prices=prices)
        return TraceView(
            summary=made_of(TraceSummary, said["summary"]),
            input=said.get("input", ""),
            output=said.get("output", ""),
            tree=tuple(_placed(span) for span in said["spans"]),
            link=f"{self._collector.url}/traces/{trace_id}",
        )

    def spans(self, *, limit: int = 100, **filters: Parameter) -> Table[SpanRow]:
        """The spans of the newest `limit` traces that fit, with everything; one question for each trace."""
        rows: list[SpanRow] = []
        prices = str(filters.get("prices") or "")
        for summary in self.traces(limit=limit, **filters):
            view = self.trace(summary.trace_id, project=summary.project, prices=prices)
            rows += [each.row for each in view.tree]
        return Table(rows)

    def costs(self, by: str = "model", **filters: Parameter) -> Table[CostGroup]:
        """Billed calls and money by group; `each="day"` divides over time."""
        return Table(self.cost_report(by, **filters).groups, columns=_COST_COLUMNS)

    def cost_report(self, by: str = "model", **filters: Parameter) -> CostReport:
        """The same with the total, in which each call counts once."""
        return made_of(CostReport, self._collector.ask("costs", by=by, **filters))

    def latency(self, by: str = "model", **filters: Parameter) -> Table[LatencyGroup]:
        """Quantiles of durations and times to the first token, and failures."""
        return Table(made_of(LatencyReport, self._collector.ask("latency", by=by, **filters)).groups)

    def groups(self, by: str = "user", **filters: Parameter) -> Table[TraceGroup]:
        """One page of users, sessions, tags and the like, with the sums of their traces."""
        return Table(made_of(GroupPage, self._collector.ask("groups", by=by, **filters)).groups)

    def audit(self, **filters: Parameter) -> Audit:
        """Whether every numbered span is here."""
        return made_of(Audit, self._collector.ask("completeness", **filters))


def _placed(span: Answer) -> TraceSpan:
    return TraceSpan(
        row=made_of(SpanRow, span), depth=int(span["depth"]), parent_missing=bool(span["parent_missing"])
    )
