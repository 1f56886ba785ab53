"""The page over one large trace, in Debian's Chromium: how soon it can be read, and how it scrolls.

    python -m benchmarks.page [--spans 10000] [--rounds 5]

A server in a process of its own over a store that holds the trace, with 2 KB of text in each call. Told are: from the
start of `everyspan serve` to its first answer, its resident size when idle and after the page; from the navigation to
the first rows; the time between frames while 120 wheel-sized steps are scrolled, and while it is jumped about; nodes
in the document. Percentiles are of one round; of the rounds the best is shown, and the worst behind it.
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from everyspan.store.store import open_store
from tests.browsing import launched, tab
from tests.store_rows import call, span, span_id, trace_id

_TEXT = "what a model and its user said to each other, at some length. " * 32
_FRAMES = """async (steps) => {
  const rows = document.getElementById("waterfall");
  const gaps = [];
  let last = await new Promise(requestAnimationFrame);
  for (const step of steps) {
    rows.scrollTop = step;
    const now = await new Promise(requestAnimationFrame);
    gaps.push(now - last);
    last = now;
  }
  return gaps;
}"""


def fill(where: Path, spans: int) -> None:
    """A trace of agents, each with tools and calls below it."""
    store = open_store(where)
    rows = [span(1, trace_id=trace_id(1), name="nightly_batch", end_ns=span(1).start_ns + spans * 1_000_000)]
    for number in range(2, spans + 1):
        agent = number % 10 == 2
        made = span if agent else call
        parent = 1 if agent else number - (number - 2) % 10
        texts: dict[str, Any] = (
            {} if agent else {"input": _TEXT, "output": _TEXT[:400], "first_token_ns": 200_000}
        )
        rows.append(
            made(number, trace_id=trace_id(1), parent_id=span_id(parent), name=f"step {number}", **texts)
        )
    for at in range(0, len(rows), 2000):
        store.insert(rows[at : at + 2000])
    store.close()


@contextmanager
def serving(data_dir: Path) -> Iterator[tuple[str, float, subprocess.Popen[str]]]:
    """`everyspan serve`: its address, the seconds to its first answer, and the process."""
    command = [
        sys.executable,
        "-m",
        "everyspan.cli.main",
        "serve",
        "--port",
        "0",
        "--data-dir",
        str(data_dir),
    ]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        found = re.search(r"http://\S+", server.stdout.readline())
        assert found is not None
        with urllib.request.urlopen(f"{found[0]}/api/v1/health") as answer:
            answer.read()
        try:
            yield found[0], time.perf_counter() - began, server
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()


def rss_mib(pid: int) -> float:
    """A process's resident size."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def quantile(values: list[float], share: float) -> float:
    """The value that so large a share does not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def look(browser: Any, address: str, spans: int) -> dict[str, float]:
    """One visit."""
    with tab(browser) as page:
        began = time.perf_counter()
        page.goto(address, wait_until="commit")
        page.locator("[role=treeitem]").nth(20).wait_for()
        first_s = time.perf_counter() - began
        tall = spans * 28
        wheel = page.evaluate(_FRAMES, [step * 120 for step in range(1, 121)])
        jumps = page.evaluate(_FRAMES, [(step * 7919 * 28) % tall for step in range(1, 61)])
        return {
            "first rows, ms": first_s * 1000,
            "wheel frame p95, ms": quantile(wheel, 0.95),
            "jump frame p95, ms": quantile(jumps, 0.95),
            "nodes": page.evaluate("document.querySelectorAll('*').length"),
        }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--spans", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder) / "spans.db", arguments.spans)
        with serving(Path(folder)) as (url, answer_s, server), launched() as browser:
            print(f"serve to first answer  {answer_s * 1000:8.0f} ms")
            print(f"resident when idle     {rss_mib(server.pid):8.1f} MiB")
            began = time.perf_counter()
            with urllib.request.urlopen(f"{url}/api/v1/traces/{trace_id(1)}/skeleton") as answer:
                size = len(answer.read())
            print(
                f"skeleton               {(time.perf_counter() - began) * 1000:8.0f} ms, {size / 1e6:.2f} MB"
            )
            address = f"{url}/traces/{trace_id(1)}"
            rounds = [look(browser, address, arguments.spans) for _ in range(arguments.rounds)]
            for name in rounds[0]:
                values = [each[name] for each in rounds]
                print(f"{name:22} {min(values):8.0f}    worst {max(values):.0f}")
            print(f"resident afterwards    {rss_mib(server.pid):8.1f} MiB")


if __name__ == "__main__":
    main()
