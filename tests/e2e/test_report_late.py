"""It does not matter which is started first: a collector that comes up after the program ended gets everything."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from everyspan.cli.ask import Collector
from everyspan.cli.demo_check import check
from everyspan.cli.demo_collector import CollectorProcess
from everyspan.cli.demo_lanes import ColdLane, Ended
from everyspan.cli.demo_plan import Scenario, Side, Stage
from everyspan.testing import ProviderProcess, read_ledger

REPORT = Path(__file__).parents[2] / "examples" / "report.py"


def a_port_where_nobody_listens() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("how", ["return", "sigkill"])
def test_a_collector_that_comes_up_afterwards_gets_everything(tmp_path: Path, how: str) -> None:
    port = a_port_where_nobody_listens()
    scenario = Scenario(side=Side.WITH, row="gather", calls=3, how=how)
    with ProviderProcess(ledger_path=tmp_path / "ledger.jsonl") as provider:
        stage = Stage(
            script=REPORT,
            folder=tmp_path,
            collector_url=f"http://127.0.0.1:{port}",
            provider_url=provider.url,
        )

        exit_code = ColdLane(stage).run(scenario)
        with CollectorProcess(tmp_path / "data", port=port) as collector:
            drain = [sys.executable, "-m", "everyspan.cli.main", "drain"]
            subprocess.run(drain, env=stage.environment(), check=True, capture_output=True, timeout=60)
            found = check(
                Ended(scenario=scenario, exit_code=exit_code, took_s=0),
                collector=Collector(url=collector.url),
                parents=stage.parents_path(scenario),
                bill=read_ledger(tmp_path / "ledger.jsonl").of(scenario.api_key),
            )

    assert (found.calls, found.stored, found.below_parent, found.once) == (3, 3, 3, 3)
    assert found.cost == found.owed > 0
    assert found.verdict == "complete"
