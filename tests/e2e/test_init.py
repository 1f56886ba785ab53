"""`everyspan.init()` in programs that have OpenTelemetry plans of their own."""

from __future__ import annotations

import json
from pathlib import Path

from everyspan.testing.sink import Sink
from tests.programs import run_program


def test_a_provider_set_after_init_becomes_the_global_one_and_its_spans_are_recorded(tmp_path: Path) -> None:
    program = """
import everyspan
everyspan.init()
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
mine = TracerProvider()
trace.set_tracer_provider(mine)
with trace.get_tracer("shop").start_as_current_span("checkout"), everyspan.span("inside"):
    pass
print(trace.get_tracer_provider() is mine)
everyspan.flush()
"""
    with Sink() as sink:
        printed = run_program(program, spool=tmp_path, environment={"EVERYSPAN_ENDPOINT": sink.url})
        spans = {span.name: span for span in sink.spans}

    assert printed.strip() == "True"
    assert spans["inside"].parent_id == spans["checkout"].span_id
    assert spans["checkout"].scope == "shop"


def test_spans_of_a_seeded_program_have_ids_that_no_other_run_has(tmp_path: Path) -> None:
    program = """
import random, everyspan
random.seed(42)
with everyspan.span("seeded"):
    pass
everyspan.flush()
"""
    with Sink() as sink:
        for _ in range(2):
            run_program(program, spool=tmp_path, environment={"EVERYSPAN_ENDPOINT": sink.url})
        first, second = sink.spans

    assert (first.trace_id, first.span_id) != (second.trace_id, second.span_id)


def test_without_anything_configured_the_spool_keeps_the_spans_and_says_where(tmp_path: Path) -> None:
    program = """
import everyspan, json, logging
from everyspan import settings
with everyspan.span("kept"):
    pass
receipt = everyspan.flush(5)
print(json.dumps([receipt.recorded, receipt.pending, receipt.delivered]))
"""
    # Nobody listens on the discard port.
    printed = run_program(program, spool=tmp_path, environment={"EVERYSPAN_ENDPOINT": "http://127.0.0.1:9"})

    assert json.loads(printed) == [1, 1, 0]


def test_a_faulty_setting_is_named_in_the_error(tmp_path: Path) -> None:
    program = """
import everyspan
try:
    everyspan.init("localhost:4319")
except everyspan.EveryspanError as error:
    print(error)
"""
    assert "localhost:4319" in run_program(program, spool=tmp_path)


def test_a_span_that_ends_after_shutdown_is_still_recorded(tmp_path: Path) -> None:
    program = """
import everyspan
span = everyspan.span("late")
entered = span.__enter__()
everyspan.shutdown()
span.__exit__(None, None, None)
"""
    with Sink() as sink:
        run_program(program, spool=tmp_path, environment={"EVERYSPAN_ENDPOINT": sink.url})

        assert [span.name for span in sink.spans] == ["late"]


def test_two_destinations_each_get_every_span(tmp_path: Path) -> None:
    program = """
import everyspan, os
everyspan.init(os.environ["FIRST"])
everyspan.init(os.environ["SECOND"])
with everyspan.span("both"):
    pass
print(everyspan.flush())
"""
    with Sink() as first, Sink() as second:
        printed = run_program(program, spool=tmp_path, environment={"FIRST": first.url, "SECOND": second.url})

        everything = "1 of 1 spans delivered, 0 pending, 0 set aside, 0 dropped"
        assert printed.splitlines() == [f"{first.url}: {everything}", f"{second.url}: {everything}"]
        assert [span.name for span in first.spans] == [span.name for span in second.spans] == ["both"]
