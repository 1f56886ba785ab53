"""Everything three times, out of order, by two senders at once: what can be read is what one delivery leaves."""

from __future__ import annotations

import http.client
import json
import random
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from everyspan.server import Server, running
from everyspan.wire.decode import wrap
from everyspan.wire.frame import Kind, pack
from tests.collector_requests import PROTOBUF, body, generation, get, settled, span

WRITERS = ("0000001-00000000000a", "0000002-00000000000b")
OTHER_ID = "resp_0123456789abcdef"
CALLS = 40


def traced(number: int, sent: Any) -> Any:
    """The span in one of eight traces."""
    sent.trace_id = (number % 8 + 1).to_bytes(16, "big")
    return sent


def framed(writer: str, seq: int, sent: Any, kind: Kind = Kind.SPAN) -> bytes:
    field_1 = body(sent)
    return pack(kind, seq, field_1 if kind is Kind.SPAN else b"\xd2\x3e" + field_1[1:], nonce=7)


def stamped(writer: str, seq: int, number: int, **attributes: Any) -> Any:
    stamp = {"everyspan.stamp": f"{writer}:{seq:016x}"}
    return traced(number, generation(number, **stamp, **attributes))


def bodies() -> list[bytes]:
    """What two writers and a stock exporter send: begun calls, ended and interrupted ones, twins, roots."""
    made = []
    for index, writer in enumerate(WRITERS):
        for number in range(CALLS):
            at, seq = 1000 * (index + 1) + number, 2 * number + 1
            begun = stamped(writer, seq, at)
            made.append(framed(writer, seq, begun, Kind.START))
            if number % 10 == 9:
                interrupted = stamped(writer, seq, at, **{"everyspan.end": "interrupted"})
                made.append(framed(writer, seq, interrupted))
            shared = {"gen_ai.response.id": OTHER_ID} if number % 20 == 3 else {}
            made.append(framed(writer, seq + 1, stamped(writer, seq + 1, at, **shared)))
        closing = json.dumps({"writer": writer, "last": 2 * CALLS}).encode()
        made.append(pack(Kind.CLOSE, 0, wrap(Kind.CLOSE, closing), nonce=7))
    for number in range(CALLS):
        inner = traced(number, generation(3000 + number, **{"user.id": f"u-{number % 3}"}))
        outer = traced(number, generation(4000 + number))
        inner.parent_span_id = outer.span_id
        made.append(body(inner, traced(number, span(5000 + number, name="root"))))
        made.append(body(outer, scope="wrapper"))
    return made


def deliver(server: Server, mine: Sequence[bytes]) -> None:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    for content in mine:
        connection.request("POST", "/v1/traces", body=content, headers={"Content-Type": PROTOBUF})
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"")
    connection.close()


def readable(server: Server) -> dict[str, Any]:
    """All that the API tells, without the times of arrival."""
    settled(server.url)
    ask = {by: f"costs?by={by}" for by in ("model", "user", "session", "day", "project", "state", "tag")}
    traces = get(f"{server.url}/api/v1/traces?limit=1000").json["traces"]
    told: dict[str, Any] = {by: get(f"{server.url}/api/v1/{path}").json for by, path in ask.items()}
    told["traces"] = traces
    told["audit"] = get(f"{server.url}/api/v1/completeness").json
    for trace in traces:
        told[trace["trace_id"]] = get(f"{server.url}/api/v1/traces/{trace['trace_id']}").json
    return without_arrival(told)  # type: ignore[no-any-return]


def without_arrival(value: Any) -> Any:
    if isinstance(value, dict):
        gone = ("received_ns", "seen_ns", "sentence", "now_ns")
        return {name: without_arrival(each) for name, each in value.items() if name not in gone}
    return [without_arrival(each) for each in value] if isinstance(value, list) else value


def test_everything_three_times_out_of_order_by_two_senders_reads_like_once(
    tmp_path: Path, store_url: str
) -> None:
    made, chance = bodies(), random.Random(2026)
    with running(tmp_path / "once", store=f"{store_url}_once") as server:
        deliver(server, made)
        once = readable(server)
    thrice = [*made, *made, *made]
    chance.shuffle(thrice)

    with running(tmp_path / "thrice", store=f"{store_url}_thrice") as server:
        threads = [threading.Thread(target=deliver, args=(server, thrice[first::2])) for first in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        again = readable(server)

    assert once["project"]["total"]["calls"] > 0
    assert again == once
