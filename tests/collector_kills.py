"""A collector that is killed again and again while senders ship to it, and what must be true afterwards."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

from everyspan.wire.decode import wrap
from everyspan.wire.frame import Kind, pack
from tests.collector_requests import PROTOBUF, body, generation, get, settled

# Imports once and forks for every start: what is killed is a whole server, and twenty starts take seconds.
SERVER = """
import os, sys
from pathlib import Path
from everyspan.server import Options, serve
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        ready = lambda server: print(os.getpid(), server.url, flush=True)
        serve(Options(data_dir=Path(sys.argv[1]), port=int(line)), ready=ready)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""
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


@dataclass
class Survived:
    """What came of it."""

    acknowledged: int
    stored: int
    sent_again: int
    missing: int


def killed_again_and_again(directory: Path, *, kills: int, seed: int = 2026) -> Survived:
    """Kill a server at random moments under load; asserts what holds however often.

    No acknowledged call is lost, none counts twice, the sum of costs is exact, no body is set aside, and the server
    ends in order at last.
    """
    server = ServerProcess(directory)
    senders = [Sender(index) for index in range(1, SENDERS + 1)]
    stop = threading.Event()
    threads = [threading.Thread(target=sender.run, args=(server, stop)) for sender in senders]
    moments = random.Random(seed)
    for thread in threads:
        thread.start()

    try:
        for _ in range(kills):
            threading.Event().wait(moments.uniform(0.02, 0.4))
            server.end(signal.SIGKILL)
            server.start()
        threading.Event().wait(0.3)
    finally:
        stop.set()  # also when a server did not start: they would send for ever
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
    assert 0 <= total["calls"] - acknowledged <= SENDERS
    assert Decimal(total["cost"]) == total["calls"] * Decimal("0.0035")
    assert audit["spans"] == total["calls"]
    assert health["quarantined"] == 0
    assert code == 0
    return Survived(
        acknowledged=acknowledged,
        stored=total["calls"],
        sent_again=sum(sender.again for sender in senders),
        missing=sum(len(writer["missing"]) for writer in audit["writers"]),
    )
