"""Requests to known providers that no span tells of are counted, and those that have one are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import everyspan
from everyspan.server import running
from everyspan.testing import FakeProvider
from tests.collector_requests import settled
from tests.programs import run_program

PROGRAM = """
import asyncio, json, socket
look_up = socket.getaddrinfo
def found(host, *args, **kwargs):
    return look_up("127.0.0.1" if host in ("api.openai.com", b"api.openai.com") else host, *args, **kwargs)
socket.getaddrinfo = found
import everyspan
everyspan.init("http://127.0.0.1:9")
base = {base!r}
body = dict(model="gpt-4o-mini", messages=[dict(role="user", content="hello")])
headers = dict(authorization="Bearer k")
{code}
print(json.dumps(everyspan.stats()["requests"]))
"""
AIOHTTP = """
import aiohttp
async def main():
    async with aiohttp.ClientSession() as session:
        async with session.post(base + "/chat/completions", json=body, headers=headers) as answer:
            await answer.read()
asyncio.run(main())
"""
HTTPX = """
import httpx
async def main():
    async with httpx.AsyncClient() as client:
        await client.post(base + "/chat/completions", json=body, headers=headers)
asyncio.run(main())
"""
WITHOUT = {
    "httpx": 'import httpx; httpx.post(base + "/chat/completions", json=body, headers=headers)',
    "httpx, async": HTTPX,
    "httpx2": 'import httpx2; httpx2.post(base + "/chat/completions", json=body, headers=headers)',
    "requests": 'import requests; requests.post(base + "/chat/completions", json=body, headers=headers)',
    "aiohttp": AIOHTTP,
}


def counted(tmp_path: Path, provider: FakeProvider, code: str) -> Any:
    base = provider.openai_url.replace("127.0.0.1", "api.openai.com")
    return json.loads(run_program(PROGRAM.format(base=base, code=code), spool=tmp_path).splitlines()[-1])


@pytest.mark.parametrize("library", WITHOUT)
def test_a_request_that_nothing_records_is_counted(
    tmp_path: Path, provider: FakeProvider, library: str
) -> None:
    found = counted(tmp_path, provider, WITHOUT[library])

    assert len(provider.ledger.calls) == 1
    assert found == {"seen": {"api.openai.com": 1}, "without_span": {"api.openai.com": 1}}


def test_requests_of_recorded_calls_and_of_no_calls_are_not(tmp_path: Path, provider: FakeProvider) -> None:
    code = """
import openai
client = openai.OpenAI(api_key="k", base_url=base, max_retries=0)
client.chat.completions.create(**body)
list(client.chat.completions.create(**body, stream=True))
try:
    client.models.list()
except openai.NotFoundError:
    pass
"""

    found = counted(tmp_path, provider, code)

    assert found == {"seen": {"api.openai.com": 2}, "without_span": {}}


def test_the_collectors_audit_says_how_many_calls_had_no_span(tmp_path: Path, provider: FakeProvider) -> None:
    post = 'httpx.post(base + "/chat/completions", json=body, headers=headers)'
    forked = (
        f"pid = os.fork()\nif not pid:\n    {post}\n    everyspan.flush(); os._exit(0)\nos.waitpid(pid, 0)"
    )
    code = f"import httpx, os\nfor _ in range(3):\n    {post}\n{forked}"
    base = provider.openai_url.replace("127.0.0.1", "api.openai.com")

    with running(tmp_path / "data") as server:
        program = PROGRAM.format(base=base, code=code).replace("http://127.0.0.1:9", server.url)
        run_program(program, spool=tmp_path / "spool")
        settled(server.url)
        found = everyspan.Client(server.url).audit()

    assert found.without_span == {"api.openai.com": 4}
    assert "4 calls to api.openai.com had no span" in found.sentence
    assert found.spans == 0
