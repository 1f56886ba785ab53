"""What tests of recording share: a process-wide everyspan that delivers to a sink, and the spans of one test."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.trace import format_trace_id

import everyspan
from everyspan.testing.received import ReceivedSpan
from everyspan.testing.sink import Sink


class Recording:
    """The spans of one trace, as they arrived at the sink."""

    def __init__(self, sink: Sink, trace_id: str) -> None:
        self._sink = sink
        self.trace_id = trace_id

    def spans(self) -> list[ReceivedSpan]:
        """Everything recorded in this trace so far, in the order of arrival, without the test's own root."""
        _collect_dropped_streams()
        # Other tests of this process may have made Langfuse's client, whose server is gone: it has a part of its own.
        parts = [part for part in everyspan.flush(timeout_s=20).parts if part.destination == self._sink.url]
        assert [part.complete for part in parts] == [True], parts
        return [
            span
            for span in self._sink.spans
            if span.trace_id == self.trace_id and span.name != "the test's own root"
        ]

    def calls(self) -> list[ReceivedSpan]:
        """The LLM calls among them."""
        return [span for span in self.spans() if "gen_ai.operation.name" in span.attributes]

    def only_call(self) -> ReceivedSpan:
        """The one LLM call; fails when there are none or several."""
        (call,) = self.calls()
        return call


def _collect_dropped_streams() -> None:
    """Wait until no call is open: litellm's threads hold a dropped stream for a moment."""
    deadline_s = time.monotonic() + 10
    while everyspan.stats()["calls"]["open"] and time.monotonic() < deadline_s:
        gc.collect()
        time.sleep(0.01)


@contextmanager
def recording(sink: Sink) -> Iterator[Recording]:
    """Everything inside happens in one trace of its own."""
    with everyspan.span("the test's own root") as root:
        yield Recording(sink, format_trace_id(root.get_span_context().trace_id))
