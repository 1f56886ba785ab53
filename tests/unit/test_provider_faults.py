"""The fake provider misbehaves exactly as told, and bills what it sent before it did."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import openai
import pytest

from everyspan.testing import Entry, FakeProvider, Outcome, Script
from everyspan.testing.provider import ScriptError
from everyspan.testing.provider.script import parse_script


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as running:
        yield running


def ask_claude(provider: FakeProvider, text: str, *, retries: int = 0, stream: bool = False) -> list[Any]:
    """The events of the answer, or the whole message."""
    client = anthropic.Anthropic(api_key="sk-ant-test", base_url=provider.url, max_retries=retries)
    answer = client.messages.create(
        model="claude-haiku-4-5", max_tokens=64, messages=[{"role": "user", "content": text}], stream=stream
    )
    return list(answer) if stream else [answer]


def ask_gpt(provider: FakeProvider, text: str, *, retries: int = 0, stream: bool = False) -> list[Any]:
    client = openai.OpenAI(api_key="sk-test", base_url=provider.openai_url, max_retries=retries)
    answer: Any = client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": text}], stream=stream
    )
    return list(answer) if stream else [answer]


Ask = Callable[..., list[Any]]
ASKS = [ask_claude, ask_gpt]


def only(provider: FakeProvider) -> Entry:
    (entry,) = provider.ledger.bill().entries
    return entry


@pytest.mark.parametrize("ask", ASKS)
def test_a_rate_limit_for_two_requests_is_waited_out_and_billed_once(
    provider: FakeProvider, ask: Ask
) -> None:
    ask(provider, "hi [[status=429 retry-after=0.05 times=2]]", retries=2)

    entries = provider.ledger.bill().entries
    assert [entry.status for entry in entries] == [429, 429, 200]
    assert len(provider.ledger.calls) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, anthropic.AuthenticationError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (529, anthropic.APIStatusError),
    ],
)
def test_an_error_has_the_shape_that_the_sdk_knows(
    provider: FakeProvider, status: int, error: type[Exception]
) -> None:
    with pytest.raises(error) as raised:
        ask_claude(provider, f"hi [[status={status} retry-after=3]]")

    response = getattr(raised.value, "response")  # noqa: B009 - the SDK's classes differ
    assert response.headers["retry-after"] == "3"
    assert response.headers["request-id"] == only(provider).request_id
    assert only(provider).outcome is Outcome.REFUSED


@pytest.mark.parametrize("ask", ASKS)
def test_a_stream_cut_after_three_pieces_owes_for_three(provider: FakeProvider, ask: Ask) -> None:
    with pytest.raises(Exception, match=r"incomplete chunked read|Connection error"):
        ask(provider, "hi [[cut-after=3]]", stream=True)

    assert (only(provider).outcome, only(provider).tokens.output) == (Outcome.CUT, 3)


@pytest.mark.parametrize(("ask", "error"), [(ask_claude, anthropic.APIError), (ask_gpt, openai.APIError)])
def test_a_stream_that_fails_says_so_in_the_apis_words(
    provider: FakeProvider, ask: Ask, error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"Overloaded|server had an error"):
        ask(provider, "hi [[fail-after=2]]", stream=True)

    assert (only(provider).outcome, only(provider).tokens.output) == (Outcome.FAILED, 2)


@pytest.mark.parametrize("ask", ASKS)
def test_a_plain_answer_cut_in_its_body_is_owed_in_full(provider: FakeProvider, ask: Ask) -> None:
    with pytest.raises((anthropic.APIConnectionError, openai.APIConnectionError)):
        ask(provider, "hi [[cut-after=1 words=9]]")

    assert (only(provider).outcome, only(provider).tokens.output) == (Outcome.CUT, 9)


@pytest.mark.parametrize("ask", ASKS)
def test_a_dropped_connection_owes_nothing(provider: FakeProvider, ask: Ask) -> None:
    with pytest.raises((anthropic.APIConnectionError, openai.APIConnectionError)):
        ask(provider, "hi [[drop]]")

    assert only(provider).outcome is Outcome.DROPPED
    assert provider.ledger.cost == 0


def test_a_client_that_gives_up_waiting_is_noticed(provider: FakeProvider) -> None:
    client = anthropic.Anthropic(api_key="sk", base_url=provider.url, max_retries=0, timeout=0.2)

    with pytest.raises(anthropic.APITimeoutError):
        client.messages.create(
            model="claude-haiku-4-5", max_tokens=9, messages=[{"role": "user", "content": "[[hang]]"}]
        )
    client.close()

    bill = provider.ledger.wait_until(lambda bill: bool(bill.entries))
    assert bill.entries[0].outcome is Outcome.ABORTED
    assert bill.calls == ()


def test_delay_and_gap_are_waited_for(provider: FakeProvider) -> None:
    begun_s = time.monotonic()

    ask_claude(provider, "hi [[delay=0.2 gap=0.05 words=4]]", stream=True)

    assert 0.4 <= time.monotonic() - begun_s < 5


def test_a_test_can_script_what_the_request_does_not_say(provider: FakeProvider) -> None:
    provider.script(Script(status=500, times=1), model="claude-haiku-4-5", containing="hi")

    with pytest.raises(anthropic.InternalServerError):
        ask_claude(provider, "hi")
    ask_claude(provider, "hi")
    ask_gpt(provider, "hi")

    assert [entry.status for entry in provider.ledger.bill().entries] == [500, 200, 200]


def test_the_header_scripts_requests_whose_text_must_stay_as_it_is(provider: FakeProvider) -> None:
    client = openai.OpenAI(api_key="sk", base_url=provider.openai_url, max_retries=0)

    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": "hi"}],
            extra_headers={"x-fake-provider": "status=503"},
        )

    assert only(provider).status == 503


@pytest.mark.parametrize("words", ["delay", "delay=soon", "status=4x9", "cut-after=1.5", "drop=1", "loud"])
def test_words_that_mean_nothing_are_not_ignored(words: str) -> None:
    with pytest.raises(ScriptError):
        parse_script(words)


def test_a_request_may_come_in_pieces_and_in_chunks(provider: FakeProvider) -> None:
    body = json.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer sk\r\nTransfer-Encoding: chunked\r\n\r\n"
    sent = head + b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (9, body[:9], len(body) - 9, body[9:])

    with socket.create_connection(("127.0.0.1", provider.port)) as connection:
        for at in range(0, len(sent), 7):
            connection.sendall(sent[at : at + 7])
        answer = connection.recv(65_536)

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(provider.ledger.calls) == 1


def test_a_path_that_is_no_api_is_answered_with_those_that_are(provider: FakeProvider) -> None:
    with socket.create_connection(("127.0.0.1", provider.port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        answer = connection.recv(65_536)

    assert b"404" in answer
    assert b"POST /v1/messages" in answer
