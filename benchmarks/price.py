"""What it takes to price a call and to load the table, against genai-prices and litellm in the same run.

    python -m benchmarks.price [--calls 20000] [--rounds 7] [--without-litellm]

CPU time of one call, the least of some rounds by turns; the table and the libraries in fresh interpreters, CPU time and
resident size less those of an empty one.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import genai_prices

from benchmarks.import_time import run
from everyspan.cost.price import Purchase, price
from everyspan.cost.table import Table
from everyspan.model.usage import Usage

NOW_NS = 1_795_000_000 * 10**9  # 2026-11-18
NOW = datetime.fromtimestamp(NOW_NS // 10**9, UTC)
PLAIN = {"input_tokens": 1_000, "output_tokens": 100}
DETAILED = {**PLAIN, "cache_read_tokens": 600, "reasoning_tokens": 20}
MODELS = ("gpt-4o", "claude-haiku-4-5", "gemini-2.5-pro")

LOADS = {
    "empty": "pass",
    "decimal, json": "import decimal, json, dataclasses, functools, re, enum, datetime, pathlib",
    "everyspan's table": "from everyspan.cost.price import shipped_table\n"
    "shipped_table().find(model='gpt-4o', at_ns=1)",
    "genai-prices": "import genai_prices; genai_prices.calc_price("
    "genai_prices.Usage(input_tokens=1, output_tokens=1), 'gpt-4o', provider_id='openai')",
}
LITELLM_LOAD = {"litellm": "import litellm; litellm.cost_per_token('gpt-4o', 1, 1)"}


def ours(model: str, counts: dict[str, int]) -> Decimal:
    """Our amount."""
    total = price(Purchase(usage=Usage(**counts), model=model, at_ns=NOW_NS)).total  # type: ignore[arg-type]
    assert total is not None
    return total


def genai(model: str, counts: dict[str, int]) -> Any:
    """genai-prices' amount."""
    names = {"reasoning_tokens": "output_reasoning_tokens"}
    usage = genai_prices.Usage(**{names.get(name, name): count for name, count in counts.items()})
    return genai_prices.calc_price(usage, model, genai_request_timestamp=NOW).total_price


def litellm_way() -> Callable[[str, dict[str, int]], Any]:
    """litellm's amount, from its own usage object."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    def cost(model: str, counts: dict[str, int]) -> Any:
        usage = litellm.Usage(
            prompt_tokens=counts["input_tokens"],
            completion_tokens=counts["output_tokens"],
            total_tokens=counts["input_tokens"] + counts["output_tokens"],
            prompt_tokens_details={"cached_tokens": counts.get("cache_read_tokens", 0)},
            completion_tokens_details={"reasoning_tokens": counts.get("reasoning_tokens", 0)},
        )
        return sum(litellm.cost_per_token(model, usage_object=usage))

    return cost


def least_us(work: Callable[[], object], calls: int) -> float:
    """Microseconds of CPU for one call."""
    started = time.process_time_ns()
    for _ in range(calls):
        work()
    return (time.process_time_ns() - started) / calls / 1000


def of_calls(ways: dict[str, Callable[[str, dict[str, int]], Any]], calls: int, rounds: int) -> None:
    """Print the microseconds of a call by way and usage; the usage is made anew each time, as in a program."""
    print(f"{'CPU us of a call':24} {'two totals':>12} {'cached, reasoning':>18}")
    for name, way in ways.items():
        best = []
        for counts in (PLAIN, DETAILED):
            few = calls if name.startswith("everyspan") else max(calls // 50, 50)
            for model in MODELS:
                way(model, counts)  # seen before
            figures = [least_us(partial(way, model, counts), few) for model in MODELS for _ in range(rounds)]
            best.append(min(figures))
        print(f"{name:24} {best[0]:12.2f} {best[1]:18.2f}")


def of_price_alone(calls: int, rounds: int) -> None:
    """The same without making usage and purchase: what `price` itself takes."""
    best = []
    for counts in (PLAIN, DETAILED):
        purchase = Purchase(usage=Usage(**counts), model="gpt-4o", at_ns=NOW_NS)  # type: ignore[arg-type]
        best.append(min(least_us(partial(price, purchase), calls) for _ in range(rounds)))
    print(f"{'everyspan, price() alone':24} {best[0]:12.2f} {best[1]:18.2f}")


def of_loading(statements: dict[str, str], runs: int) -> None:
    """Print what loading costs a process."""
    with tempfile.TemporaryDirectory() as spool:
        figures = {name: [run(each, spool) for _ in range(runs + 1)][1:] for name, each in statements.items()}
    base_ms, base_mib = (statistics.median(each[index] for each in figures["empty"]) for index in (0, 1))
    print(f"{'load and find a model':24} {'CPU ms':>12} {'MiB':>18}")
    for name in list(statements)[1:]:
        own = [statistics.median(each[index] for each in figures[name]) for index in (0, 1)]
        print(f"{name:24} {own[0] - base_ms:12.0f} {own[1] - base_mib:18.1f}")


def of_the_table(rounds: int) -> None:
    """Print what reading the table takes in a process that has its modules."""
    best = []
    for _ in range(rounds):
        re.purge()
        started = time.process_time_ns()
        Table.load()
        best.append((time.process_time_ns() - started) / 1e6)
    print(f"{'reading the table alone':24} {min(best):12.1f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--without-litellm", action="store_true")
    asked = parser.parse_args()
    ways: dict[str, Callable[[str, dict[str, int]], Any]] = {"everyspan": ours, "genai-prices": genai}
    loads = dict(LOADS)
    if not asked.without_litellm:
        ways["litellm"] = litellm_way()
        loads |= LITELLM_LOAD
    of_calls(ways, asked.calls, asked.rounds)
    of_price_alone(asked.calls, asked.rounds)
    of_the_table(asked.rounds)
    of_loading(loads, min(asked.rounds, 5))


if __name__ == "__main__":
    main()
