"""A support desk's afternoon: traces as agents make them, for tests of the page, its screenshots and a look by hand.

`python -m tests.web_traces URL [HOURS]` sends them to a collector.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from everyspan.wire.decode import wrap
from everyspan.wire.frame import Kind, pack
from tests.collector_requests import key_values, post

WRITER = "0000311-5eedfacade01"
USERS = ("ada@acme.example", "grace@acme.example", "linus@globex.example", "barbara@initech.example")
QUESTIONS = (
    ("Where is my order?", "Your parcel left Rotterdam this morning and arrives on Thursday."),
    (
        "Can I change the plan in the middle of a month?",
        "Yes. You pay the difference for the days that are left.",
    ),
    ("The export stops at 10,000 rows.", "Choose *Stream* in the export dialog; that one has no limit."),
    (
        "How do I rotate an API key?",
        "Make a second key, deploy it, then delete the first one under Settings → Keys.",
    ),
    ("I was charged twice in May.", "One of the two was a reservation; it is released after seven days."),
)
TOOLS = json.dumps(
    [
        {
            "type": "function",
            "name": "orders.lookup",
            "description": "Finds an order by its number.",
            "parameters": {"type": "object", "properties": {"number": {"type": "string"}}},
        }
    ]
)


class Story:
    """Builds spans with stamps, one after the other; the same seed tells the same story."""

    def __init__(self, seed: int, *, writer: str = WRITER, service: str = "support-desk") -> None:
        self.random = random.Random(seed)
        self.writer, self.service = writer, service
        self.seq = 0
        self.spans: list[Span] = []

    def trace(self) -> bytes:
        """A new trace id."""
        return self.random.randbytes(16)

    def span(
        self,
        trace: bytes,
        name: str,
        *,
        at_ms: float,
        took_ms: float,
        parent: bytes = b"",
        error: str = "",
        **said: Any,
    ) -> bytes:
        """Add a span, times in milliseconds since 1970; its id."""
        self.seq += 1
        attributes: dict[str, Any] = {key.replace("__", "."): value for key, value in said.items()}
        attributes["everyspan.stamp"] = f"{self.writer}:{self.seq:016x}"
        made = Span(
            trace_id=trace,
            span_id=self.random.randbytes(8),
            parent_span_id=parent,
            name=name,
            start_time_unix_nano=int(at_ms * 1e6),
            end_time_unix_nano=int((at_ms + took_ms) * 1e6),
            attributes=key_values(attributes),
        )
        if error:
            made.status.code = Status.STATUS_CODE_ERROR
            made.status.message = error
        self.spans.append(made)
        return made.span_id

    def call(self, trace: bytes, model: str, *, provider: str, asked: str, answer: str, **said: Any) -> bytes:
        """Add a model call whose usage can be priced."""
        read, written = self.random.randint(700, 5200), max(12, len(answer) // 3)
        messages = [
            {
                "role": "system",
                "parts": [{"type": "text", "content": "You answer customers of Acme. Be brief and kind."}],
            },
            {"role": "user", "parts": [{"type": "text", "content": asked}]},
        ]
        out = [{"role": "assistant", "parts": [{"type": "text", "content": answer}], "finish_reason": "stop"}]
        usual = {
            "gen_ai__operation__name": "chat",
            "gen_ai__provider__name": provider,
            "gen_ai__request__model": model,
            "gen_ai__usage__input_tokens": read,
            "gen_ai__usage__output_tokens": written,
            "gen_ai__input__messages": json.dumps(messages),
            "gen_ai__output__messages": json.dumps(out) if answer else "",
        }
        return self.span(trace, f"chat {model}", **{**usual, **said})

    def frames(self, *, closed: bool) -> bytes:
        """Everything told so far, as our sender ships it."""
        told = []
        for seq, made in enumerate(self.spans, start=1):
            request = ExportTraceServiceRequest()
            group = request.resource_spans.add()
            group.resource.attributes.extend(
                key_values({"service.name": self.service, "deployment.environment.name": "production"})
            )
            group.scope_spans.add().spans.append(made)
            told.append(pack(Kind.SPAN, seq, request.SerializeToString(), nonce=7))
        if closed:
            close = wrap(Kind.CLOSE, json.dumps({"writer": self.writer, "last": self.seq}).encode())
            told.append(pack(Kind.CLOSE, 0, close, nonce=7))
        return b"".join(told)


def ticket(story: Story, at_ms: float, number: int) -> bytes:
    """An agent answers a ticket: it looks things up, and when a model is overloaded it falls back to another one."""
    chance = story.random
    asked, answer = QUESTIONS[number % len(QUESTIONS)]
    user = chance.choice(USERS)
    about: dict[str, Any] = {"user__id": user, "session__id": f"chat-{number // 3 + 4100}"}
    trace = story.trace()
    slow = chance.uniform(0.7, 2.4)
    trouble = number % 7 == 3
    took = 3300 * slow + (900 if trouble else 0)
    root = story.span(
        trace,
        "answer_ticket",
        at_ms=at_ms,
        took_ms=took,
        langfuse__observation__type="agent",
        langfuse__trace__name="answer_ticket",
        langfuse__trace__tags=["support", "beta" if number % 4 == 0 else "stable"],
        input__value=asked,
        output__value=answer,
        **about,
    )
    search = story.span(
        trace,
        "search_handbook",
        at_ms=at_ms + 12,
        took_ms=310 * slow,
        parent=root,
        langfuse__observation__type="retriever",
        input__value=asked,
        output__value=json.dumps([{"page": "shipping", "score": 0.83}, {"page": "billing", "score": 0.61}]),
        **about,
    )
    story.span(
        trace,
        "embed query",
        at_ms=at_ms + 20,
        took_ms=120 * slow,
        parent=search,
        gen_ai__operation__name="embeddings",
        gen_ai__provider__name="openai",
        gen_ai__request__model="text-embedding-3-small",
        gen_ai__usage__input_tokens=24,
        **about,
    )
    plan = story.span(
        trace, "plan", at_ms=at_ms + 330 * slow, took_ms=880 * slow, parent=root,
        langfuse__observation__type="chain", **about,
    )  # fmt: skip
    story.call(
        trace, "gpt-4o-mini", provider="openai", asked=asked, answer='{"tool": "orders.lookup", "number": "A-7741"}',
        at_ms=at_ms + 340 * slow, took_ms=850 * slow, parent=plan,
        gen_ai__response__time_to_first_chunk=0.21 * slow, **about,
    )  # fmt: skip
    story.span(
        trace,
        "orders.lookup",
        at_ms=at_ms + 1230 * slow,
        took_ms=140 * slow,
        parent=root,
        langfuse__observation__type="tool",
        input__value=json.dumps({"number": "A-7741"}),
        output__value=json.dumps({"state": "in transit", "carrier": "PostNL", "eta": "Thursday"}),
        **about,
    )
    start = at_ms + 1400 * slow
    if trouble:
        story.call(
            trace, "claude-sonnet-4-5", provider="anthropic", asked=asked, answer="", at_ms=start, took_ms=700,
            parent=root, error="529 Overloaded: the provider asks to try again later", everyspan__end="error", **about,
        )  # fmt: skip
        start += 800
    model, provider = ("claude-sonnet-4-5", "anthropic") if number % 3 else ("gpt-4o", "openai")
    cut = number % 11 == 5
    story.call(
        trace,
        model,
        provider=provider,
        asked=f"{asked}\n\nOrder A-7741 is in transit with PostNL and arrives on Thursday.",
        answer=answer[: len(answer) // 2] if cut else answer,
        at_ms=start,
        took_ms=1800 * slow,
        parent=root,
        gen_ai__response__time_to_first_chunk=0.38 * slow,
        gen_ai__tool__definitions=TOOLS,
        **({"gen_ai__usage__cache_read__input_tokens": 512} if number % 2 else {}),
        **(
            {"everyspan__end": "interrupted", "everyspan__usage__source": "estimated"}
            if cut
            else {"everyspan__end": "complete"}
        ),
        error="the process died before the call ended" if cut else "",
        **about,
    )
    if number % 5 == 2:
        story.call(
            trace, "acme-llm-7b", provider="acme", asked="Is this answer polite?", answer="yes",
            at_ms=at_ms + took - 90, took_ms=80, parent=root, everyspan__end="complete", **about,
        )  # fmt: skip
    return trace


def batch(story: Story, at_ms: float) -> bytes:
    """Three generations under one span, as in the report that this project began with."""
    trace = story.trace()
    root = story.span(
        trace, "batch_operation", at_ms=at_ms, took_ms=2100, langfuse__observation__type="chain"
    )
    for number in range(3):
        asked, answer = QUESTIONS[number]
        story.call(
            trace, "claude-haiku-4-5", provider="anthropic", asked=asked, answer=answer,
            at_ms=at_ms + 15 + 3 * number, took_ms=1400 + 200 * number, parent=root, everyspan__end="complete",
        )  # fmt: skip
    return trace


def afternoon(story: Story, *, until_ms: float, hours: float, tickets: int) -> Iterator[bytes]:
    """Trace ids of tickets spread over the hours before `until_ms`, oldest first; the last one is the batch."""
    for number in range(tickets):
        back = (tickets - number) / tickets
        yield ticket(story, until_ms - back * hours * 3_600_000, number)
    yield batch(story, until_ms - 60_000)


def main(url: str, hours: float = 30.0) -> None:
    """Send an afternoon that ends now."""
    story = Story(7)
    ids = list(afternoon(story, until_ms=time.time() * 1000, hours=hours, tickets=60))
    answer = post(
        f"{url}/v1/traces",
        story.frames(closed=True),
        everyspan_writer=WRITER,
        everyspan_spooled_to=str(story.seq),
    )
    print(answer.status, answer.partial_success, len(ids), "traces; the last:", ids[-1].hex())


if __name__ == "__main__":
    main(sys.argv[1], *(float(word) for word in sys.argv[2:3]))
