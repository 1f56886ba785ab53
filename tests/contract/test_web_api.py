"""The API as other programs see it: described, paged, strict, and readable by Jaeger's clients."""

from __future__ import annotations

import csv
import io
import re
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from everyspan.server import Server, running
from tests.browsing import deliver
from tests.collector_requests import get
from tests.web_traces import WRITER, Story, afternoon

NOON_MS = 1_790_000_000_000.0


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("desk")) as server:
        story = Story(7)
        list(afternoon(story, until_ms=NOON_MS, hours=30, tickets=12))
        deliver(server, story.frames(closed=True), writer=WRITER, spooled_to=story.seq)
        yield server


def ask(desk: Server, path: str) -> Any:
    answer = get(f"{desk.url}{path}")
    assert answer.status == 200, answer.body
    return answer.json


def test_every_endpoint_answers_what_its_description_says(desk: Server) -> None:
    described = ask(desk, "/api/v1/openapi.json")
    trace = ask(desk, "/api/v1/traces")["traces"][0]["trace_id"]
    key = ask(desk, f"/api/v1/traces/{trace}/skeleton")["spans"][0][0]

    for path, operation in described["paths"].items():
        answer = get(desk.url + path.format(trace_id=trace, key=key))
        (media_type, content), *_ = operation["get"]["responses"]["200"]["content"].items()
        assert answer.headers["content-type"].partition(";")[0] == media_type, path
        if "$ref" in content["schema"]:
            fits(answer.json, content["schema"], described["components"]["schemas"], path)


def fits(said: Any, schema: Any, schemas: Any, where: str) -> None:
    """Fail where a value is not what its schema says."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        if said is None:
            assert {"type": "null"} in schema["anyOf"], where
            return None
        schema = next(each for each in schema["anyOf"] if each != {"type": "null"})
        return fits(said, schema, schemas, where)
    kinds = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}
    if "type" in schema:
        assert isinstance(said, kinds[schema["type"]]), f"{where} is {said!r}"
    if "enum" in schema:
        assert said in schema["enum"], where
    for name, each in schema.get("properties", {}).items():
        if name in said:
            fits(said[name], each, schemas, f"{where}.{name}")
    if schema.get("properties"):
        assert set(said) <= set(schema["properties"]) | {"sentence", "quarantined"}, where
    for item in said if isinstance(said, list) and "items" in schema else ():
        fits(item, schema["items"], schemas, f"{where}[]")
    return None


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/api/v1/traces?modle=x", 400, "'modle' is no parameter here"),
        ("/api/v1/traces?min_cost=cheap", 400, "min_cost is 'cheap'; it takes US dollars"),
        ("/api/v1/traces?limit=1001", 400, "limit is 1001; it takes 1 to 1000"),
        ("/api/v1/traces?before=now", 400, "no cursor"),
        ("/api/v1/costs?by=colour", 400, "it takes one of"),
        ("/api/v1/groups?order=best", 400, "it takes one of"),
        ("/api/v1/traces/00", 404, "no trace 00"),
        ("/api/v1/traces/00/spans/x", 404, "no trace 00"),
    ],
)
def test_errors_have_one_shape_and_say_what_was_wrong(
    desk: Server, path: str, status: int, words: str
) -> None:
    answer = get(desk.url + path)

    assert answer.status == status
    assert set(answer.json) == {"error", "message"}
    assert words in answer.json["error"]


def test_pages_follow_each_other_without_a_gap_while_new_traces_arrive(desk: Server) -> None:
    everything = [trace["trace_id"] for trace in ask(desk, "/api/v1/traces?limit=1000")["traces"]]

    first = ask(desk, "/api/v1/traces?limit=5")
    story = Story(99, writer="0000312-5eedfacade02")
    story.span(story.trace(), "newer", at_ms=NOON_MS + 60_000, took_ms=5)
    deliver(desk, story.frames(closed=True), writer=story.writer, spooled_to=1)
    found, cursor = [trace["trace_id"] for trace in first["traces"]], first["next_cursor"]
    while cursor:
        page = ask(desk, f"/api/v1/traces?limit=5&before={cursor}")
        found += [trace["trace_id"] for trace in page["traces"]]
        cursor = page["next_cursor"]

    assert found == everything


def test_the_table_for_spreadsheets_holds_the_same_money_and_no_formula(desk: Server) -> None:
    story = Story(5, writer="0000313-5eedfacade03")
    story.call(
        story.trace(), "gpt-4o", provider="openai", asked="", answer="", at_ms=NOON_MS, took_ms=1,
        user__id="=HYPERLINK(1)",
    )  # fmt: skip
    deliver(desk, story.frames(closed=True), writer=story.writer, spooled_to=1)

    rows = list(csv.DictReader(io.StringIO(get(f"{desk.url}/api/v1/costs.csv?by=user").body.decode())))

    total = ask(desk, "/api/v1/costs?by=user")["total"]
    assert sum(Decimal(row["cost_usd"]) for row in rows) == Decimal(total["cost"])
    assert "'=HYPERLINK(1)" in [row["user"] for row in rows]
    assert not [cell for row in rows for cell in row.values() if re.match(r"[=+@-]", cell)]


def test_the_stream_of_news_tells_that_something_was_stored(desk: Server) -> None:
    with urllib.request.urlopen(f"{desk.url}/api/v1/live", timeout=20) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.readline() == b"retry: 1000\n"
        story = Story(11, writer="0000314-5eedfacade04")
        story.span(story.trace(), "seen", at_ms=NOON_MS, took_ms=5)
        deliver(desk, story.frames(closed=True), writer=story.writer, spooled_to=1)

        lines = [stream.readline() for _ in range(3)]

    assert b"event: stored\n" in lines


def test_a_server_that_stops_ends_the_streams_of_news(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        stream = urllib.request.urlopen(f"{server.url}/api/v1/live", timeout=20)
        stream.readline()

    with stream:
        assert stream.read() == b"\n"
