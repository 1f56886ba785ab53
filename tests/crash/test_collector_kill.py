"""The server is killed with SIGKILL in the middle of its work."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from everyspan.collector.accept import Envelope, seal
from everyspan.collector.inbox import Inbox
from tests.collector_kills import Sender, ServerProcess, killed_again_and_again
from tests.collector_requests import START_NS, body, get, settled, span

KILLS = 20


def test_no_acknowledged_span_is_lost_and_none_counts_twice_over_random_kills(tmp_path: Path) -> None:
    survived = killed_again_and_again(tmp_path, kills=KILLS)

    assert survived.missing == 0
    assert survived.acknowledged > 50
    assert survived.sent_again > 0


def test_sigterm_ends_in_order_and_loses_nothing_acknowledged(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    sender = Sender(1)
    for _ in range(20):
        assert sender.post(server, sender.frame(sender.shipped + 1))
        sender.shipped += 1

    code = server.end(signal.SIGTERM)
    server.start()
    health = settled(server.url)
    calls = get(f"{server.url}/api/v1/costs").json["total"]["calls"]
    server.end(signal.SIGTERM)
    server.close()

    assert code == 0
    assert calls == 20
    assert health["quarantined"] == 0


DEADLY = """
import os, sys, threading
from pathlib import Path
from everyspan.collector.collector import Collector
from everyspan.collector.keys import Keys
from everyspan.store.sqlite import SqliteStore

class Deadly(SqliteStore):
    def insert(self, spans, numbers=(), sightings=()):
        if any(row.name == "deadly" for row in spans):
            os._exit(9)
        return super().insert(spans, numbers, sightings)

directory = Path(sys.argv[1])
store = Deadly(directory / "spans.db")
collector = Collector(directory / "inbox", store, Keys())
while collector.pending:
    threading.Event().wait(0.01)
collector.close()
print(collector.quarantined, collector.moved.new)
"""


def test_a_body_that_kills_the_process_does_so_a_few_times_and_is_then_set_aside(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path / "inbox", cap_bytes=64 << 20)
    envelope = Envelope(project="default", received_ns=START_NS)
    for number in range(1, 11):
        inbox.put(seal(envelope, body(span(number, name="deadly" if number == 4 else "harmless")))).result()
    inbox.close()

    codes: list[int] = []
    while len(codes) < 8 and (not codes or codes[-1] != 0):
        ended = subprocess.run(
            [sys.executable, "-c", DEADLY, str(tmp_path)], capture_output=True, text=True, timeout=30
        )
        codes.append(ended.returncode)

    assert codes[-1] == 0
    assert codes.count(9) == 4  # once among the others, three times alone
    assert ended.stdout.split()[0] == "1"
