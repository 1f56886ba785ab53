"""How a store answers when it is large: insert rate, bytes for each span, and each question's time.

    python -m benchmarks.store_scale [--spans 100000 1000000] [--store sqlite chdb] [--rounds 20] [--directory DIR]

Spans of about 2 KB in traces of five, over 30 days, by 500 users of 20 services. Each store is made and asked in a
process of its own, in a temporary directory, or below DIR, where it is kept and found again. Times are milliseconds, of
one process that has the store open; `first` is the first answer after opening it. In the end: what was aimed at, and
how it grows with the number of spans.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path

from benchmarks.page import quantile
from everyspan.model.ids import Seq, WriterId
from everyspan.model.money import CostState
from everyspan.model.usage import Usage
from everyspan.query.completeness import audit
from everyspan.store.groups import Each, GroupFilter, GroupOrder, LatencyBy, LatencyFilter, TraceBy
from everyspan.store.reads import CostBy, CostFilter, TraceFilter, WriterFilter
from everyspan.store.rows import Numbers, SpanRow
from everyspan.store.store import Store, open_store

_DAY_NS = 86_400 * 10**9
_START_NS = 20_600 * _DAY_NS
_DAYS = 30
_IN_TRACE = 5
_WRITERS = 50
_MODELS = ("gpt-5", "gpt-5-mini", "claude-opus-4", "gemini-3-pro", "mistral-large")
_BATCH = {"sqlite": 1000, "chdb": 10_000}
"""Spans in one insert: each is a part on disk for ClickHouse, which merges them, and waits when they are many."""
_WORDS = [
    f"{a}{b}{c}"
    for a in ("ba", "ke", "lo", "mi", "ru", "sta", "ve")
    for b in "dnrst"
    for c in ("a", "os", "um")
]


@dataclass(frozen=True)
class Measured:
    """One store of one size."""

    name: str
    count: int
    bytes_each: float
    insert_cpu_us: float | None
    """Of each span; None for a store that was there already."""
    peak_mib: int
    times_ms: dict[str, list[float]]
    """By question, the first answer left out."""

    def p95_ms(self, *beginnings: str) -> float:
        """Of all questions whose name begins like that, the slowest one's."""
        return max(
            quantile(values, 0.95) for name, values in self.times_ms.items() if name.startswith(beginnings)
        )


_TARGETS: tuple[tuple[str, float, Callable[[Measured], float]], ...] = (
    ("trace by id, p95 ms", 20, lambda found: found.p95_ms("trace by id")),
    ("list with any filter, p95 ms", 100, lambda found: found.p95_ms("list: ")),
    ("cost by model and day, p95 ms", 200, lambda found: found.p95_ms("cost by model, each day")),
    ("text search, p95 ms", 1000, lambda found: found.p95_ms("search: ")),
    ("audit, p95 ms", 200, lambda found: found.p95_ms("audit")),
    ("all the latency page asks, p95 ms", 500, lambda found: found.p95_ms("latency page")),
    ("bytes a span on disk", 1300, lambda found: found.bytes_each),
)


def main() -> None:
    """Fill stores, ask them, print what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--spans", type=int, nargs="+", default=[100_000])
    parser.add_argument("--store", choices=tuple(_BATCH), nargs="+", default=["sqlite"])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--directory", type=Path)
    options = parser.parse_args()
    with ExitStack() as opened:
        folder = options.directory or Path(
            opened.enter_context(tempfile.TemporaryDirectory(prefix="everyspan-bench-"))
        )
        # One process for each: the peak of memory is its own, and ClickHouse's engine opens one store in a process.
        pool = opened.enter_context(ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1))
        found = [
            pool.submit(measure, folder / f"{name}-{count}", name, count, options.rounds).result()
            for name in options.store
            for count in options.spans
        ]
    print()
    print(f"{'':36} {'target':>7}", *(f"{each.name} {each.count:,}".rjust(18) for each in found))
    for what, target, of in _TARGETS:
        print(f"{what:36} {target:7}", *(f"{of(each):18.1f}" for each in found))
    cpu = ("-" if each.insert_cpu_us is None else f"{each.insert_cpu_us:.0f}" for each in found)
    print(f"{'insert, us of CPU a span':36} {'':>7}", *(text.rjust(18) for text in cpu))
    print(f"{'peak memory, MiB':36} {'':>7}", *(f"{each.peak_mib:18}" for each in found))
    print(f"load {os.getloadavg()[0]:.1f}")


def measure(folder: Path, name: str, count: int, rounds: int) -> Measured:
    """One store, made unless it is there, and asked."""
    address = f"{name}:///{folder}/store"
    made = folder / "made"
    cpu_s = None
    if not made.exists():
        # One that was left half made is made anew.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        store = open_store(address)
        cpu_s = fill(store, count, batch=_BATCH[name])
        store.close()
        made.touch()
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"\n{name}, {count} spans: {size / count:.0f} bytes each ({size >> 20} MiB)")
    print(f"{'milliseconds':44} {'first':>8} {'least':>8} {'p50':>8} {'p95':>8}  rows", flush=True)
    times: dict[str, list[float]] = {}
    for question, ask in questions(count).items():
        store = open_store(address)
        values = times[question] = []
        for _ in range(rounds + 1):
            began = time.perf_counter()
            answer = ask(store)
            values.append(1000 * (time.perf_counter() - began))
        store.close()
        first = values.pop(0)
        row = (first, min(values), quantile(values, 0.5), quantile(values, 0.95))
        rows = len(answer) if isinstance(answer, (list, tuple)) else 1
        print(f"{question:44}", *(f"{value:8.1f}" for value in row), f" {rows}", flush=True)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"peak memory {peak_mib} MiB", flush=True)
    cpu_us = None if cpu_s is None else 1e6 * cpu_s / count
    return Measured(name, count, size / count, cpu_us, peak_mib, times)


def fill(store: Store, count: int, *, batch: int) -> float:
    """Insert the spans in the order in which they end, so many at once; returns the seconds of CPU it took."""
    made = spans(count)
    inserting_s = cpu_s = 0.0
    while rows := list(islice(made, batch)):
        begins = [
            Numbers(
                project=row.project, writer=row.writer, first=row.seq, last=Seq(row.seq + 1), reason="start"
            )
            for row in rows
            if row.writer and row.seq
        ]
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        store.insert(rows, begins)
        inserting_s += time.perf_counter() - began_s
        cpu_s += time.process_time() - began_cpu_s
    print(
        f"\n{count} spans in batches of {batch}: {count / inserting_s:.0f} spans/s,"
        f" {1e6 * cpu_s / count:.0f} us CPU each",
        flush=True,
    )
    return cpu_s


def spans(count: int) -> Iterator[SpanRow]:
    """Calls of models under a root, with a prompt of a few sentences; one trace in a hundred fails."""
    chance = random.Random(1)
    step_ns = _DAYS * _DAY_NS // count
    seqs = [0] * _WRITERS
    for number in range(count):
        trace, place = divmod(number, _IN_TRACE)
        root = place == _IN_TRACE - 1  # children end before their parents
        writer = trace % _WRITERS
        seqs[writer] += 2
        start_ns = _START_NS + number * step_ns
        length_ns = int(chance.lognormvariate(0.5, 0.8) * 1e9)
        yield SpanRow(
            project="default",
            key=f"w:{writer:07}-benchmark0000:{seqs[writer]}",
            trace_id=f"{trace * 2654435761 % (1 << 64):032x}",
            span_id=f"{number:016x}",
            parent_id=None if root else f"{trace * _IN_TRACE + _IN_TRACE - 1:016x}",
            writer=WriterId(f"{writer:07}-benchmark0000"),
            seq=Seq(seqs[writer]),
            name=f"answer {trace % 30}" if root else "chat",
            kind="chain" if root else "generation",
            service=f"service {trace % 20}",
            start_ns=start_ns,
            end_ns=start_ns + length_ns,
            status="error" if trace % 100 == 0 else "ok",
            end="complete",
            provider="" if root else ("openai", "anthropic")[trace % 2],
            model="" if root else _MODELS[number % len(_MODELS)],
            response_id="" if root else f"resp_{number:024x}",
            user=f"user {chance.randrange(500)}" if root else "",
            session=f"session {trace // 4}" if root else "",
            environment=("production", "staging")[trace % 10 == 0],
            tags=(f"team-{trace % 7}", *(("rare",) if trace % 5000 == 0 else ())) if root else (),
            first_token_ns=None if root else length_ns // 4,
            usage=Usage() if root else Usage(input_tokens=900 + number % 100, output_tokens=200),
            cost_state=None if root else CostState.COMPUTED,
            cost=None if root else Decimal(900 + number % 100) * Decimal("0.00000125"),
            attributes=json.dumps({"host": f"node-{writer}", "pid": writer, "run": f"{trace:x}"}),
            input=json.dumps([{"role": "user", "content": _sentences(chance, 160, trace)}]),
            output=json.dumps([{"role": "assistant", "content": _sentences(chance, 80, trace)}]),
            received_ns=start_ns + length_ns,
        )


def _sentences(chance: random.Random, words: int, trace: int) -> str:
    rare = [f"case{trace}"] if trace % 10 == 0 else []
    return " ".join([*chance.choices(_WORDS, k=words), *rare])


def _list(wanted: TraceFilter, store: Store) -> object:
    return store.list_traces(wanted)


def _totals(wanted: TraceFilter, store: Store) -> object:
    return store.trace_totals(wanted)


def questions(count: int) -> dict[str, Callable[[Store], object]]:
    """By name; the filters fit many, some and few traces."""
    last_day = _START_NS + (_DAYS - 1) * _DAY_NS
    traces = count // _IN_TRACE
    # Another trace each time, from all over the store.
    ids = cycle([f"{traces * place // 20 * 2654435761 % (1 << 64):032x}" for place in range(20)])
    filters = {
        "nothing": TraceFilter(project="default"),
        "a service": TraceFilter(project="default", service="service 3"),
        "a model": TraceFilter(project="default", model="gpt-5"),
        "a user": TraceFilter(project="default", user="user 77"),
        "a rare tag": TraceFilter(project="default", tag="rare"),
        "environment, tag and provider": TraceFilter(
            project="default", environment="staging", tag="team-3", provider="openai"
        ),
        "errors": TraceFilter(project="default", with_errors=True),
        "cost that no trace has": TraceFilter(project="default", min_cost=Decimal(1)),
        "duration that few have": TraceFilter(project="default", min_duration_ns=4 * 10**12),
        "service and cost that no trace has": TraceFilter(
            project="default", service="service 3", min_cost=Decimal(1)
        ),
        "the last day": TraceFilter(project="default", since_ns=last_day),
        "the last day, a user": TraceFilter(project="default", since_ns=last_day, user="user 77"),
    }
    searches = {
        "a common word": TraceFilter(project="default", text="badum"),
        "three common words": TraceFilter(project="default", text="badum kesa lotos"),
        "a rare word": TraceFilter(project="default", text=f"case{traces // 10 // 2 * 10}"),
    }
    asked: dict[str, Callable[[Store], object]] = {
        f"list: {name}": partial(_list, wanted) for name, wanted in filters.items()
    }
    asked |= {f"search: {name}": partial(_list, wanted) for name, wanted in searches.items()}
    asked |= {
        f"totals: {name}": partial(_totals, (filters | searches)[name])
        for name in ("nothing", "a service", "errors", "a common word", "the last day")
    }
    return asked | {
        "trace by id": lambda store: store.read_trace(next(ids), project="default"),
        "cost by model": lambda store: store.cost_groups(CostBy.MODEL, CostFilter()),
        "cost by model, each day": lambda store: store.cost_groups(CostBy.MODEL, CostFilter(), each=Each.DAY),
        "cost by tag": lambda store: store.cost_groups(CostBy.TAG, CostFilter()),
        "cost by user": lambda store: store.cost_groups(CostBy.USER, CostFilter()),
        "latency by model, each hour, 7 days": lambda store: store.latency_groups(
            LatencyBy.MODEL, LatencyFilter(since_ns=_START_NS + 23 * _DAY_NS), each=Each.HOUR
        ),
        "latency page": lambda store: (
            store.latency_groups(LatencyBy.MODEL, LatencyFilter(project="default")),
            store.latency_groups(LatencyBy.MODEL, LatencyFilter(project="default"), each=Each.DAY),
        ),
        "users, dearest first": lambda store: store.trace_groups(
            TraceBy.USER, GroupFilter(project="default", order=GroupOrder.DEAREST)
        ),
        "sessions, latest first": lambda store: store.trace_groups(
            TraceBy.SESSION, GroupFilter(project="default")
        ),
        "audit": lambda store: audit(store, WriterFilter()).writers,
    }


if __name__ == "__main__":
    main()
