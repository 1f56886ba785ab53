"""The collector killed a thousand times under load, and a start with a whole gigabyte in the inbox."""

from __future__ import annotations

import secrets
import signal
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from everyspan.collector.accept import Envelope, seal
from everyspan.collector.inbox import Inbox
from tests.collector_kills import ServerProcess, killed_again_and_again
from tests.collector_requests import START_NS, Answer, body, generation, get, post, settled
from tests.torture.conftest import Report
from tests.torture.scores import Score

MIB = 1 << 20
MOST_RECOVERY_S = 10.0
SPAN_BYTES = 2048
CALL_USD = Decimal("0.0035")


def test_a_collector_that_is_killed_all_the_time_keeps_what_it_acknowledged(
    quick_disk: Path, report: Report, full: bool
) -> None:
    kills = 1000 if full else 10

    survived = killed_again_and_again(quick_disk, kills=kills, seed=secrets.randbits(32))

    report(
        Score(
            scenario="collector killed",
            ok=survived.stored,
            lost=survived.missing,
            duplicated=survived.sent_again,
            figures=f"{kills} kills, {survived.acknowledged} acknowledged",
        )
    )
    assert survived.missing == 0
    assert survived.acknowledged > 0


def filled_inbox(directory: Path, *, size_mib: int, spans_each: int) -> int:
    """Leave requests as a collector that was killed at once would: taken, and none of them stored. How many spans."""
    inbox = Inbox(directory / "inbox", cap_bytes=4096 * MIB)
    envelope = Envelope.of({}, project="default", received_ns=START_NS)
    made = 0
    waiting = []
    while made * SPAN_BYTES < size_mib * MIB:
        text = secrets.token_hex(SPAN_BYTES // 2)[: SPAN_BYTES - 300]
        # Traces of a thousand calls.
        calls: list[Any] = [
            generation(number, **{"input.value": f"{number} {text}"})
            for number in range(made + 1, made + 1 + spans_each)
        ]
        for call in calls:
            call.trace_id = (1 + made // 1000).to_bytes(16, "big")
        waiting.append(inbox.put(seal(envelope, body(*calls))))
        made += spans_each
    for each in waiting:
        each.result()
    inbox.close()
    return made


def started(directory: Path, number: int) -> tuple[ServerProcess, Answer, float]:
    """A server, its answer to one more call, and the seconds to that: with the import of everything, which is new."""
    began = time.monotonic()
    server = ServerProcess(directory)
    answer = post(f"{server.url}/v1/traces", body(generation(number)))
    return server, answer, time.monotonic() - began


@pytest.mark.parametrize("spans_each", [512, 1], ids=["of 512 spans", "of one span"])
def test_a_collector_answers_soon_however_much_waits_in_its_inbox_and_stores_all_of_it(
    quick_disk: Path, report: Report, full: bool, spans_each: int
) -> None:
    size_mib = 1024 if full else 16
    made = filled_inbox(quick_disk / "full", size_mib=size_mib, spans_each=spans_each)
    other, _, empty_s = started(quick_disk / "empty", 1)
    other.end(signal.SIGTERM)
    other.close()

    server, taken, answered_s = started(quick_disk / "full", made + 1)
    began = time.monotonic() - answered_s
    pending = get(f"{server.url}/api/v1/health").json["inbox_pending"]
    health = settled(server.url)
    stored_s = time.monotonic() - began
    total = get(f"{server.url}/api/v1/costs").json["total"]
    server.end(signal.SIGTERM)
    server.close()

    report(
        Score(
            scenario=f"full inbox, requests of {spans_each}",
            ok=total["calls"],
            lost=made + 1 - total["calls"],
            cost_difference=Decimal(total["cost"]) - (made + 1) * CALL_USD,
            figures=f"{size_mib} MiB in the inbox, {answered_s:.1f} s to the first 200 (empty: {empty_s:.1f}), "
            f"{stored_s:.0f} s until all was stored",
        )
    )
    assert taken.status == 200
    assert pending > 0
    # A machine that is slow to start any server says nothing about the inbox.
    assert answered_s < max(MOST_RECOVERY_S, 3 * empty_s)
    assert total["calls"] == made + 1
    assert Decimal(total["cost"]) == (made + 1) * CALL_USD
    assert health["quarantined"] == 0
