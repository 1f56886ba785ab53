"""Results of batches: a span for each answer when it is fetched, at half of the list price."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import anthropic
import openai
import pytest

from everyspan.testing.received import ReceivedSpan
from tests.recording import Recording

USAGE = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
CHAT = {
    "object": "chat.completion",
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}],
    "usage": USAGE,
}
OPENAI = [
    {"custom_id": "a", "response": {"status_code": 200, "body": {**CHAT, "id": "chatcmpl-a"}}},
    {"custom_id": "b", "response": {"status_code": 429, "body": {"error": {"message": "no"}}}},
    {"custom_id": "c", "response": {"status_code": 200, "body": {**CHAT, "id": "chatcmpl-c"}}},
]
MESSAGE = {
    "id": "msg_a",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-4-5-20251001",
    "content": [{"type": "text", "text": "yes"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 1000, "output_tokens": 100, "service_tier": "batch"},
}
ANTHROPIC = [
    {"custom_id": "a", "result": {"type": "succeeded", "message": MESSAGE}},
    {"custom_id": "b", "result": {"type": "expired"}},
]
BATCH = {"id": "msgbatch_1", "type": "message_batch", "processing_status": "ended"}


class Provider(BaseHTTPRequestHandler):
    """Answers with the files of finished batches."""

    def do_GET(self) -> None:
        host = self.headers["host"]
        files: dict[str, Any] = {
            "/files/file-1/content": OPENAI,
            "/files/file-2/content": [{"custom_id": "a", "body": {"model": "gpt-4o-mini"}}],
            "/v1/messages/batches/msgbatch_1": {**BATCH, "results_url": f"http://{host}/results"},
            "/results": ANTHROPIC,
        }
        found = files[self.path.partition("?")[0]]
        lines = found if isinstance(found, list) else [found]
        body = "\n".join(map(json.dumps, lines)).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json" if lines is not found else "application/x-jsonl")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Provider) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def told(span: ReceivedSpan) -> tuple[Any, ...]:
    known = span.attributes
    cost = Decimal(str(known["everyspan.cost.total"]))
    return known["everyspan.batch.custom_id"], known["gen_ai.response.id"], cost


@pytest.mark.parametrize("is_async", [False, True])
def test_openais_results_are_recorded_when_the_file_is_fetched(
    url: str, is_async: bool, recorded: Recording
) -> None:
    options: dict[str, Any] = {"api_key": "k", "base_url": url}
    if is_async:
        content = asyncio.run(openai.AsyncOpenAI(**options).files.content("file-1")).content
    else:
        content = openai.OpenAI(**options).files.content("file-1").content

    # $0.15 and $0.60 for a million tokens, and half of it for a batch.
    half = (1000 * Decimal("0.15") + 100 * Decimal("0.60")) / 1_000_000 / 2
    assert len(content.splitlines()) == 3
    assert [told(span) for span in recorded.spans()] == [("a", "chatcmpl-a", half), ("c", "chatcmpl-c", half)]


def test_a_file_that_holds_no_results_is_none_of_our_business(url: str, recorded: Recording) -> None:
    openai.OpenAI(api_key="k", base_url=url).files.content("file-2")

    assert recorded.spans() == []


@pytest.mark.parametrize("is_async", [False, True])
def test_anthropics_results_are_recorded_as_they_are_read(
    url: str, is_async: bool, recorded: Recording
) -> None:
    async def read() -> list[str]:
        client = anthropic.AsyncAnthropic(api_key="k", base_url=url)
        return [line.custom_id async for line in await client.messages.batches.results("msgbatch_1")]

    if is_async:
        lines = asyncio.run(read())
    else:
        client = anthropic.Anthropic(api_key="k", base_url=url)
        lines = [line.custom_id for line in client.messages.batches.results("msgbatch_1")]

    # $1 and $5 for a million tokens, and half of it for a batch.
    half = (1000 * Decimal(1) + 100 * Decimal(5)) / 1_000_000 / 2
    assert lines == ["a", "b"]
    ours = [
        span for span in recorded.spans() if span.scope == "everyspan"
    ]  # the SDK tells of its GET by itself
    assert [told(span) for span in ours] == [("a", "msg_a", half)]
