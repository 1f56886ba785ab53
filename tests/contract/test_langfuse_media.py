"""Langfuse's upload of pictures and files, over real sockets: what its SDKs rely on, and what nobody may do with it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from everyspan.collector.issued import KeyFile, Scope
from everyspan.server import Server, running
from tests.clients.programs import MEDIA
from tests.collector_requests import TRACE_ID, Answer, body, exchange, generation, get, post, settled

A, B = "Bearer sk-a", "Bearer sk-b"
PICTURE = b"\x89PNG <script>alert(1)</script>" * 100


@pytest.fixture
def server(tmp_path: Path, store_url: str) -> Iterator[Server]:
    with running(tmp_path / "data", keys=("pk-a:sk-a", "pk-b:sk-b"), store=store_url) as opened:
        yield opened


def sha256(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def announced(server: Server, content: bytes = PICTURE, *, key: str = A, **said: Any) -> Answer:
    values = {
        "traceId": TRACE_ID,
        "contentType": "image/png",
        "contentLength": len(content),
        "sha256Hash": sha256(content),
        "field": "input",
        **said,
    }
    url = f"{server.url}/api/public/media"
    return post(url, json.dumps(values).encode(), "application/json", authorization=key)


def put(url: str, content: bytes = PICTURE) -> Answer:
    return exchange(
        urllib.request.Request(url, data=content, method="PUT", headers={"content-type": "image/png"})
    )


def test_what_is_uploaded_is_read_back_by_a_link_without_a_key(server: Server) -> None:
    link = announced(server)
    uploaded = put(link.json["uploadUrl"])
    about = get(f"{server.url}/api/public/media/{link.json['mediaId']}", Authorization=A)
    read = get(about.json["url"])

    assert (link.status, uploaded.status, about.status, read.status) == (201, 200, 200, 200)
    assert link.json["mediaId"] == sha256(PICTURE).replace("+", "-").replace("/", "_")[:22]
    assert (about.json["contentType"], about.json["contentLength"]) == ("image/png", len(PICTURE))
    assert read.body == PICTURE
    assert read.headers["content-disposition"].startswith("attachment")
    assert read.headers["x-content-type-options"] == "nosniff"
    assert read.headers["content-security-policy"].startswith("default-src 'none'")


def test_a_file_that_is_here_is_not_uploaded_again_and_lives_as_long_as_one_of_its_traces(
    server: Server,
) -> None:
    post(f"{server.url}/v1/traces", body(generation()), authorization=A)
    settled(server.url, Authorization=A)
    put(announced(server).json["uploadUrl"])

    again = announced(server, traceId="f" * 32, field="output")
    gone = [
        exchange(
            urllib.request.Request(
                f"{server.url}/api/public/traces/{TRACE_ID}", method="DELETE", headers={"Authorization": A}
            )
        ).status
        for _ in range(2)
    ]
    left = server.store.list_media("pk-a")

    assert (again.status, again.json["uploadUrl"]) == (200, None)
    assert gone == [200, 404]
    assert [each.uses for each in left] == [(("f" * 32, "", "output"),)]


@pytest.mark.parametrize(
    "content",
    [PICTURE[:-1], PICTURE + b"x", b"x" * len(PICTURE), b""],
    ids=["shorter", "longer", "another", "empty"],
)
def test_only_the_file_that_was_announced_is_taken(server: Server, content: bytes) -> None:
    link = announced(server).json

    assert put(link["uploadUrl"], content).status in (400, 413)
    assert get(f"{server.url}/api/public/media/{link['mediaId']}", Authorization=A).status == 404


def test_links_open_nothing_but_what_they_were_signed_for(server: Server) -> None:
    link = announced(server).json["uploadUrl"]
    place, _, token = link.partition("?token=")
    put(link)
    media_id = place.split("/")[-2]
    reading = get(f"{server.url}/api/public/media/{media_id}", Authorization=A).json["url"]

    wrong = [
        put(place),
        put(f"{place}?token=AAAA"),
        put(f"{place}?token={token[:-4]}AAAA"),
        put(place.replace(media_id, "x" * 22) + f"?token={token}"),
        put(f"{place}?token={reading.partition('?token=')[2]}"),
        get(reading.partition("?")[0] + f"?token={token}"),
        get(reading.partition("?")[0], Authorization=A),
        get(f"{server.url}/api/public/media/{media_id}", Authorization=B),
        announced(server, key=""),
    ]

    assert [answer.status for answer in wrong] == [403] * 7 + [404, 401]
    assert get(reading).body == PICTURE


@pytest.mark.parametrize(
    "said",
    [
        {"contentLength": 0},
        {"contentLength": 1 << 40},
        {"contentLength": True},
        {"contentType": "text/html\r\nx: y"},
        {"sha256Hash": "short"},
        {"field": "elsewhere"},
        {"traceId": None},
        {"traceId": None, "datasetId": "d", "datasetItemId": "i"},
        {"observationId": 7},
    ],
    ids=str,
)
def test_an_announcement_that_says_nothing_sensible_is_refused(server: Server, said: dict[str, Any]) -> None:
    answer = announced(server, **said)

    assert answer.status == 400
    assert answer.json["message"]


def test_the_current_sdk_uploads_a_picture_and_reads_it_back(server: Server) -> None:
    environment = {**os.environ, "LANGFUSE_HOST": server.url}
    environment |= {"LANGFUSE_PUBLIC_KEY": "pk-a", "LANGFUSE_SECRET_KEY": "sk-a"}

    done = subprocess.run(
        [sys.executable, "-c", MEDIA.format(picture=PICTURE)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    settled(server.url, Authorization=A)
    trace = get(f"{server.url}/api/public/traces/{read['trace']}", Authorization=A).json
    assert (read["same"], read["type"]) == (True, "image/png")
    assert read["id"] in json.dumps(trace["input"])


def test_an_upload_counts_to_the_quota_of_the_key_that_asked_for_it(tmp_path: Path) -> None:
    _, secret = KeyFile(tmp_path).create(project="a", scopes=[Scope.INGEST], bytes_per_day=1000)
    with running(tmp_path) as server:
        statuses = [announced(server, key=f"Bearer {secret}").status for _ in range(2)]

    assert statuses == [201, 429]
