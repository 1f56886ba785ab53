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
import socket
import sqlite3
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from playwright.sync_api import TimeoutError as LookTimeout

from benchmarks.page import quantile, rss_mib, serving
from tests.browsing import launched, tab
from tests.collector_requests import get, key_values, post

_TRACE = bytes(15) + b"\x07"
_TEXT = "what a model and its user said to each other, at some length. " * 32
_AT_ONCE = 500
_PATIENCE_S, _LONGEST_LOOK_S = 900.0, 180
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


@dataclass(frozen=True)
class Peer:
    """A server that runs, and what is known of it."""

    name: str
    otlp: str
    page: str
    """The address of the trace in a browser."""
    answer_s: float
    """From its start to its first answer."""
    pid: int
    stored: Callable[[], int]
    """How many spans it holds."""


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
        trace_id=_TRACE,
        span_id=number.to_bytes(8, "big"),
        parent_span_id=parent.to_bytes(8, "big") if parent else b"",
        name=f"step {number}",
        start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + length_ns,
        attributes=key_values(said),
    )


@contextmanager
def everyspan_running(folder: Path) -> Iterator[Peer]:
    """Our own collector."""
    with serving(folder) as (url, answer_s, process):

        def stored() -> int:
            return int(get(f"{url}/api/v1/health").json["stored_spans"])

        page = f"{url}/traces/{_TRACE.hex()}"
        yield Peer("everyspan", f"{url}/v1/traces", page, answer_s, process.pid, stored)


@contextmanager
def phoenix_running(program: Path, folder: Path) -> Iterator[Peer]:
    """Phoenix, with its SQLite database in `folder`."""
    port, grpc_port = _free_port(), _free_port()
    said = {"WORKING_DIR": folder, "HOST": "127.0.0.1", "PORT": port, "GRPC_PORT": grpc_port}
    environment = {**os.environ, **{f"PHOENIX_{name}": str(value) for name, value in said.items()}}
    environment["PHOENIX_TELEMETRY_ENABLED"] = "false"
    url, began = f"http://127.0.0.1:{port}", time.perf_counter()
    with subprocess.Popen(
        [program, "serve"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _until(lambda: _answers(f"{url}/healthz"), "Phoenix answers")
            answer_s = time.perf_counter() - began

            def stored() -> int:
                with closing(sqlite3.connect(f"file:{folder}/phoenix.db?mode=ro", uri=True)) as database:
                    return int(database.execute("SELECT count(*) FROM spans").fetchone()[0])

            page = f"{url}/redirects/traces/{_TRACE.hex()}"
            yield Peer("Phoenix", f"{url}/v1/traces", page, answer_s, process.pid, stored)
        finally:
            process.terminate()


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as opened:
        return int(opened.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _until(done: Callable[[], bool], what: str) -> None:
    began = time.perf_counter()
    while not done():
        if time.perf_counter() - began > _PATIENCE_S:
            raise TimeoutError(f"{what}: not within {_PATIENCE_S:g} s")
        time.sleep(0.2)


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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--phoenix", type=Path, help="the program `phoenix` of an environment of its own")
    parser.add_argument("--spans", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        peers = [opened.enter_context(everyspan_running(folder / "everyspan"))]
        if options.phoenix:
            (folder / "phoenix").mkdir()
            peers.append(opened.enter_context(phoenix_running(options.phoenix, folder / "phoenix")))
        for peer in peers:
            print(f"{peer.name:10} start to first answer, ms {peer.answer_s * 1000:8.0f}")
            print(f"{peer.name:10} resident when idle, MiB   {rss_mib(peer.pid):8.0f}")
        for peer in peers:
            for content in requests(options.spans):
                assert post(peer.otlp, content).status == 200
            _until(lambda held=peer: held.stored() >= options.spans, f"{peer.name} stores")  # type: ignore[misc]
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
