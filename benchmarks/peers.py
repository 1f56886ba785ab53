"""One trace of many spans in everyspan and in Phoenix: first rows in Debian's Chromium, scrolling, memory, start.

    python -m benchmarks.peers [--phoenix .../bin/phoenix] [--spans 10000] [--rounds 3]

Phoenix is not among our dependencies: `python -m venv v && v/bin/pip install arize-phoenix` makes one elsewhere. Both
get the same bytes over OTLP/HTTP and are asked by turns, so that whatever else the machine does meets both. A row
counts as there when nine names of spans are in sight. The least of the rounds is told, the worst behind it;
`inf` is: not within three minutes.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from playwright.sync_api import TimeoutError as LookTimeout

from benchmarks._peers import TRACE, Peer, running, until
from benchmarks.page import quantile, rss_mib
from tests.browsing import launched, tab
from tests.collector_requests import key_values, post

_TEXT = "what a model and its user said to each other, at some length. " * 32
_AT_ONCE = 500
_LONGEST_LOOK_S = 180
_NAME = re.compile(r"^step \d+$")
_FRAMES = """async (count) => {
  const scrolls = (each) => /auto|scroll/.test(getComputedStyle(each).overflowY);
  const tall = [...document.querySelectorAll("*")].filter(scrolls);
  const box = tall.sort((a, b) => (b.scrollHeight - b.clientHeight) - (a.scrollHeight - a.clientHeight))[0];
  if (!box) return [];
  const gaps = [];
  let last = await new Promise(requestAnimationFrame);
  for (let step = 1; step <= count; step += 1) {
    box.scrollTop = step * 120;
    const now = await new Promise(requestAnimationFrame);
    gaps.push(now - last);
    last = now;
  }
  return gaps;
}"""


def requests(spans: int) -> Iterator[bytes]:
    """The trace of `benchmarks.page` as OTLP, in OpenTelemetry's and in OpenInference's words."""
    began_ns = time.time_ns() - 3600 * 10**9
    for first in range(1, spans + 1, _AT_ONCE):
        request = ExportTraceServiceRequest()
        group = request.resource_spans.add()
        group.resource.attributes.extend(key_values({"service.name": "benchmark"}))
        scope = group.scope_spans.add()
        for number in range(first, min(first + _AT_ONCE, spans + 1)):
            scope.spans.append(_span(number, began_ns, spans))
        yield request.SerializeToString()


def _span(number: int, began_ns: int, spans: int) -> Span:
    agent = number % 10 == 2
    parent = 0 if number == 1 else 1 if agent else number - (number - 2) % 10
    said: dict[str, Any] = {"openinference.span.kind": "AGENT" if agent or number == 1 else "LLM"}
    if not agent and number > 1:
        said |= {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "gpt-4o",
            "llm.model_name": "gpt-4o",
            "gen_ai.usage.input_tokens": 900,
            "llm.token_count.prompt": 900,
            "gen_ai.usage.output_tokens": 90,
            "llm.token_count.completion": 90,
            "input.value": _TEXT,
            "output.value": _TEXT[:400],
        }
    start_ns = began_ns + number * 1_000_000
    length_ns = spans * 1_000_000 if number == 1 else 500_000
    return Span(
        trace_id=TRACE,
        span_id=number.to_bytes(8, "big"),
        parent_span_id=parent.to_bytes(8, "big") if parent else b"",
        name=f"step {number}",
        start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + length_ns,
        attributes=key_values(said),
    )


def look(browser: Any, peer: Peer) -> dict[str, float]:
    """One visit."""
    with tab(browser) as page:
        page.set_default_timeout(1000 * _LONGEST_LOOK_S)
        began = time.perf_counter()
        page.goto(peer.page, wait_until="commit")
        try:
            page.get_by_text(_NAME).nth(8).wait_for()
        except LookTimeout:
            return {"first rows, ms": math.inf}
        first_s = time.perf_counter() - began
        frames = page.evaluate(_FRAMES, 120)
        if not frames:
            return {"first rows, ms": first_s * 1000}
        return {
            "first rows, ms": first_s * 1000,
            "wheel frame p50, ms": quantile(frames, 0.5),
            "wheel frame p95, ms": quantile(frames, 0.95),
            "nodes": page.evaluate("document.querySelectorAll('*').length"),
        }


def _holds(peer: Peer, spans: int) -> bool:
    return peer.stored() >= spans


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--phoenix", type=Path, help="the program `phoenix` of an environment of its own")
    parser.add_argument("--spans", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the servers end with us
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        peers = running(opened, folder, phoenix=options.phoenix)
        for peer in peers:
            print(f"{peer.name:10} start to first answer, ms {peer.answer_s * 1000:8.0f}")
            print(f"{peer.name:10} resident when idle, MiB   {rss_mib(peer.pid):8.0f}")
        for peer in peers:
            for content in requests(options.spans):
                assert post(peer.otlp, content).status == 200
            until(partial(_holds, peer, options.spans), f"{peer.name} stores")
        browser = opened.enter_context(launched())
        rounds: dict[str, list[dict[str, float]]] = {peer.name: [] for peer in peers}
        for _ in range(options.rounds):
            for peer in peers:
                rounds[peer.name].append(look(browser, peer))
        for peer in peers:
            for name in dict.fromkeys(name for each in rounds[peer.name] for name in each):
                values = [each[name] for each in rounds[peer.name] if name in each]
                print(f"{peer.name:10} {name:25} {min(values):8.0f}   worst {max(values):.0f}")
            print(f"{peer.name:10} resident afterwards, MiB  {rss_mib(peer.pid):8.0f}")
        print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
