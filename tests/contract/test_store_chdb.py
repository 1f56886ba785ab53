"""The contract of a store on ClickHouse's embedded engine, in a process of its own.

The engine takes one directory for each process, and a process that has it must not fork, as other tests do.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MINUTES_LONG = (
    "test_any_order_any_batches_and_redelivery_give_one_answer",
    "test_an_observation_and_its_later_changes_are_one_row_whatever_their_order",
)
"""Many examples of what is a pure function of the rows; SQLite runs them."""
CONTRACT = (
    *("store_reads", "store_questions", "store_scores", "store_exactly_once", "store_twins", "store_bills"),
    *(
        "cost_reprice",
        "store_upkeep",
        "store_served",
        "store_http",
        "store_media",
        "langfuse_endpoints",
        "langfuse_media",
        "langfuse_filters",
        "store_measures",
    ),
)

_WITHOUT = " and ".join(f"not {name}" for name in MINUTES_LONG)


@pytest.mark.timeout(600)
def test_the_embedded_engine_keeps_the_contract_unchanged() -> None:
    pytest.importorskip("chdb", reason="the extra everyspan[chdb] is not installed")
    files = [str(HERE / f"test_{name}.py") for name in CONTRACT]

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", _WITHOUT, *files],
        cwd=HERE.parents[1],
        env={**os.environ, "EVERYSPAN_TEST_CLICKHOUSE": "chdb"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
