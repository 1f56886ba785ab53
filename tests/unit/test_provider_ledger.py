"""The ledger is true whatever becomes of the client, and of the provider."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from everyspan.testing import Entry, FakeProvider, Outcome, ProviderProcess, read_ledger
from everyspan.testing.provider.limits import raise_open_files_limit

STREAMING_CLIENT = """
import sys, anthropic
client = anthropic.Anthropic(api_key="sk-ant-doomed", base_url=sys.argv[1], max_retries=0)
question = [{"role": "user", "content": "hi [[hang-after=3]]"}]
for event in client.messages.create(model="claude-haiku-4-5", max_tokens=64, messages=question, stream=True):
    print(event.type, flush=True)
"""


def test_a_stream_whose_client_is_killed_owes_for_what_was_sent(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with FakeProvider(ledger_path=path) as provider:
        client = subprocess.Popen(
            [sys.executable, "-c", STREAMING_CLIENT, provider.url], stdout=subprocess.PIPE, text=True
        )
        assert client.stdout is not None
        seen = [client.stdout.readline().strip() for _ in range(5)]
        while_open = read_ledger(path)

        client.send_signal(signal.SIGKILL)
        provider.ledger.wait_until(lambda bill: bill.calls[0].outcome is not Outcome.SENDING)
        client.wait()
        client.stdout.close()

    # message_start, content_block_start, three pieces (the SDK keeps the ping to itself).
    assert seen[2:] == ["content_block_delta"] * 3
    assert [entry.outcome for entry in while_open.calls] == [Outcome.SENDING]
    (entry,) = read_ledger(path).of("sk-ant-doomed").calls
    assert (entry.outcome, entry.tokens.fresh_input, entry.tokens.output) == (Outcome.ABORTED, 5, 3)
    assert entry.cost_usd == Decimal("0.000020")


def test_the_file_holds_the_call_before_the_client_has_the_answer(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with ProviderProcess(ledger_path=path) as provider:
        answers = asyncio.run(ask_all(provider.url, ["one", "two", "three"]))

        bill = provider.bill

    assert [json.loads(answer)["id"] for answer in answers] == [
        entry.response_id for entry in by_prompt(bill.calls)
    ]
    assert all(entry.outcome is Outcome.SERVED for entry in bill.calls)


def test_a_provider_that_is_killed_leaves_every_answered_call_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    provider = ProviderProcess(ledger_path=path).start()
    asyncio.run(ask_all(provider.url, [f"question {number}" for number in range(20)]))

    os.kill(provider.pid, signal.SIGKILL)
    provider.stop()

    assert len(read_ledger(path).calls) == 20


def test_the_file_says_the_same_as_the_books_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with FakeProvider(ledger_path=path) as provider:
        asyncio.run(ask_all(provider.url, ["one", "two [[status=500]]", "three"]))

        in_memory = provider.ledger.bill()

    assert read_ledger(path).entries == in_memory.entries
    assert read_ledger(path).cost == in_memory.cost > 0


def test_two_thousand_requests_are_served_at_the_same_time(tmp_path: Path) -> None:
    most = raise_open_files_limit()
    if most < 2500:
        pytest.skip(f"this machine allows {most} open files, the test needs 2500")
    questions = [f"question {number} [[delay=1]]" for number in range(2000)]
    with ProviderProcess(ledger_path=tmp_path / "ledger.jsonl") as provider:
        begun_s = time.monotonic()

        answers = asyncio.run(ask_all(provider.url, questions))

        took_s = time.monotonic() - begun_s
        bill = provider.bill

    # One after the other they would take 2,000 seconds.
    assert took_s < 25
    assert len({json.loads(answer)["id"] for answer in answers}) == 2000
    assert {entry.prompt for entry in bill.calls} == set(questions)
    owed = sum(entry.tokens.fresh_input + 5 * entry.tokens.output for entry in bill.calls)
    assert bill.cost == Decimal(owed) / 1_000_000


async def ask_all(url: str, prompts: list[str]) -> list[bytes]:
    """Ask everything at once, each question on a connection of its own; the answers' bodies in order."""
    return list(await asyncio.gather(*(ask(url, prompt) for prompt in prompts)))


async def ask(url: str, prompt: str) -> bytes:
    body = json.dumps(
        {"model": "claude-haiku-4-5", "max_tokens": 64, "messages": [{"role": "user", "content": prompt}]}
    ).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
    head = f"POST /v1/messages HTTP/1.1\r\nx-api-key: sk-ant-raw\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    answer_head = await reader.readuntil(b"\r\n\r\n")
    length = int(answer_head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    answer = await reader.readexactly(length)
    writer.close()
    return answer


def by_prompt(calls: tuple[Entry, ...]) -> list[Entry]:
    order = {"one": 0, "two": 1, "three": 2}
    return sorted(calls, key=lambda entry: order[entry.prompt])
