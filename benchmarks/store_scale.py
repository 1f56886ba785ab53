"""How a store answers when it is large: insert rate, bytes for each span, and each question's time.

    python -m benchmarks.store_scale [--spans 1000000] [--store sqlite|chdb] [--rounds 7]

Spans of about 2 KB in traces of five, over 30 days, by 500 users of 20 services. The store is made in a temporary
directory and removed. Times are the least and the worst of some rounds, in milliseconds, in one process that had the
store open; `first` is the first answer after opening it.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path

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
_BATCH = 1000
_WORDS = [
    f"{a}{b}{c}"
    for a in ("ba", "ke", "lo", "mi", "ru", "sta", "ve")
    for b in "dnrst"
    for c in ("a", "os", "um")
]


def main() -> None:
    """Fill a store, ask it, print two tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--spans", type=int, default=100_000)
    parser.add_argument("--store", choices=("sqlite", "chdb"), default="sqlite")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="everyspan-bench-") as directory:
        address = f"{options.store}:///{directory}/store"
        store = open_store(address)
        fill(store, options.spans, Path(directory))
        store.close()
        print(f"{'question':44} {'first':>8} {'least':>8} {'worst':>8}  rows")
        for name, ask in questions(options.spans).items():
            store = open_store(address)
            times = []
            for _ in range(options.rounds + 1):
                began = time.perf_counter()
                answer = ask(store)
                times.append(1000 * (time.perf_counter() - began))
            store.close()
            rows = len(answer) if isinstance(answer, (list, tuple)) else 1
            print(
                f"{name:44} {times[0]:8.1f} {min(times[1:]):8.1f} {max(times[1:]):8.1f}  {rows}", flush=True
            )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB")


def fill(store: Store, count: int, directory: Path) -> None:
    """Insert the spans in the order in which they end, a thousand at once."""
    rows = spans(count)
    inserting_s = cpu_s = 0.0
    for _ in range(0, count, _BATCH):
        batch = [next(rows) for _ in range(_BATCH)]
        begins = [
            Numbers(
                project=row.project, writer=row.writer, first=row.seq, last=Seq(row.seq + 1), reason="start"
            )
            for row in batch
            if row.writer and row.seq
        ]
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        store.insert(batch, begins)
        inserting_s += time.perf_counter() - began_s
        cpu_s += time.process_time() - began_cpu_s
    size = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    print(
        f"{count} spans: {count / inserting_s:.0f} spans/s, {1e6 * cpu_s / count:.0f} us CPU each,"
        f" {size / count:.0f} bytes each ({size >> 20} MiB)",
        flush=True,
    )


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
    one = f"{traces // 2 * 2654435761 % (1 << 64):032x}"
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
        "a common word": TraceFilter(project="default", text="badum"),
        "three common words": TraceFilter(project="default", text="badum kesa lotos"),
        "a rare word": TraceFilter(project="default", text=f"case{traces // 10 // 2 * 10}"),
        "the last day": TraceFilter(project="default", since_ns=last_day),
    }
    asked: dict[str, Callable[[Store], object]] = {
        f"list: {name}": partial(_list, wanted) for name, wanted in filters.items()
    }
    asked |= {
        f"totals: {name}": partial(_totals, filters[name])
        for name in ("nothing", "a service", "errors", "a common word", "the last day")
    }
    return asked | {
        "trace by id": lambda store: store.read_trace(one, project="default"),
        "cost by model": lambda store: store.cost_groups(CostBy.MODEL, CostFilter()),
        "cost by model, each day": lambda store: store.cost_groups(CostBy.MODEL, CostFilter(), each=Each.DAY),
        "cost by tag": lambda store: store.cost_groups(CostBy.TAG, CostFilter()),
        "cost by user": lambda store: store.cost_groups(CostBy.USER, CostFilter()),
        "latency by model, each hour, 7 days": lambda store: store.latency_groups(
            LatencyBy.MODEL, LatencyFilter(since_ns=_START_NS + 23 * _DAY_NS), each=Each.HOUR
        ),
        "latency by model": lambda store: store.latency_groups(LatencyBy.MODEL, LatencyFilter()),
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
