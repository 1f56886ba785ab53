"""How fast spans are taken in and can be asked for, beside Phoenix and MLflow: the same bodies from the same senders.

    python -m benchmarks.peers_ingest [--phoenix .../bin/phoenix] [--mlflow .../bin/mlflow] [--seconds 60] [--senders 2]

The bodies are those of `benchmarks.ingest`: spans of 2 KB, gzip, each with ids of its own; 512 in each, or `--spans`.
All servers run at once with stores of their own and are sent to by turns. A sender posts one body after the other for
so many seconds; what is refused for a while (429, 503) is sent again. The rate counts from the first body until a
reader of the store finds the last span, which takes the others ten times as long as the sending: `--most` bounds it.

Others are not among our dependencies: `python -m venv v && v/bin/pip install arize-phoenix`, and `mlflow` elsewhere.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from benchmarks._peers import Peer, running, until
from benchmarks.ingest import bodies
from benchmarks.page import rss_mib

_HEADERS = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
_BUSY = frozenset({429, 503})
_BUSY_S = 0.1
_MADE_FOR_PER_S = 8_000
"""Bodies are made before the clock starts, enough for this rate; nobody is sent one twice."""


class Rate(NamedTuple):
    """What a server did in a round."""

    spans: int
    acknowledged_s: float
    readable_s: float
    refused: int
    """Answers that said: later."""

    @property
    def readable(self) -> float:
        """Spans in a second."""
        return self.spans / self.readable_s


def send(peer: Peer, mine: Iterator[bytes], until_s: float) -> tuple[int, int]:
    """Post one after the other until it is time; how many were taken, and how often the answer was: later."""
    to = urlsplit(peer.otlp)
    connection = http.client.HTTPConnection(to.netloc, timeout=600)
    taken = refused = 0
    for body in mine:
        while True:
            connection.request("POST", to.path, body=body, headers={**_HEADERS, **peer.headers})
            answer = connection.getresponse()
            said = answer.read()
            if answer.status not in _BUSY:
                break
            refused += 1
            time.sleep(_BUSY_S)
        assert answer.status == 200, f"{peer.name}: {answer.status} {said[:300]!r}"
        taken += 1
        if time.perf_counter() > until_s:
            break
    connection.close()
    return taken, refused


def measure(peer: Peer, made: list[bytes], *, spans: int, senders: int, seconds: float) -> Rate:
    """One round."""
    before, began = peer.stored(), time.perf_counter()
    results: list[tuple[int, int]] = []

    def work(first: int) -> None:
        results.append(send(peer, itertools.islice(made, first, None, senders), began + seconds))

    threads = [threading.Thread(target=work, args=(first,)) for first in range(senders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    acknowledged_s = time.perf_counter() - began
    assert len(results) == senders, f"{peer.name}: a sender failed; see above"
    sent = spans * sum(taken for taken, _ in results)
    until(lambda: peer.stored() - before >= sent, f"{peer.name} stores {sent} spans")
    return Rate(sent, acknowledged_s, time.perf_counter() - began, sum(refused for _, refused in results))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--phoenix", type=Path, help="the program `phoenix` of an environment of its own")
    parser.add_argument("--mlflow", type=Path, help="the program `mlflow` of an environment of its own")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--senders", type=int, default=2)
    parser.add_argument("--spans", type=int, default=512, help="in one body")
    parser.add_argument(
        "--most", type=int, default=0, help="spans for each server, also when seconds are left"
    )
    options = parser.parse_args()
    spans = options.most or int(_MADE_FOR_PER_S * options.seconds)
    made = bodies(max(options.senders, spans // options.spans), options.spans)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the servers end with us
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        peers = running(opened, folder, phoenix=options.phoenix, mlflow=options.mlflow)
        rates: dict[str, Rate] = {}
        for peer in peers:
            print(f"{peer.name:10} started in {peer.answer_s:.1f} s", flush=True)
        for peer in peers:
            rate = rates[peer.name] = measure(
                peer, made, spans=options.spans, senders=options.senders, seconds=options.seconds
            )
            print(
                f"{peer.name:10} {rate.spans:7} spans: acknowledged {rate.spans / rate.acknowledged_s:7.0f}/s, "
                f"readable {rate.readable:7.0f}/s, told to wait {rate.refused} times, {rss_mib(peer.pid):.0f} MiB, "
                f"load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
        for name, rate in rates.items():
            if name != "everyspan":
                print(f"everyspan / {name}: {rates['everyspan'].readable / rate.readable:.1f} x")


if __name__ == "__main__":
    main()
