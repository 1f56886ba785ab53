"""Several Langfuse projects in one program: a call is in the one that was said for it, and in no other."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

import pytest

from everyspan.testing import FakeProvider
from everyspan.testing.sink import Sink
from tests.programs import run_program

pytest.importorskip("langfuse", reason="Langfuse's SDK is not installed")

DECORATED = """
import everyspan, openai, os
everyspan.init()
from langfuse import Langfuse, observe
Langfuse(public_key="pk-a", secret_key="sk-a")
by_hand = Langfuse(public_key="pk-b", secret_key="sk-b")

def ask(text):
    with everyspan.span("between"):
        openai.OpenAI().chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": text}])

work = observe(ask)
work("for a", langfuse_public_key="pk-a")
work("for b", langfuse_public_key="pk-b")
with by_hand.start_as_current_observation(name="mine"):
    ask("by hand for b")
work("for nobody", langfuse_public_key="pk-nobody")
everyspan.flush()
"""
WITH_LITELLM = """
import everyspan, litellm, os, time
everyspan.init()
litellm.success_callback = ["langfuse_otel"]

def ask(text, **more):
    litellm.completion(model="anthropic/claude-haiku-4-5", messages=[{"role": "user", "content": text}], **more)

ask("first for a")
ask("for b", langfuse_public_key="pk-b", langfuse_secret_key="sk-b")
ask("for c", metadata={"langfuse_public_key": "pk-c", "langfuse_secret_key": "sk-c"})
deadline_s = time.monotonic() + 60
# litellm tells its callbacks in threads of its own: until then nobody knows where the two projects are.
while len(everyspan.flush(0.1).parts) < 4 and time.monotonic() < deadline_s:
    time.sleep(0.05)
ask("second for a")
ask("again for b", langfuse_public_key="pk-b", langfuse_secret_key="sk-b")
everyspan.flush()
"""


TEXTS = (
    "by hand for b",
    "first for a",
    "second for a",
    "again for b",
    "for a",
    "for b",
    "for c",
    "for nobody",
)


def seen(sink: Sink) -> dict[str, set[str]]:
    """What was asked, by whose keys it came to the sink; `` for no keys."""
    found: dict[str, set[str]] = {}
    for request in sink.requests:
        account = who(request.headers.get("authorization", ""))
        for span in request.spans:
            said = {text for text in TEXTS if f'"{text}"' in str(span.attributes)}
            found[account] = found.get(account, set()) | said
    return found


def who(authorization: str) -> str:
    try:
        return base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def environment(sink: Sink, provider: FakeProvider) -> dict[str, str]:
    host = sink.url.removesuffix("/v1/traces")
    return {
        "EVERYSPAN_ENDPOINT": host,
        "LANGFUSE_BASE_URL": host,
        "LANGFUSE_HOST": host,
        "LANGFUSE_OTEL_HOST": host,
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": provider.openai_url,
        "ANTHROPIC_API_KEY": "sk-test",
        "ANTHROPIC_BASE_URL": provider.url,
    }


def test_a_call_below_a_span_of_one_project_is_in_that_project_alone(
    provider: FakeProvider, tmp_path: Path
) -> None:
    with Sink() as sink:
        run_program(DECORATED, spool=tmp_path, environment=environment(sink, provider))
        told = seen(sink)

    everything = {"for a", "for b", "by hand for b", "for nobody"}
    assert told == {"pk-a": {"for a"}, "pk-b": {"for b", "by hand for b"}, "": everything}


def test_a_call_of_litellms_with_keys_of_its_own_is_in_no_other_project(
    provider: FakeProvider, tmp_path: Path
) -> None:
    pytest.importorskip("litellm")
    keys = {"LANGFUSE_PUBLIC_KEY": "pk-a", "LANGFUSE_SECRET_KEY": "sk-a"}
    with Sink() as sink:
        run_program(WITH_LITELLM, spool=tmp_path, environment={**environment(sink, provider), **keys})
        told = seen(sink)

    assert told["pk-a"] == {"first for a", "second for a"}
    assert told["pk-b"] - {"for b"} == {"again for b"}
    assert told.get("pk-c", set()) <= {"for c"}
    assert told[""] == {"first for a", "for b", "for c", "second for a", "again for b"}
