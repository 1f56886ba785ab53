"""The server is killed with SIGKILL in the middle of its work."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

from everyspan.collector.accept import Envelope, seal
from everyspan.collector.inbox import Inbox
from everyspan.wire.decode import wrap
from everyspan.wire.frame import Kind, pack
from tests.collector_requests import PROTOBUF, START_NS, body, generation, get, settled, span

# Imports once and forks for every start: what is killed is a whole server, and twenty starts take seconds.
SERVER = """
import os, sys
from pathlib import Path
from everyspan.server import Options, serve
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        ready = lambda url: print(os.getpid(), url, flush=True)
        serve(Options(data_dir=Path(sys.argv[1]), port=int(line)), ready=ready)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""
KILLS = 20
SENDERS = 3


class ServerProcess:
    """A server of its own process, on a port that stays the same."""

    def __init__(self, data_dir: Path) -> None:
        self.port = 0
        self.url = ""
        self._mother = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.start()

    def start(self) -> None:
        assert self._mother.stdin is not None
        self._mother.stdin.write(f"{self.port}\n")
        self._mother.stdin.flush()
        said = self._told().split()
        assert len(said) == 2, f"the server did not start: {said}"
        self._pid, self.url = int(said[0]), said[1]
        self.port = urlsplit(self.url).port or 0

    def end(self, number: signal.Signals) -> int:
        os.kill(self._pid, number)
        return int(self._told())

    def close(self) -> None:
        self._mother.communicate(timeout=20)

    def _told(self) -> str:
        assert self._mother.stdout is not None
        return self._mother.stdout.readline()


class Sender:
    """Ships numbered calls one by one, each until it is acknowledged, and some of them again."""

    def __init__(self, index: int) -> None:
        self.writer = f"{index:07d}-{index:012x}"
        self.shipped = 0
        self.again = 0
        self._random = random.Random(index)

    def frame(self, seq: int) -> bytes:
        sent = generation(seq, **{"everyspan.stamp": f"{self.writer}:{seq:016x}"})
        return pack(Kind.SPAN, seq, body(sent), nonce=7)

    def closing(self) -> bytes:
        said = {"writer": self.writer, "last": self.shipped}
        return pack(Kind.CLOSE, 0, wrap(Kind.CLOSE, json.dumps(said).encode()), nonce=7)

    def run(self, server: ServerProcess, stop: threading.Event) -> None:
        while not stop.wait(0.005):  # the kills are what is tested, not the load
            if self.post(server, self.frame(self.shipped + 1)):
                self.shipped += 1
                if self._random.random() < 0.1:
                    self.again += self.post(server, self.frame(self._random.randint(1, self.shipped)))

    def post(self, server: ServerProcess, content: bytes) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        headers = {"Content-Type": PROTOBUF, "everyspan-writer": self.writer}
        headers["everyspan-spooled-to"] = str(self.shipped + 1)
        try:
            connection.request("POST", "/v1/traces", body=content, headers=headers)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False  # killed: whether it was kept nobody knows, so it is sent again
        finally:
            connection.close()


def test_no_acknowledged_span_is_lost_and_none_counts_twice_over_random_kills(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path)
    senders = [Sender(index) for index in range(1, SENDERS + 1)]
    stop = threading.Event()
    threads = [threading.Thread(target=sender.run, args=(server, stop)) for sender in senders]
    moments = random.Random(2026)
    for thread in threads:
        thread.start()

    for _ in range(KILLS):
        threading.Event().wait(moments.uniform(0.02, 0.4))
        server.end(signal.SIGKILL)
        server.start()
    threading.Event().wait(0.3)
    stop.set()
    for thread in threads:
        thread.join()
    for sender in senders:
        assert sender.post(server, sender.closing())
    settled(server.url)
    total = get(f"{server.url}/api/v1/costs").json["total"]
    audit = get(f"{server.url}/api/v1/completeness").json
    health = get(f"{server.url}/api/v1/health").json
    code = server.end(signal.SIGTERM)
    server.close()

    # The last call of a sender may have been kept although no answer came; its number is the next one.
    acknowledged = sum(sender.shipped for sender in senders)
    assert acknowledged > 50
    assert sum(sender.again for sender in senders) > 0
    assert 0 <= total["calls"] - acknowledged <= SENDERS
    assert Decimal(total["cost"]) == total["calls"] * Decimal("0.0035")
    assert [len(writer["missing"]) for writer in audit["writers"]] == [0] * SENDERS
    assert audit["spans"] == total["calls"]
    assert health["quarantined"] == 0
    assert code == 0


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
