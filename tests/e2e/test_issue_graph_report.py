"""The example that is a product, run as its README says: offline, on saved answers, with a collector."""

from __future__ import annotations

import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import everyspan
from everyspan.server import running
from tests.programs import clean_environment

SAVED = "examples/issue_graph/saved"
CALLS = 7  # the issue, five linked items that could be read, and the whole


def test_the_report_names_what_it_cost_and_links_to_its_trace(tmp_path: Path) -> None:
    report = tmp_path / "report.md"

    with running(tmp_path / "data") as server:
        done = write_report(tmp_path, report, server.url)
        client = everyspan.Client(server.url)
        (summary,) = client.traces()
        trace = client.trace(summary.trace_id)

    assert done.returncode == 0, done.stderr
    written = report.read_text()
    assert re.search(r"\| cost \| \$(0\.\d+) \|", written)
    assert Decimal(re.findall(r"\| cost \| \$(\S+) \|", written)[0]) == summary.cost
    assert summary.calls == CALLS
    assert f"[{summary.trace_id}]({server.url}/traces/{summary.trace_id})" in written
    parents = {each.row.span_id: each.row.name for each in trace.tree}
    calls = [each.row for each in trace.tree if each.row.model]
    assert len(calls) == CALLS
    assert all(parents[call.parent_id or ""].startswith("summarise ") for call in calls)


def test_without_a_collector_the_report_comes_and_says_that_its_cost_is_not_known(tmp_path: Path) -> None:
    report = tmp_path / "report.md"

    done = write_report(tmp_path, report, "http://127.0.0.1:9")

    assert done.returncode == 0, done.stderr
    assert "| cost | not known |" in report.read_text()
    assert "0 of 15 spans delivered, 15 pending" in report.read_text()


def write_report(folder: Path, report: Path, collector: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "examples.issue_graph", SAVED, "--offline"]
    return subprocess.run(
        [*command, "--output", str(report), "--collector", collector],
        env=clean_environment(folder / "spool"),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
