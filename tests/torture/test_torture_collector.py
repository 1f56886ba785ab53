"""The collector killed a thousand times under load, and a start with a whole gigabyte in the inbox."""

from __future__ import annotations

import secrets
import signal
import time
from pathlib import Path

from everyspan.collector.accept import Envelope, seal
from everyspan.collector.inbox import Inbox
from tests.collector_kills import ServerProcess, killed_again_and_again
from tests.collector_requests import START_NS, body, generation, get, post
from tests.torture.conftest import Report
from tests.torture.scores import Score

MIB = 1 << 20
MOST_RECOVERY_S = 10.0


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


def test_a_collector_answers_soon_however_much_waits_in_its_inbox(
    quick_disk: Path, report: Report, full: bool
) -> None:
    size_mib = 1024 if full else 64
    inbox = Inbox(quick_disk / "inbox", cap_bytes=4096 * MIB)
    envelope = Envelope.of({}, project="default", received_ns=START_NS)
    for number in range(size_mib):
        text = secrets.token_hex(MIB // 2)
        inbox.put(seal(envelope, body(generation(number + 1, **{"input.value": text})))).result()
    inbox.close()

    began = time.monotonic()
    server = ServerProcess(quick_disk)
    # The first number counts the import of everything by a fresh interpreter, too.
    taken = post(f"{server.url}/v1/traces", body(generation(size_mib + 1)))
    answered_s = time.monotonic() - began
    pending = get(f"{server.url}/api/v1/health").json["inbox_pending"]
    server.end(signal.SIGKILL)
    server.close()

    report(
        Score(
            scenario="full inbox",
            ok=size_mib,
            figures=f"{size_mib} MiB in the inbox, {answered_s:.1f} s to the first 200",
        )
    )
    assert taken.status == 200
    assert pending > 0
    assert answered_s < MOST_RECOVERY_S
