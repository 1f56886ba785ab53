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
    "test_the_order_of_arrival_changes_nothing",
    "test_hundreds_of_spans_of_a_trace_come_to_the_same_in_any_order",
    "test_a_stored_answer_that_is_handed_out_again_and_again_is_billed_once",
    "test_an_observation_and_its_later_changes_are_one_row_whatever_their_order",
)
"""Many inserts for what is a pure function of the rows. SQLite runs them, and by hand
`EVERYSPAN_TEST_CLICKHOUSE=chdb pytest tests/contract/test_store_bills.py`."""
CONTRACT = (
    (
        *(
            "store_reads",
            "store_questions",
            "store_scores",
            "store_exactly_once",
            "store_twins",
            "store_http",
        ),
        *("store_daily", "collector_replay"),
    ),
    (
        *("store_bills", "store_upkeep", "store_served", "store_media", "store_measures", "cost_reprice"),
        "store_summaries",
        "cost_repriced_groups",
        *("langfuse_endpoints", "langfuse_media", "langfuse_filters", "langfuse_lists", "langfuse_metrics"),
        "langfuse_daily",
    ),
)
"""Two processes' work, of about the same length."""


@pytest.mark.timeout(600)
def test_the_embedded_engine_keeps_the_contract_unchanged(tmp_path: Path) -> None:
    pytest.importorskip("chdb", reason="the extra everyspan[chdb] is not installed")
    without = " and ".join(f"not {name}" for name in MINUTES_LONG)
    pytest_ = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", without]

    running = []
    for number, names in enumerate(CONTRACT):
        said = (tmp_path / f"{number}.txt").open("w+")
        files = [str(HERE / f"test_{name}.py") for name in names]
        environment = {**os.environ, "EVERYSPAN_TEST_CLICKHOUSE": "chdb"}
        process = subprocess.Popen(
            [*pytest_, *files], cwd=HERE.parents[1], env=environment, stdout=said, stderr=said
        )
        running.append((process, said))

    try:
        for process, said in running:
            assert process.wait() == 0, Path(said.name).read_text()[-8000:]
    finally:
        for process, said in running:
            process.kill()
            process.wait()
            said.close()
