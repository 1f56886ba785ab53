"""What repricing stored calls takes: a dry run, and one that writes another cost for every call.

    python -m benchmarks.reprice [--calls 1000000]

In a store of its own in a temporary directory; the calls have three kinds of tokens and three models.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import closing
from decimal import Decimal
from pathlib import Path

from everyspan.cost.table import Table
from everyspan.model.money import CostState
from everyspan.model.usage import Usage
from everyspan.query.costs import CostBy, CostFilter, costs
from everyspan.query.repricing import reprice
from everyspan.store.reads import Prices
from everyspan.store.repricing import repricer
from everyspan.store.rows import SpanRow
from everyspan.store.store import Store, open_store

START_NS = 1_790_000_000 * 10**9
MODELS = ("gpt-4o", "claude-haiku-4-5", "gemini-2.5-flash")
AT_ONCE = 5000


def made(number: int) -> SpanRow:
    """A call that was recorded a cent too dear."""
    start_ns = START_NS + number * 1_000_000
    return SpanRow(
        project="default",
        key=f"h:{number}",
        trace_id=f"{number // 10 + 1:032x}",
        span_id=f"{number + 1:016x}",
        parent_id=None,
        name="chat",
        kind="generation",
        start_ns=start_ns,
        end_ns=start_ns + 1000,
        provider="",
        model=MODELS[number % len(MODELS)],
        usage=Usage(input_tokens=1000 + number % 100, output_tokens=100, cache_read_tokens=10),
        cost_state=CostState.COMPUTED,
        cost=Decimal("0.01"),
        received_ns=start_ns,
    )


def timed(what: str, calls: int, store: Store, *, write: bool) -> None:
    """Print what one run takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    outcome = reprice(repricer(store), Table.load(), CostFilter(), write=write)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(
        f"{what:10} {outcome.changed:>10,} of {calls:,} changed: {wall:7.1f} s, {cpu:7.1f} s of CPU, "
        f"{1e6 * cpu / calls:.0f} us of CPU a call"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=1_000_000)
    calls = parser.parse_args().calls
    with tempfile.TemporaryDirectory() as folder, closing(open_store(Path(folder) / "spans.db")) as store:
        for first in range(0, calls, AT_ONCE):
            store.insert([made(number) for number in range(first, min(first + AT_ONCE, calls))])
            print(f"\r{first + AT_ONCE:,} of {calls:,} stored", end="", file=sys.stderr)
        print(file=sys.stderr)
        timed("dry run", calls, store, write=False)
        timed("written", calls, store, write=True)
        for prices in Prices:
            began = time.perf_counter()
            total = costs(store, by=CostBy.MODEL, wanted=CostFilter(prices=prices)).total.cost
            print(f"sum at {prices.value} costs: ${total} in {time.perf_counter() - began:.3f} s")


if __name__ == "__main__":
    main()
