"""The server is killed with SIGKILL in the middle of its work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

from everyspan.collector.accept import Envelope, seal
from everyspan.collector.inbox import Inbox
from everyspan.server import running
from everyspan.store.reads import TraceFilter
from everyspan.store.sqlite import SqliteStore
from tests.collector_kills import Sender, ServerProcess, killed_again_and_again
from tests.collector_requests import START_NS, TRACE_ID, body, get, settled, span

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


LIVES = """
import json, os, sys, threading
from pathlib import Path
from everyspan.collector.collector import Collector
from everyspan.collector.keys import Keys
from everyspan.store.sqlite import SqliteStore

class Deadly(SqliteStore):
    def insert(self, spans, numbers=(), sightings=()):
        if any(row.name == "dies where it is stored" for row in spans):
            os._exit(9)
        return super().insert(spans, numbers, sightings)

def live():
    store = Deadly(directory / "spans.db")
    collector = Collector(directory / "inbox", store, Keys())
    while collector.pending:
        threading.Event().wait(0.01)
    collector.close()
    (directory / "end.json").write_text(json.dumps([collector.quarantined, collector.moved.new]))
    os._exit(0)

directory, most = Path(sys.argv[1]), int(sys.argv[2])
codes = []
while len(codes) < most and 0 not in codes:
    pid = os.fork()
    if not pid:
        live()
    codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(json.dumps(codes))
"""

# What Python runs at its start: so does the process that reads for the server.
DIES_WHERE_IT_IS_READ = """
import os
from everyspan.collector import decoder
read = decoder.read
def deadly(envelope, body, limits):
    if b"dies where it is read" in body:
        os._exit(9)
    return read(envelope, body, limits)
decoder.read = deadly
"""


def ten_bodies(directory: Path, *, name: str) -> None:
    """An inbox of which the fourth body has a span of this name."""
    inbox = Inbox(directory / "inbox", cap_bytes=64 << 20)
    envelope = Envelope(project="default", received_ns=START_NS)
    for number in range(1, 11):
        inbox.put(seal(envelope, body(span(number, name=name if number == 4 else "harmless")))).result()
    inbox.close()


def lives(directory: Path, *, most: int = 20) -> list[int]:
    """How servers ended that came one after the other, until one has moved everything."""
    ended = subprocess.run(
        [sys.executable, "-c", LIVES, str(directory), str(most)],
        env={**os.environ, "PYTHONPATH": str(directory)},
        stdout=subprocess.PIPE,
        check=True,
    )
    codes: list[int] = json.loads(ended.stdout)
    return codes


def what_became(directory: Path) -> tuple[int, int]:
    """Bodies in quarantine, and rows that the last server stored."""
    quarantined, new = json.loads((directory / "end.json").read_text())
    return quarantined, new


def stored_spans(directory: Path) -> int:
    """How many the store has."""
    with closing(SqliteStore(directory / "spans.db")) as store:
        return store.trace_totals(TraceFilter()).spans


def test_a_body_that_kills_whoever_reads_it_is_set_aside_when_it_killed_others_too(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(DIES_WHERE_IT_IS_READ)
    ten_bodies(tmp_path, name="dies where it is read")

    codes = lives(tmp_path)

    assert codes == [9] * 4 + [0]  # once among the others, three times alone
    assert what_became(tmp_path) == (1, 6)  # three were stored while the guilty one was looked for


def test_a_body_that_can_be_read_and_kills_where_it_is_stored_is_set_aside_at_last(tmp_path: Path) -> None:
    ten_bodies(tmp_path, name="dies where it is stored")

    codes = lives(tmp_path, most=50)

    assert codes == [9] * 31 + [0]
    assert what_became(tmp_path) == (1, 0)  # the others went before, while the guilty one was suspect
    assert stored_spans(tmp_path) == 9


def test_a_body_that_a_server_had_in_hand_each_time_somebody_killed_it_is_stored(tmp_path: Path) -> None:
    ten_bodies(tmp_path, name="dies where it is stored")
    killed = lives(tmp_path, most=12)
    server = ServerProcess(tmp_path)  # which nobody kills

    health = settled(server.url)
    stored = get(f"{server.url}/api/v1/traces/{TRACE_ID}").json["spans"]
    server.end(signal.SIGTERM)
    server.close()

    assert killed == [9] * 12
    assert (len(stored), health["quarantined"]) == (10, 0)


def test_a_server_starts_beside_what_a_killed_one_was_about_to_start(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    (tmp_path / "server.lock").write_text(str(dead.pid))
    # The child of a server, killed between fork and exec, has the lock as long as it is none of its own.
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "server.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        freeing = threading.Timer(0.3, holder.stdin.close)
        freeing.start()

        with running(tmp_path) as server:
            answered = get(f"{server.url}/healthz").status

        freeing.join()

    assert answered == 200


HOLDER = """
import fcntl, sys
file = open(sys.argv[1], "r+")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""
