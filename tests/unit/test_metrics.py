"""The numbers of a process as OpenTelemetry metrics, read by the real SDK in a process of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from everyspan.testing.sink import Sink

COLLECT = """
import json, os, sys
import everyspan
from everyspan.record.tally import TALLY

def a_meter_provider():
    from opentelemetry import metrics
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader]))
    return reader

def spans(count):
    for number in range(count):
        with everyspan.span(f"step {number}"):
            pass

def collected(reader):
    found = {}
    data = reader.get_metrics_data()
    for scope in (scope for each in data.resource_metrics for scope in each.scope_metrics) if data else ():
        for metric in scope.metrics if scope.scope.name == "everyspan" else ():
            found[metric.name] = {
                "unit": metric.unit,
                "monotonic": metric.data.is_monotonic,
                "points": [[dict(point.attributes), point.value] for point in metric.data.data_points],
            }
    return found
"""

BEFORE = COLLECT + "reader = a_meter_provider()\neveryspan.init()\nspans(3)\neveryspan.flush(10)\n"
AFTER = COLLECT + "everyspan.init()\nspans(3)\neveryspan.flush(10)\nreader = a_meter_provider()\n"


def collect(code: str, spool: Path, url: str) -> Any:
    """What the program `code` prints as JSON at its end."""
    environ = {
        "PATH": os.environ["PATH"],
        "EVERYSPAN_SPOOL_DIR": str(spool),
        "EVERYSPAN_ENDPOINT": url,
        "EVERYSPAN_EXIT_TIMEOUT": "0",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, env=environ, check=True
    )
    return json.loads(done.stdout)


def counts(found: dict[str, Any], url: str) -> dict[str, int]:
    """The spans of one destination by what became of them."""
    where = {"everyspan.destination": url if url.endswith("/v1/traces") else f"{url}/v1/traces"}
    return {
        name.removeprefix("everyspan.spans."): value
        for name, metric in found.items()
        for attributes, value in metric["points"]
        if attributes == where
    }


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as opened:
        yield opened


@pytest.mark.parametrize("program", [BEFORE, AFTER], ids=["provider first", "init first"])
def test_a_meter_provider_gets_the_numbers_of_a_receipt_whenever_it_is_set(
    program: str, sink: Sink, tmp_path: Path
) -> None:
    found = collect(program + "print(json.dumps(collected(reader)))", tmp_path, sink.url)

    assert counts(found, sink.url) == {
        "recorded": 3,
        "delivered": 3,
        "pending": 0,
        "set_aside": 0,
        "dropped": 0,
    }
    assert {metric["unit"] for metric in found.values()} == {"{span}"}


def test_what_can_shrink_is_no_counter(sink: Sink, tmp_path: Path) -> None:
    found = collect(BEFORE + "print(json.dumps(collected(reader)))", tmp_path, sink.url)

    grows = {name.rpartition(".")[2]: metric["monotonic"] for name, metric in found.items()}
    assert grows == {
        "recorded": True,
        "delivered": True,
        "pending": False,
        "set_aside": True,
        "dropped": False,
        "shed": True,
    }


def test_spans_whose_texts_were_left_out_are_counted(sink: Sink, tmp_path: Path) -> None:
    found = collect(
        BEFORE + "TALLY.shed = 4\nprint(json.dumps(collected(reader)))",
        tmp_path,
        sink.url,
    )

    assert found["everyspan.spans.shed"]["points"] == [[{}, 4]]


def test_what_waits_and_what_was_refused_are_told_apart(sink: Sink, tmp_path: Path) -> None:
    sink.refuse_when(lambda span: span.name == "step 1")
    found = collect(BEFORE + "print(json.dumps(collected(reader)))", tmp_path, sink.url)

    assert counts(found, sink.url) == {
        "recorded": 3,
        "delivered": 2,
        "pending": 0,
        "set_aside": 1,
        "dropped": 0,
    }


def test_where_nobody_answers_all_of_it_is_pending(tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"

        found = collect(BEFORE + "print(json.dumps(collected(reader)))", tmp_path, url)

    assert counts(found, url)["pending"] == counts(found, url)["recorded"] == 3


def test_a_fault_of_ours_is_counted_by_place_and_kind(sink: Sink, tmp_path: Path) -> None:
    program = BEFORE + (
        "TALLY.fault('record a span', ValueError('x'))\n"
        "TALLY.fault('record a span', ValueError('y'))\n"
        "print(json.dumps(collected(reader)))"
    )

    found = collect(program, tmp_path, sink.url)["everyspan.faults"]

    assert (found["unit"], found["monotonic"]) == ("{fault}", True)
    assert found["points"] == [[{"everyspan.place": "record a span", "error.type": "ValueError"}, 2]]


def test_a_forked_child_counts_its_own_spans_only(sink: Sink, tmp_path: Path) -> None:
    program = BEFORE + (
        "TALLY.shed = TALLY.disowned = 7\n"
        "if os.fork() == 0:\n"
        "    spans(2)\n"
        "    everyspan.flush(10)\n"
        "    print(json.dumps({**collected(reader), 'calls': everyspan.stats()['calls']}), flush=True)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
    )

    found = collect(program, tmp_path, sink.url)
    calls = found.pop("calls")

    assert (counts(found, sink.url)["recorded"], counts(found, sink.url)["delivered"]) == (2, 2)
    assert (calls["shed"], calls["disowned"]) == (0, 0)


def test_without_a_meter_provider_no_metrics_sdk_is_loaded(sink: Sink, tmp_path: Path) -> None:
    program = COLLECT + (
        "everyspan.init()\nspans(1)\n"
        "print(json.dumps(sorted(name for name in sys.modules if 'sdk.metrics' in name)))"
    )

    assert collect(program, tmp_path, sink.url) == []
