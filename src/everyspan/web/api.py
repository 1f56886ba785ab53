"""The JSON API: what the page, the command line, the notebook and other programs read. All of it is GET."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.routing import Route

from everyspan.collector.collector import Collector
from everyspan.collector.keys import DEFAULT_PROJECT
from everyspan.cost.budget import read_budgets
from everyspan.errors import PricesError
from everyspan.query.budgets import BudgetReport, stand
from everyspan.query.completeness import Audit, WriterFilter, audit
from everyspan.query.costs import CostBy, CostFilter, CostReport, Each, costs
from everyspan.query.groups import GroupFilter, GroupOrder, GroupPage, TraceBy, list_groups
from everyspan.query.latency import LatencyBy, LatencyFilter, LatencyReport, latency
from everyspan.query.scores import ScoreFilter, ScorePage, list_scores
from everyspan.query.sum import sum_of
from everyspan.query.traces import (
    TraceFilter,
    TracePage,
    TraceSpan,
    TraceTotals,
    list_traces,
    outline,
    span,
    totals,
    trace,
)
from everyspan.store.reads import Prices
from everyspan.store.store import Store
from everyspan.version import __version__
from everyspan.web.answers import Health, SpanAnswer, TraceAnswer
from everyspan.web.as_json import as_json
from everyspan.web.costs_csv import costs_csv
from everyspan.web.endpoint import Asked, Endpoint, Said, json_response
from everyspan.web.openapi import openapi
from everyspan.web.parameters import (
    CALL_FILTERS,
    LATENCY_FILTERS,
    PAGING,
    PRICES,
    PROJECT,
    SERVICE,
    SINCE,
    TIMES,
    TRACE_FILTERS,
    Kind,
    Parameter,
)
from everyspan.web.skeleton import Skeleton, skeleton_of
from everyspan.web.views import ViewList, Views

_BODIES = frozenset({"input", "output", "trace_input", "trace_output", "attributes"})
_WITH_BODIES = Parameter(
    "bodies", "No: without inputs, outputs and attributes.", Kind.YES_OR_NO, default="yes"
)
_EACH = Parameter(
    "each", "Divide every group by this length of time, in UTC.", choices=tuple(each.value for each in Each)
)


def _by(choices: type[CostBy | LatencyBy | TraceBy], default: str = "") -> Parameter:
    return Parameter(
        "by", "What to group by.", choices=tuple(each.value for each in choices), default=default
    )


class Api:
    """The endpoints under `/api/v1`, over one store."""

    def __init__(
        self, store: Store, collector: Collector, *, views: Views, budgets: Path | None = None
    ) -> None:
        self._store = store
        self._views = views
        self._collector = collector
        self._budgets = budgets

    def routes(self) -> list[Route]:
        """The routes, for a Starlette application behind `web.guard`."""
        return [endpoint.route() for endpoint in self.endpoints()]

    def endpoints(self) -> list[Endpoint]:
        """Every place, in the order of the documentation."""
        one, by_cost = "/api/v1/traces/{trace_id}", (_by(CostBy, "model"), *CALL_FILTERS, PRICES)
        return [
            Endpoint(
                path="/api/v1/traces",
                about="One page of traces, newest first.",
                answer=self._traces,
                parameters=(*TRACE_FILTERS, *PAGING, PRICES),
                gives=TracePage,
            ),
            Endpoint(
                path="/api/v1/traces/totals",
                about="What all traces that fit come to.",
                answer=self._totals,
                parameters=(*TRACE_FILTERS, PRICES),
                gives=TraceTotals,
            ),
            Endpoint(
                path=one,
                about="A whole trace: its spans in the order of a tree printed from top to bottom.",
                answer=self._trace,
                parameters=(PROJECT, _WITH_BODIES, PRICES),
                gives=TraceAnswer,
            ),
            Endpoint(
                path=f"{one}/skeleton",
                about="A trace without texts, in rows of values: small and quick also with ten thousand spans.",
                answer=self._skeleton,
                parameters=(PROJECT, PRICES),
                gives=Skeleton,
            ),
            Endpoint(
                path=f"{one}/spans/{{key}}",
                about="One span with everything that is known of it, and the sum of its cost line by line.",
                answer=self._span,
                parameters=(PROJECT, PRICES),
                gives=SpanAnswer,
            ),
            Endpoint(
                path="/api/v1/groups",
                about="Users, sessions, tags and the like, with the sums of their traces.",
                answer=self._groups,
                parameters=(_by(TraceBy, "user"), PROJECT, SINCE, *_GROUPS, PRICES),
                gives=GroupPage,
            ),
            Endpoint(
                path="/api/v1/costs",
                about="Billed calls and money by group, exact; what has no price is counted and never taken as 0.",
                answer=self._costs,
                parameters=(*by_cost, _EACH),
                gives=CostReport,
            ),
            Endpoint(
                path="/api/v1/costs.csv",
                about="The same as a table for spreadsheets.",
                answer=lambda asked: costs_csv(self._costs(asked)),
                parameters=(*by_cost, _EACH),
                media_type="text/csv",
            ),
            Endpoint(
                path="/api/v1/budgets",
                about="How the collector's limits stand: spent in the period under way, and the verdict.",
                answer=self._stand,
                parameters=(PROJECT,),
                gives=BudgetReport,
            ),
            Endpoint(
                path="/api/v1/latency",
                about="How long billed calls took, how soon their first token came, and how many failed.",
                answer=self._latency,
                parameters=(_by(LatencyBy, "model"), *LATENCY_FILTERS, _EACH),
                gives=LatencyReport,
            ),
            Endpoint(
                path="/api/v1/scores",
                about="How traces, spans and sessions were judged, latest first.",
                answer=self._scores,
                parameters=(PROJECT, *TIMES, *_SCORES),
                gives=ScorePage,
            ),
            Endpoint(
                path="/api/v1/completeness",
                about="The audit: whether every numbered span is here, by writer and number.",
                answer=self._completeness,
                parameters=(SERVICE, Parameter("writer", "One writer's id."), PROJECT, _BRIEF),
                gives=Audit,
            ),
            Endpoint(
                path="/api/v1/views",
                about="Saved views of the list of traces: names for queries. `PUT /api/v1/views/{name}` saves one.",
                answer=lambda asked: self._views.listed(asked.said.get("project", "")),
                parameters=(PROJECT,),
                gives=ViewList,
            ),
            Endpoint(
                path="/api/v1/health",
                about="Version, and whether anything waits, failed or was set aside.",
                answer=lambda asked: self.health(),
                gives=Health,
            ),
            Endpoint(
                path="/api/v1/openapi.json",
                about="This description, as OpenAPI 3.1.",
                answer=lambda asked: openapi(self.endpoints()),
            ),
        ]

    def health(self) -> Health:
        """What the collector did since it started."""
        moved, taken = self._collector.moved, self._collector.taken
        return Health(
            status="ok" if not moved.problem else "degraded",
            version=__version__,
            inbox_pending=self._collector.pending,
            quarantined=self._collector.quarantined,
            problem=moved.problem,
            requests=taken.requests,
            refused_requests=taken.refused,
            throttled_requests=self._collector.keys.quotas.refused.total(),
            rejected_spans=taken.rejected,
            stored_spans=moved.new,
            known_spans=moved.known,
            refused_spans=moved.refused,
            unreadable_frames=moved.unreadable,
            failures=moved.failures + taken.faults,
        )

    def _traces(self, asked: Asked) -> TracePage:
        prices, said = _priced(asked)
        return list_traces(self._store, TraceFilter(**said), prices=prices)

    def _totals(self, asked: Asked) -> TraceTotals:
        prices, said = _priced(asked)
        return totals(self._store, TraceFilter(**said), prices=prices)

    def _trace(self, asked: Asked) -> object:
        without = frozenset() if asked.said.get("bodies", True) else _BODIES
        prices, said = _priced(asked)
        found = trace(self._store, asked.path["trace_id"], project=said.get("project"), prices=prices)
        return {
            "summary": as_json(found.summary),
            **({} if without else {"input": found.input, "output": found.output}),
            "spans": [_span(each, without) for each in found.spans],
        }

    def _skeleton(self, asked: Asked) -> object:
        prices, said = _priced(asked)
        found = outline(self._store, asked.path["trace_id"], project=said.get("project"), prices=prices)
        return json_response(skeleton_of(*found))

    def _span(self, asked: Asked) -> object:
        prices, said = _priced(asked)
        trace_id, key = asked.path["trace_id"], asked.path["key"]
        found = span(self._store, trace_id, key, project=said.get("project"), prices=prices)
        return {**as_json(found), "cost_lines": as_json(sum_of(found))}

    def _groups(self, asked: Asked) -> GroupPage:
        said = {**asked.said, "order": GroupOrder(asked.said.get("order", GroupOrder.LATEST))}
        by = TraceBy(said.pop("by", TraceBy.USER))
        return list_groups(self._store, by, GroupFilter(**said))

    def _scores(self, asked: Asked) -> ScorePage:
        said = {"project": DEFAULT_PROJECT, **asked.said}
        listed: Said = {name: (said.pop(name),) for name in _LISTED if name in said}
        return list_scores(self._store, ScoreFilter(**said, **listed))

    def _costs(self, asked: Asked) -> CostReport:
        by, each, rest = _divided(asked.said, CostBy.MODEL)
        return costs(self._store, by=CostBy(by), wanted=CostFilter(**rest), each=each)

    def _stand(self, asked: Asked) -> BudgetReport:
        if self._budgets is None:
            return BudgetReport(budgets=())
        try:
            # Read each time: it is small, and whoever changes a limit need not start the collector again.
            limits = read_budgets(self._budgets)
        except PricesError as unusable:
            return BudgetReport(budgets=(), problem=str(unusable))
        project = asked.said.get("project", "")
        return BudgetReport(budgets=stand(self._store, limits, now=datetime.now(UTC), project=project))

    def _latency(self, asked: Asked) -> LatencyReport:
        by, each, rest = _divided(asked.said, LatencyBy.MODEL)
        return latency(self._store, by=LatencyBy(by), wanted=LatencyFilter(**rest), each=each)

    def _completeness(self, asked: Asked) -> object:
        said = dict(asked.said)
        brief = said.pop("brief", False)
        found = audit(self._store, WriterFilter(**said), inbox_pending=self._collector.pending)
        without = frozenset({"writers", "unnumbered"} if brief else ())
        return {
            **as_json(found, without=without),
            "sentence": found.sentence,
            "quarantined": self._collector.quarantined,
        }


_BRIEF = Parameter("brief", "Yes: the verdict and its figures, without the writers.", Kind.YES_OR_NO)
_GROUPS = (
    Parameter("value", "The whole value."),
    Parameter("containing", "A part of the value."),
    Parameter(
        "order",
        "What comes first.",
        choices=tuple(each.value for each in GroupOrder),
        default=GroupOrder.LATEST.value,
    ),
    Parameter("limit", "How many on one page, 1 to 1000.", Kind.WHOLE, default="50"),
    Parameter("offset", "The `next_offset` of the page before.", Kind.WHOLE),
)


_SCORES = (
    Parameter("trace_id", "Of this trace and its spans.", field="trace_ids"),
    Parameter("session", "Of this session.", field="sessions"),
    Parameter("name", "Of this name.", field="names"),
    Parameter("limit", "How many on one page, 1 to 1000.", Kind.WHOLE, default="50"),
    Parameter("skip", "The `next_skip` of the page before.", Kind.WHOLE),
)
_LISTED = ("trace_ids", "sessions", "names")


def _priced(asked: Asked) -> tuple[Prices, Said]:
    said = dict(asked.said)
    return Prices(said.pop("prices", Prices.RECORDED)), said


def _divided(said: dict[str, Any], by: str) -> tuple[str, Each | None, dict[str, Any]]:
    rest = dict(said)
    by, each = rest.pop("by", by), rest.pop("each", None)
    return by, Each(each) if each else None, rest


def _span(span: TraceSpan, without: frozenset[str]) -> dict[str, Any]:
    # Flat: where a span stands in the tree is one more fact about it.
    row: dict[str, Any] = as_json(span.row, without=without)
    return {**row, "depth": span.depth, "parent_missing": span.parent_missing}
