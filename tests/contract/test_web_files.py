"""How the page reaches a browser: files it may keep, a question asked ahead, long answers squeezed for far machines."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from everyspan.server import Server, running
from everyspan.web.endpoint import Endpoint
from tests.collector_requests import get


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(Path(tmp_path_factory.mktemp("files"))) as opened:
        yield opened


def test_browsers_keep_files_for_good_under_a_version_and_ask_again_for_the_document(server: Server) -> None:
    document = get(f"{server.url}/cost")

    named = set(re.findall(r'"(/static/[^"]+)"', document.body.decode()))
    kept = {name: get(f"{server.url}{name}") for name in named}

    assert document.headers["cache-control"] == "no-cache"
    assert len({name.split("/")[2] for name in named}) == 1
    assert {name.rpartition("/")[2] for name in named} >= {
        "app.js",
        "trace.js",
        "page.css",
        "preact.js",
        "icon.svg",
    }
    assert {(answer.status, "immutable" in answer.headers["cache-control"]) for answer in kept.values()} == {
        (200, True)
    }
    assert get(f"{server.url}/static/js/app.js").headers["cache-control"] == "no-cache"
    assert get(f"{server.url}/static/js/nothing.js").status == 404


def test_the_document_of_a_trace_names_the_question_for_it_whatever_stands_in_its_address(
    server: Server,
) -> None:
    ordinary = get(f"{server.url}/traces/0af7?project=shop&span=x").body.decode()
    hostile = get(f"{server.url}/traces/%22%3E%3Cscript%3Ealert(1)?project=%22%3E%3Cb%3E").body.decode()

    assert 'href="/api/v1/traces/0af7/skeleton?project=shop"' in ordinary
    assert "<script>alert" not in hostile
    assert "<b>" not in hostile
    assert 'rel="preload"' not in get(server.url).body.decode()


@pytest.mark.parametrize(
    ("client", "accepts", "words", "squeezed"),
    [
        ("192.0.2.7", "gzip, br", 20_000, True),
        ("192.0.2.7", "br", 20_000, False),
        ("192.0.2.7", "gzip", 3, False),
        ("127.0.0.1", "gzip", 20_000, False),
    ],
)
def test_only_long_answers_to_other_machines_that_can_read_it_are_squeezed(
    client: str, accepts: str, words: int, squeezed: bool
) -> None:
    content = ["word"] * words

    headers, body = answered(Endpoint(path="/", about="", answer=lambda asked: content), client, accepts)

    assert (headers.get("content-encoding") == "gzip") is squeezed
    assert int(headers["content-length"]) == len(body)
    assert json.loads(gzip.decompress(body) if squeezed else body) == content


def answered(endpoint: Endpoint, client: str, accepts: str) -> tuple[dict[str, str], bytes]:
    """What an endpoint sends to a client at an address."""
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "http_version": "1.1",
        "client": (client, 5000),
        "server": ("x", 80),
        "headers": [(b"accept-encoding", accepts.encode())],
    }
    asyncio.run(Starlette(routes=[endpoint.route()])(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return headers, b"".join(message.get("body", b"") for message in sent)


@pytest.mark.parametrize("odd", ["half \ud83d", 2**70])
def test_what_has_no_usual_form_in_json_is_answered_all_the_same(odd: object) -> None:
    headers, body = answered(Endpoint(path="/", about="", answer=lambda asked: [odd, "é"]), "127.0.0.1", "")

    assert headers["content-type"] == "application/json"
    assert json.loads(body)[1] == "é"
    assert str(json.loads(body)[0]) == str(odd)
