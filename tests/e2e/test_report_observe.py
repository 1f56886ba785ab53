"""Without Langfuse: `@everyspan.observe` and `everyspan.init()` around litellm, where langfuse cannot be imported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from everyspan.cli.ask import Collector
from everyspan.cli.demo_collector import CollectorProcess
from everyspan.testing import ProviderProcess, read_ledger

OBSERVE = Path(__file__).parents[2] / "examples" / "observe.py"
FOREIGN = ("OTEL_", "LANGFUSE_", "EVERYSPAN_", "ANTHROPIC_")


def environment_without_langfuse(folder: Path, **variables: str) -> dict[str, str]:
    missing = folder / "missing" / "langfuse"
    missing.mkdir(parents=True)
    (missing / "__init__.py").write_text(
        "raise ModuleNotFoundError('langfuse is not installed', name='langfuse')\n"
    )
    found = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return (
        found | variables | {"PYTHONPATH": str(missing.parent), "EVERYSPAN_SPOOL_DIR": str(folder / "spool")}
    )


@pytest.mark.parametrize(("how", "exit_code"), [("return", 0), ("sigkill", -signal.SIGKILL)])
def test_gathered_calls_nest_below_the_observed_function(tmp_path: Path, how: str, exit_code: int) -> None:
    ledger = tmp_path / "ledger.jsonl"
    with (
        ProviderProcess(ledger_path=ledger) as provider,
        CollectorProcess(tmp_path / "data") as collector,
    ):
        environment = environment_without_langfuse(
            tmp_path,
            EVERYSPAN_ENDPOINT=collector.url,
            ANTHROPIC_BASE_URL=provider.url,
            ANTHROPIC_API_KEY="sk-ant-observed",
        )

        ended = run(environment, str(OBSERVE), "--calls", "5", "--exit", how)
        run(environment, "-m", "everyspan.cli.main", "drain")
        spans = stored(Collector(url=collector.url))
        bill = read_ledger(ledger)

    assert ended.returncode == exit_code, ended.stderr
    (batch,) = [span for span in spans if "batch_operation" in span["name"]]
    calls = [span for span in spans if span["kind"] == "generation"]
    assert [call["parent_id"] for call in calls] == [batch["span_id"]] * 5
    assert len(bill.calls) == 5
    assert sum(Decimal(call["cost"]) for call in calls) == bill.cost
    assert len(spans) == 6


def run(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, timeout=90, check=False
    )


def stored(collector: Collector) -> list[dict[str, Any]]:
    traces = collector.ask("traces")["traces"]
    return [span for trace in traces for span in collector.ask("traces", trace["trace_id"])["spans"]]
