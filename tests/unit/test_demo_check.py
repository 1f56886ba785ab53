"""The demo's verdict on a run: it must be able to say no."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from everyspan.cli.ask import Answer, Collector
from everyspan.cli.demo_check import Finding, check
from everyspan.cli.demo_lanes import Ended
from everyspan.cli.demo_plan import Scenario, Side, Stage, scenarios
from everyspan.testing import Bill, Entry

RUN = Scenario(side=Side.WITH, row="gather", calls=2, how="return")
TRACE, BATCH = "t" * 32, "b" * 16


@dataclass(frozen=True, kw_only=True)
class Stored(Collector):
    """A collector whose store holds the given spans, in one trace."""

    spans: list[dict[str, Any]]
    verdict: str

    def ask(self, *path: str, **parameters: str | int | None) -> Answer:
        if path == ("completeness",):
            return {"verdict": self.verdict}
        if len(path) == 2:
            return {"spans": self.spans}
        return {"traces": [{"trace_id": TRACE}], "next_cursor": ""}


def span(number: int, **changed: object) -> dict[str, Any]:
    """The span of one call, as it should be."""
    return {
        "trace_id": TRACE,
        "parent_id": BATCH,
        "kind": "generation",
        "unbilled": "",
        "service": RUN.name,
        "input": f'[{{"role":"user","content":"[{RUN.name} mail {number}] Is this spam?"}}]',
        "cost": "0.00025",
        **changed,
    }


def found(
    folder: Path,
    *spans: dict[str, Any],
    verdict: str = "complete",
    exit_code: int = 0,
    side: Side = Side.WITH,
) -> Finding:
    parents = folder / "parents"
    parents.write_text(json.dumps({"trace_id": TRACE, "span_id": BATCH}) + "\n")
    stored = Stored(url="http://nowhere.invalid", spans=list(spans), verdict=verdict)
    entries = [
        Entry(
            request_id=f"req_{n}",
            response_id=f"msg_{n}",
            provider="anthropic",
            model="m",
            cost_usd=Decimal("0.00025"),
        )
        for n in range(2)
    ]
    scenario = Scenario(side=side, row=RUN.row, calls=RUN.calls, how=RUN.how)
    ended = Ended(scenario=scenario, exit_code=exit_code, took_s=1.0)
    return check(ended, collector=stored, parents=parents, bill=Bill(entries))


def test_two_calls_that_are_two_spans_are_whole(tmp_path: Path) -> None:
    finding = found(tmp_path, span(0), span(1))

    assert finding.whole
    assert finding.cost == finding.owed == Decimal("0.0005")


@pytest.mark.parametrize(
    "spans",
    [
        pytest.param([span(0)], id="lost"),
        pytest.param([span(0), span(1), span(1)], id="twice"),
        pytest.param([span(0), span(0)], id="one twice and one lost"),
        pytest.param([span(0), span(1, parent_id="c" * 16)], id="another parent"),
        pytest.param([span(0), span(1, trace_id="u" * 32)], id="another trace"),
        pytest.param(
            [span(0), span(1, cost="0.00025000000001")], id="a hundred-millionth of a cent too much"
        ),
        pytest.param([span(0), span(1, cost=None)], id="unpriced"),
        pytest.param([span(0), span(1, unbilled="shadow")], id="kept but not billed"),
        pytest.param([span(0), span(1, service="another run")], id="of another run"),
    ],
)
def test_anything_else_is_not(tmp_path: Path, spans: list[dict[str, Any]]) -> None:
    assert not found(tmp_path, *spans).whole


def test_an_audit_that_is_open_or_an_exit_that_was_not_asked_for_is_not_whole(tmp_path: Path) -> None:
    assert not found(tmp_path, span(0), span(1), verdict="open").whole
    assert not found(tmp_path, span(0), span(1), exit_code=1).whole


def test_without_everyspan_a_float_may_have_its_tail(tmp_path: Path) -> None:
    service = Scenario(side=Side.WITHOUT, row=RUN.row, calls=RUN.calls, how=RUN.how).name
    spans = [
        span(n, service=service, input=f"[{service} mail {n}]", cost="0.00025000000000000001")
        for n in range(2)
    ]

    assert found(tmp_path, *spans, side=Side.WITHOUT, verdict="unproven").whole


def test_the_plan_has_every_row_with_every_exit_in_each_size_and_the_burst() -> None:
    plan = list(scenarios(Side.WITH, (3, 50), 5000))

    assert len(plan) == len({scenario.name for scenario in plan}) == 6 * 3 * 2 + 1
    assert plan[0].calls == 5000


def test_no_run_inherits_where_the_users_shell_sends_telemetry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "sk-lf-real")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://production.invalid")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-real")
    stage = Stage(
        script=tmp_path / "s.py", folder=tmp_path, collector_url="http://c", provider_url="http://p"
    )

    environment = stage.environment(RUN)

    assert "real" not in "".join(environment.values())
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in environment
    assert environment["ANTHROPIC_API_KEY"] == RUN.api_key
