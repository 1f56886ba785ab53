"""The lists and sums of the page over a large store, as a browser asks for them: over HTTP, from `everyspan serve`.

    python -m benchmarks.dashboard [--spans 1000000] [--rounds 20] [--data-dir DIR]

The spans are those of `benchmarks.store_scale` with short texts, because no list reads a text; a directory that is
given is kept and used again. Each question is asked once unmeasured and then in rounds, all questions by turns.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path
from urllib.parse import urlencode

from benchmarks.page import quantile, rss_mib, serving
from benchmarks.store_scale import _DAY_NS, _DAYS, _START_NS, spans
from everyspan.model.ids import Seq
from everyspan.store.reads import WriterFilter
from everyspan.store.rows import Numbers
from everyspan.store.store import open_store

_BATCH = 5000
_LAST_DAY = str(_START_NS + (_DAYS - 1) * _DAY_NS)
_LISTS = {
    "no filter": {},
    "a service": {"service": "service 3"},
    "a model": {"model": "gpt-5"},
    "a user": {"user": "user 77"},
    "errors": {"errors": "yes"},
    "tag, environment, provider": {"tag": "team-3", "environment": "staging", "provider": "openai"},
    "a cost that none has": {"min_cost": "1"},
    "longer than any": {"min_duration_ns": str(10**18)},
    "words": {"text": "badum kesa"},
    "the last day, a user": {"since_ns": _LAST_DAY, "user": "user 77"},
}
_DASHBOARD = ({"by": "model"}, {"by": "day"}, {"by": "model", "each": "day"})
"""What the cost page asks at once."""


def fill(path: Path, count: int) -> None:
    """Make the store, unless it is there."""
    if path.exists():
        return
    store, rows = open_store(path), spans(count)
    while batch := list(islice(rows, _BATCH)):
        store.insert(
            [replace(row, input=row.input[:160], output=row.output[:90], attributes="{}") for row in batch]
        )
    # The calls began, too: without that, every other number of a writer would be missing.
    begun = [
        Numbers(
            project="default",
            writer=each.writer,
            first=Seq(1),
            last=Seq(each.received[-1][1]),
            reason="start",
        )
        for each in store.writers(WriterFilter())
    ]
    store.insert([], begun)
    store.close()


def ask(url: str, path: str, said: dict[str, str]) -> float:
    """Milliseconds to the last byte of an answer."""
    began = time.perf_counter()
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{urlencode(said)}") as answer:
        answer.read()
    return (time.perf_counter() - began) * 1000


def questions() -> dict[str, tuple[tuple[str, dict[str, str]], ...]]:
    """By name: what is asked one after the other, and timed together."""
    asked: dict[str, tuple[tuple[str, dict[str, str]], ...]] = {
        f"list, {name}": (("traces", {**said, "limit": "60"}),) for name, said in _LISTS.items()
    }
    asked |= {
        f"totals, {name}": (("traces/totals", _LISTS[name]),)
        for name in ("no filter", "a service", "errors", "tag, environment, provider", "words")
    }
    for by in ("model", "user", "tag"):
        said = [{**each, **({"by": by} if each["by"] == "model" else {})} for each in _DASHBOARD]
        asked[f"cost page by {by}"] = tuple(("costs", each) for each in said)
    asked["cost page by model, since a moment"] = tuple(
        ("costs", {**each, "since_ns": str(_START_NS + 12_345)}) for each in _DASHBOARD
    )
    return asked | {
        "sessions": (("groups", {"by": "session", "limit": "60"}),),
        "latency page by model": (
            ("latency", {"by": "model"}),
            ("latency", {"by": "model", "each": "day"}),
        ),
        "completeness": (("completeness", {"brief": "yes"}),),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--spans", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--data-dir", type=Path)
    options = parser.parse_args()
    with ExitStack() as opened:
        folder = options.data_dir or Path(opened.enter_context(tempfile.TemporaryDirectory()))
        fill(folder / "spans.db", options.spans)
        url, answer_s, server = opened.enter_context(serving(folder))
        print(f"serve to first answer {answer_s * 1000:.0f} ms, resident {rss_mib(server.pid):.0f} MiB")
        asked, times = questions(), dict[str, list[float]]()
        for round_ in range(options.rounds + 1):
            for name, steps in asked.items():
                took = sum(ask(url, path, said) for path, said in steps)
                if round_:
                    times.setdefault(name, []).append(took)
        print(f"{'milliseconds':38} {'least':>7} {'p50':>7} {'p95':>7}")
        for name, values in times.items():
            print(f"{name:38} {min(values):7.0f} {quantile(values, 0.5):7.0f} {quantile(values, 0.95):7.0f}")
        print(f"resident afterwards {rss_mib(server.pid):.0f} MiB, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
