"""The collector on a disk that others fill up."""

from __future__ import annotations

import signal
import threading
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest

from everyspan.collector.inbox import Inbox
from everyspan.errors import CollectorError
from tests.collector_kills import ServerProcess
from tests.collector_requests import Answer, body, generation, get, post, settled
from tests.crash.conftest import Mount

CALL_USD = Decimal("0.0035")


def send(server: ServerProcess, number: int) -> Answer:
    sent = body(generation(number, **{"input.value": f"{number} " + "word " * 2000}))
    return post(f"{server.url}/v1/traces", sent)


def fill(disk: Path) -> Path:
    """Take all that is left, to the last page."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 65_536):
            pass  # a write that is cut short is followed by one that fails
    return ballast


def ready_again(server: ServerProcess) -> bool:
    """Whether it says so, within some seconds: it tries the disk every 50 ms."""
    pause = threading.Event()
    return any(get(f"{server.url}/readyz").status == 200 or pause.wait(0.02) for _ in range(500))


def until_refused(server: ServerProcess, number: int) -> tuple[int, Answer]:
    """Send calls from this number on; the one that is refused, and the answer to it."""
    answer = send(server, number)
    while answer.status == 200:
        number += 1
        answer = send(server, number)
    return number, answer


@pytest.mark.parametrize("killed", [False, True], ids=["alive", "killed and started on the full disk"])
def test_a_collector_on_a_full_disk_sends_clients_back_and_recovers_by_itself(
    mount: Mount, killed: bool
) -> None:
    disk = mount("size=24m")
    server = ServerProcess(disk / "data")
    stored = [send(server, number).status for number in range(1, 11)]
    ballast = fill(disk)
    number, refused = until_refused(server, 11)
    if killed:
        server.end(signal.SIGKILL)
        server.start()  # which may make some room
        number, refused = until_refused(server, number)
    # A store that fails gives back what it had taken, and then there is room for some more.
    while (not_ready := get(f"{server.url}/readyz")).status == 200:
        number, refused = until_refused(server, number)
    alive = get(f"{server.url}/healthz")

    ballast.unlink()
    ready = ready_again(server)
    again = [send(server, each).status for each in range(number, number + 10)]
    health = settled(server.url)
    total = get(f"{server.url}/api/v1/costs").json["total"]
    code = server.end(signal.SIGTERM)
    server.close()

    assert stored + again == [200] * 20
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert (not_ready.status, alive.status, ready) == (503, 200, True)
    assert b"disk" in not_ready.body
    # All of them once: those that were refused came back.
    assert total["calls"] == number + 9
    assert Decimal(total["cost"]) == total["calls"] * CALL_USD
    assert (health["quarantined"], health["status"], code) == (0, "ok", 0)


def test_what_a_full_disk_refused_and_memory_has_is_counted_as_pending(mount: Mount) -> None:
    disk = mount("size=1m")
    inbox = Inbox(disk / "inbox", cap_bytes=64 << 20)
    inbox.put(b"x" * 1000).result()
    fill(disk)

    answers = [inbox.put(b"x" * 10_000) for _ in range(5)]
    refused = [answer for answer in answers if isinstance(answer.exception(), CollectorError)]
    pending, waiting = inbox.pending, sum(backlog.pending() for backlog in inbox.backlogs())
    inbox.close()

    assert refused
    assert pending == waiting == 6
