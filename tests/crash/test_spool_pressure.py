"""Whole programs with a spool that is too small, or none at all, and a collector that is away or slow."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from everyspan.testing.sink import Sink
from tests.programs import clean_environment

# 20 KB a span that no rule takes for texts to be left out. The last line is what the program knows of itself.
BUSY = """
import json, logging, sys, time
logging.basicConfig(stream=sys.stderr, format="%(name)s: %(message)s")
import everyspan
everyspan.init()
took = []
for number in range(int(sys.argv[1])):
    with everyspan.span(f"step {number}") as span:
        span.set_attributes({f"piece {each}": "x" * 4000 for each in range(5)})
        began = time.perf_counter()
    took.append(time.perf_counter() - began)
receipt = everyspan.flush(float(sys.argv[2]))
stats = everyspan.stats()
print(json.dumps({
    "recorded": receipt.recorded, "delivered": receipt.delivered, "pending": receipt.pending,
    "dropped": receipt.dropped, "faults": stats["faults"], "longest_s": max(took),
}))
"""


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as opened:
        yield opened


def run(endpoint: str, spool: Path, spans: int, **environment: str) -> tuple[dict[str, Any], list[str]]:
    """What the program says of itself, and what everyspan's logger said."""
    done = subprocess.run(
        [sys.executable, "-c", BUSY, str(spans), "20"],
        env={**clean_environment(spool), "EVERYSPAN_ENDPOINT": endpoint, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout), [
        line for line in done.stderr.splitlines() if line.startswith("everyspan: ")
    ]


@pytest.mark.parametrize("spool", ["/dev/null/spool", "/proc/everyspan"])
def test_without_a_usable_directory_everything_is_delivered_from_memory(sink: Sink, spool: str) -> None:
    said, warnings = run(sink.url, Path(spool), 50)

    assert (said["recorded"], said["delivered"], said["dropped"], said["faults"]) == (50, 50, 0, {})
    assert sorted(span.name for span in sink.spans) == sorted(f"step {number}" for number in range(50))
    assert len([warning for warning in warnings if "can not be used" in warning]) == 1


def test_block_slows_the_program_down_to_what_the_collector_takes_and_loses_nothing(
    sink: Sink, tmp_path: Path
) -> None:
    sink.delay(0.1, times=1000)

    said, _ = run(sink.url, tmp_path, 900, EVERYSPAN_DROP="block", EVERYSPAN_SPOOL_BYTES=str(1 << 20))

    assert (said["delivered"], said["dropped"], said["faults"]) == (900, 0, {})
    assert len({span.name for span in sink.spans}) == 900


def test_without_block_the_program_never_waits_and_every_span_is_accounted_for(
    sink: Sink, tmp_path: Path
) -> None:
    sink.delay(0.3, times=1000)  # a third of what a busy machine makes

    said, warnings = run(sink.url, tmp_path, 900, EVERYSPAN_SPOOL_BYTES=str(1 << 20))

    assert said["dropped"] > 0
    assert said["recorded"] == said["delivered"] + said["dropped"] == 900
    # A span whose START frame fitted and whose SPAN frame did not is still told of, as one that was interrupted.
    whole = [span for span in sink.spans if span.attributes.get("everyspan.end") != "interrupted"]
    assert len({span.name for span in whole}) == said["delivered"]
    assert said["longest_s"] < 1
    assert len([warning for warning in warnings if "EVERYSPAN_SPOOL_BYTES" in warning]) == 1
