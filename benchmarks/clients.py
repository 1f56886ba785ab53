"""What instrumentations add to a call and to a chunk of a stream: the bare SDK, everyspan and others, side by side.

    make bench-clients [ARGS="--library openai --rounds 20"]

One process for each variant; they take turns, so that a change in the machine's speed meets all of them. The answers
come from a transport inside the process. All deliver to one receiver, a process of its own that only parses. What
the caller waits is reported: of each round the median call, of all rounds the least; for a chunk the slope between a
short and a long stream. CPU is that of the caller's thread, which other work on the machine disturbs less. What is not
installed is left out; `make test-overlaps` has an environment with all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from benchmarks._sink import CountingSink

LIBRARIES = ("openai", "anthropic", "litellm")
VARIANTS = ("bare", "everyspan", "openinference", "openllmetry", "genai", "logfire", "langfuse")
SHORT, LONG = 50, 450
"""Chunks of the two streams."""
ASK: Mapping[str, Any] = {
    "messages": [{"role": "user", "content": "What is a span? " * 12}],
    "max_tokens": 512,
}
TEXT = "A span is one unit of work in a trace. " * 5
_CANNOT = 3
"""Exit code of a child whose variant is not there."""


def instrument(variant: str, library: str) -> None:
    """Switch one variant on.

    Raises:
        ImportError, LookupError: it is not installed, or has nothing for this library.
    """
    if variant == "everyspan":
        import everyspan

        everyspan.init()
    elif variant == "langfuse":
        if library == "anthropic":
            raise LookupError("Langfuse has no wrapper of its own for anthropic")
        if library == "litellm":
            import litellm

            litellm.success_callback = ["langfuse_otel"]
        else:
            __import__("langfuse.openai")
    elif variant == "logfire":
        import logfire  # type: ignore[import-not-found,unused-ignore]

        logfire.configure(send_to_logfire=False, console=False, additional_span_processors=[_exporting()])
        getattr(logfire, f"instrument_{library}")()
    elif variant != "bare":
        _instrumentor(variant, library)().instrument(tracer_provider=_provider())


def _instrumentor(variant: str, library: str) -> Callable[[], Any]:
    package = {
        "openinference": f"openinference.instrumentation.{library}",
        "openllmetry": f"opentelemetry.instrumentation.{library}",
        "genai": f"opentelemetry.instrumentation.genai.{library}",
    }[variant]
    name = {"openai": "OpenAI", "anthropic": "Anthropic", "litellm": "LiteLLM"}[library]
    made: Callable[[], Any] = getattr(__import__(package, fromlist=["x"]), f"{name}Instrumentor")
    return made


def _exporting() -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    return BatchSpanProcessor(OTLPSpanExporter(endpoint=os.environ["AT"]))


def _provider() -> Any:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    provider = TracerProvider()
    provider.add_span_processor(_exporting())
    trace.set_tracer_provider(provider)
    return provider


def caller(library: str) -> Callable[[int], Any]:
    """A call: of a stream with so many chunks, or, for 0, of an answer in one piece."""
    if library == "anthropic":
        import anthropic

        client = anthropic.Anthropic(api_key="k", http_client=_mocked(anthropic, _anthropic_body))
        return lambda chunks: client.messages.create(
            **ASK, model="claude-haiku-4-5", stream=chunks > 0, extra_headers={"x-chunks": str(chunks)}
        )
    import openai

    made = openai.OpenAI(api_key="k", http_client=_mocked(openai, _openai_body))
    if library == "openai":
        return lambda chunks: made.chat.completions.create(
            **ASK, model="gpt-4o-mini", stream=chunks > 0, extra_headers={"x-chunks": str(chunks)}
        )
    import litellm

    return lambda chunks: litellm.completion(
        **ASK,
        model="openai/gpt-4o-mini",
        client=made,
        stream=chunks > 0,
        extra_headers={"x-chunks": str(chunks)},
    )


def _mocked(sdk: Any, body: Callable[[int], bytes]) -> Any:
    """The SDK's own HTTP client over a transport that answers at once."""
    # httpx, or httpx2 from openai 3 and anthropic 1 on.
    (name,) = {
        kind.__module__.partition(".")[0]
        for kind in sdk.DefaultHttpxClient.__mro__
        if kind.__name__ == "Client"
    }
    httpx = sys.modules[name]
    bodies = {chunks: body(chunks) for chunks in (0, SHORT, LONG)}

    def answer(request: Any) -> Any:
        chunks = int(request.headers["x-chunks"])
        kind = "text/event-stream" if chunks else "application/json"
        return httpx.Response(200, headers={"content-type": kind}, content=bodies[chunks])

    return sdk.DefaultHttpxClient(transport=httpx.MockTransport(answer))


def _openai_body(chunks: int) -> bytes:
    head = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4o-mini-2024-07-18"}
    usage = {"prompt_tokens": 50, "completion_tokens": chunks or 50, "total_tokens": 50 + (chunks or 50)}
    if not chunks:
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": TEXT}}
        return json.dumps({**head, "object": "chat.completion", "choices": [choice], "usage": usage}).encode()
    head["object"] = "chat.completion.chunk"
    # litellm ends a stream that says the same thing a hundred times.
    pieces = [
        {"index": 0, "delta": {"role": "assistant", "content": f" {number}"}, "finish_reason": None}
        for number in range(chunks)
    ]
    last = {"index": 0, "delta": {}, "finish_reason": "stop"}
    events = [{**head, "choices": [choice]} for choice in [*pieces, last]]
    told = [json.dumps(event) for event in [*events, {**head, "choices": [], "usage": usage}]]
    return "".join(f"data: {event}\n\n" for event in [*told, "[DONE]"]).encode()


def _anthropic_body(chunks: int) -> bytes:
    usage = {"input_tokens": 50, "output_tokens": chunks or 50}
    whole: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5-20251001",
    }
    whole |= {"stop_reason": None, "stop_sequence": None, "usage": usage, "content": []}
    if not chunks:
        content = [{"type": "text", "text": TEXT}]
        return json.dumps({**whole, "stop_reason": "end_turn", "content": content}).encode()
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " word"}}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": whole},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *[delta] * chunks,
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": usage,
        },
        {"type": "message_stop"},
    ]
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()


def child(library: str, variant: str) -> int:
    """Make rounds of calls until standard input ends; each line names the chunks and the number of calls."""
    try:
        if library == "litellm":
            __import__("litellm")
        instrument(variant, library)
        call = caller(library)
    except (ImportError, LookupError, AttributeError) as error:
        print(json.dumps(f"{type(error).__name__}: {error}"), flush=True)
        return _CANNOT
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        chunks, calls = map(int, line.split())
        print(json.dumps(_median_us(call, chunks, calls)), flush=True)
    os._exit(0)  # what is still to be delivered is not what is measured here


def _median_us(call: Callable[[int], Any], chunks: int, calls: int) -> tuple[float, float]:
    """Of the time on the clock, and of the CPU time of this thread."""
    clock, cpu = [], []
    for _ in range(calls):
        started_ns, cpu_ns = time.perf_counter_ns(), time.thread_time_ns()
        answer = call(chunks)
        if chunks:
            for _chunk in answer:
                pass
        cpu.append((time.thread_time_ns() - cpu_ns) / 1000)
        clock.append((time.perf_counter_ns() - started_ns) / 1000)
    return statistics.median(clock), statistics.median(cpu)


class Child:
    """One variant in a process of its own."""

    def __init__(self, library: str, variant: str, sink: CountingSink, spool: str) -> None:
        environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "AT": sink.url}
        environment |= {"EVERYSPAN_ENDPOINT": sink.url, "EVERYSPAN_SPOOL_DIR": spool}
        if variant == "langfuse":
            environment |= {"LANGFUSE_PUBLIC_KEY": "pk", "LANGFUSE_SECRET_KEY": "sk"}
            environment |= {"LANGFUSE_HOST": sink.base, "LANGFUSE_BASE_URL": sink.base}
        self.variant = variant
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.clients", "--library", library, "--child", variant],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def answer(self) -> Any:
        """The next line it says."""
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline() or '"ended"')

    def measure(self, chunks: int, calls: int) -> tuple[float, float]:
        """Microseconds of the median call: on the clock, and CPU of the caller's thread."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{chunks} {calls}\n")
        self._process.stdin.flush()
        clock_us, cpu_us = self.answer()
        return clock_us, cpu_us

    def end(self) -> None:
        """Let it go."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def compare(library: str, *, rounds: int, calls: int) -> Iterator[str]:
    """The lines of one library's table."""
    with CountingSink() as sink, tempfile.TemporaryDirectory() as spool:
        children = []
        for each in [Child(library, variant, sink, spool) for variant in VARIANTS]:
            said = each.answer()
            if said == "ready":
                children.append(each)
            else:
                yield f"| {each.variant} | {str(said)[:60]}"
        rounds_of: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
        for number in range(rounds + 1):
            for chunks in (0, SHORT, LONG):
                for each in children:
                    took = each.measure(chunks, calls if not chunks else max(3, calls // 10))
                    if number:  # the first round warms up
                        rounds_of[each.variant, chunks].append(took)
        for each in children:
            each.end()
    bare = _least(rounds_of, "bare")
    for each in children:
        found = _least(rounds_of, each.variant)
        added = [f"{one:.1f} | {one - without:+.1f}" for one, without in zip(found, bare, strict=True)]
        yield f"| {each.variant} | {' | '.join(added)} |"


def _least(rounds_of: Mapping[tuple[str, int], list[tuple[float, float]]], variant: str) -> list[float]:
    """Of a call: on the clock, CPU; of a chunk: on the clock, CPU."""
    call, short, long = (
        [min(values) for values in zip(*rounds_of[variant, chunks], strict=True)]
        for chunks in (0, SHORT, LONG)
    )
    chunk = [(more - less) / (LONG - SHORT) for less, more in zip(short, long, strict=True)]
    return [*call, *chunk]


def main() -> int:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--library", choices=LIBRARIES, action="append")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--calls", type=int, default=100)
    parser.add_argument("--child", choices=VARIANTS)
    options = parser.parse_args()
    if options.child:
        return child(options.library[0], options.child)
    for library in options.library or LIBRARIES:
        print(f"\n{library}, load {os.getloadavg()[0]:.1f} at the start\n")
        print("| µs | call | added | CPU | added | chunk | added | CPU | added |")
        print("|---|---|---|---|---|---|---|---|---|")
        for line in compare(library, rounds=options.rounds, calls=options.calls):
            print(line, flush=True)
        print(f"\nload {os.getloadavg()[0]:.1f} at the end")
    return 0


if __name__ == "__main__":
    sys.exit(main())
