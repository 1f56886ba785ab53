"""Results of batches: a span for each request when they are fetched, at half of the list price, failed ones at none."""

from __future__ import annotations

import asyncio
import importlib
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
    {"custom_id": "d", "response": None, "error": {"code": "batch_expired", "message": "too late"}},
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
    {"custom_id": "c", "result": {"type": "canceled"}},
    {"custom_id": "d", "result": {"type": "errored", "error": {"error": {"type": "overloaded_error"}}}},
]
GEMINI: dict[str, Any] = {
    "candidates": [{"content": {"parts": [{"text": "yes"}], "role": "model"}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 1000, "candidatesTokenCount": 100, "totalTokenCount": 1100},
    "modelVersion": "gemini-2.5-flash",
}
REFUSAL = {"code": 400, "message": "no", "status": "INVALID_ARGUMENT"}
INLINED = [
    {"response": {**GEMINI, "responseId": "r-a"}, "metadata": {"key": "a"}},
    {"error": REFUSAL, "metadata": {"key": "b"}},
]
GEMINIS = [{"key": "a", "response": {**GEMINI, "responseId": "r-a"}}, {"key": "b", "error": REFUSAL}]


def gemini_batch(state: str, output: dict[str, Any]) -> dict[str, Any]:
    about = {"model": "models/gemini-2.5-flash", "state": f"BATCH_STATE_{state}", "output": output}
    return {"name": "batches/1", "metadata": about}


ENDED = gemini_batch("SUCCEEDED", {"inlinedResponses": {"inlinedResponses": INLINED}})
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
            "/v1/messages/batches/msgbatch_1/results": ANTHROPIC,
            **dict.fromkeys(("/v1/batches/1", "/v1/batches/3"), ENDED),
            "/v1/batches/2": gemini_batch("RUNNING", {}),
            "/v1/files/batch-3:download": GEMINIS,
        }
        found = files[self.path.partition("?")[0].replace("/v1beta/", "/v1/")]  # google-genai 1 and 3
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


def failed(span: ReceivedSpan) -> tuple[Any, ...]:
    known = span.attributes
    assert span.status == "error"
    assert "everyspan.cost.total" not in known
    assert known["everyspan.end"] == "error"
    return known["everyspan.batch.custom_id"], known["everyspan.unbilled"]


def says(kind: str) -> str:
    return f"the request of the batch failed ({kind})"


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
    assert len(content.splitlines()) == 4
    first, refused, third, late = recorded.spans()
    assert [told(first), told(third)] == [("a", "chatcmpl-a", half), ("c", "chatcmpl-c", half)]
    assert [failed(refused), failed(late)] == [("b", says("429")), ("d", says("batch_expired"))]


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
    assert lines == ["a", "b", "c", "d"]
    ours = [
        span for span in recorded.spans() if span.scope == "everyspan"
    ]  # the SDK tells of its GET by itself
    first, *rest = ours
    assert told(first) == ("a", "msg_a", half)
    kinds = [("b", says("expired")), ("c", says("canceled")), ("d", says("overloaded_error"))]
    assert [failed(span) for span in rest] == kinds


# $0.30 and $2.50 for a million tokens of Gemini 2.5 Flash, and half of it for a batch.
HALF_OF_GEMINI = (1000 * Decimal("0.30") + 100 * Decimal("2.50")) / 1_000_000 / 2


@pytest.mark.parametrize("is_async", [False, True])
def test_geminis_results_in_the_batch_are_recorded_when_it_has_ended_and_once(
    url: str, is_async: bool, recorded: Recording
) -> None:
    genai = pytest.importorskip("google.genai")
    if not hasattr(genai.types, "InlinedResponse"):
        pytest.skip("this version of google-genai has no batches for the Gemini API")
    client = genai.Client(api_key="k", vertexai=False, http_options={"base_url": url})
    ended = "batches/3" if is_async else "batches/1"  # a process records one once
    asks = client.aio.batches if is_async else client.batches

    async def poll() -> None:
        for name in ("batches/2", ended, ended):
            job = asks.get(name=name)
            job = await job if is_async else job
        assert job.state.name == "JOB_STATE_SUCCEEDED"

    asyncio.run(poll())

    answered, refused = recorded.spans()
    assert told(answered) == ("a", "r-a", HALF_OF_GEMINI)
    assert failed(refused) == ("b", says("INVALID_ARGUMENT"))


@pytest.mark.parametrize("is_async", [False, True])
def test_geminis_results_in_a_file_are_recorded_when_it_is_downloaded(
    url: str, is_async: bool, recorded: Recording
) -> None:
    genai = pytest.importorskip("google.genai")
    client = genai.Client(api_key="k", vertexai=False, http_options={"base_url": url})

    async def adownload() -> bytes:
        return bytes(await client.aio.files.download(file="files/batch-3"))

    file = asyncio.run(adownload()) if is_async else client.files.download(file="files/batch-3")

    assert len(file.splitlines()) == 2
    answered, refused = recorded.spans()
    assert told(answered) == ("a", "r-a", HALF_OF_GEMINI)
    assert failed(refused) == ("b", says("INVALID_ARGUMENT"))


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(("provider", "file"), [("openai", "file-1"), ("anthropic", "msgbatch_1")])
def test_results_fetched_with_litellm_are_recorded_once_whoever_fetches_them_for_it(
    url: str, provider: str, file: str, is_async: bool, recorded: Recording
) -> None:
    litellm = pytest.importorskip("litellm")
    module = importlib.import_module("litellm.llms.anthropic.files.transformation")
    if provider == "anthropic" and not hasattr(module, "ANTHROPIC_MESSAGE_BATCH_ID_PREFIX"):
        pytest.skip("this version of litellm asks Anthropic's files for it")
    where = {"file_id": file, "custom_llm_provider": provider, "api_base": url, "api_key": "k"}

    content = asyncio.run(litellm.afile_content(**where)) if is_async else litellm.file_content(**where)

    assert len(content.content.splitlines()) == 4
    ours = [span for span in recorded.spans() if span.scope == "everyspan"]
    answered = [span for span in ours if span.status != "error"]
    assert [span.attributes["everyspan.batch.custom_id"] for span in ours] == ["a", "b", "c", "d"]
    assert len(answered) == (2 if provider == "openai" else 1)
    listed = (Decimal("0.15"), Decimal("0.60")) if provider == "openai" else (Decimal(1), Decimal(5))
    half = (1000 * listed[0] + 100 * listed[1]) / 1_000_000 / 2
    assert {Decimal(str(span.attributes["everyspan.cost.total"])) for span in answered} == {half}
    assert {span.attributes["gen_ai.provider.name"] for span in ours} == {provider}
