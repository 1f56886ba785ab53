"""Langfuse's wrapper of openai: what is said to it is said of the call, whose span is the one that counts."""

from __future__ import annotations

import json

import pytest

from everyspan.testing import FakeProvider
from everyspan.testing.received import ReceivedSpan
from everyspan.testing.sink import Sink
from tests.programs import run_program

pytest.importorskip("langfuse", reason="Langfuse's SDK is not installed")

TRACE, PARENT = "ab" * 16, "cd" * 8
PROGRAM = """
import os, everyspan, asyncio
everyspan.init()
from langfuse.openai import AsyncOpenAI, OpenAI
from langfuse import get_client
client = OpenAI(api_key="k", base_url=os.environ["AT"])
aclient = AsyncOpenAI(api_key="k", base_url=os.environ["AT"])
ask = dict(model="gpt-4o-mini", messages=[dict(role="user", content="hello")])
class Prompt:
    name, version, is_fallback = "greeting", 3, False
client.chat.completions.create(
    **ask, name="named", langfuse_prompt=Prompt(),
    metadata={"langfuse_session_id": "s-1", "langfuse_user_id": "u-1", "langfuse_tags": ["a", "b"], "topic": "mail"})
try:
    client.chat.completions.create(**ask, name="never sent", no_such_argument=1)
except TypeError:
    client.chat.completions.create(**ask)
asyncio.run(aclient.chat.completions.create(**ask, name="placed", trace_id="TRACE", parent_observation_id="PARENT"))
client.chat.completions.create(**ask, name="first", trace_id="TRACE")
get_client().flush()
""".replace("TRACE", TRACE).replace("PARENT", PARENT)


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ReceivedSpan]:
    """The spans of the calls that count, by name."""
    with Sink() as sink, FakeProvider() as provider:
        environment = {
            "AT": provider.openai_url,
            "LANGFUSE_PUBLIC_KEY": "pk-lf-1",
            "LANGFUSE_SECRET_KEY": "sk-lf-1",
            "LANGFUSE_BASE_URL": sink.url.removesuffix("/v1/traces"),
        }
        run_program(PROGRAM, spool=tmp_path_factory.mktemp("spool"), environment=environment)
        counted = [
            span for span in sink.spans if span.attributes.get("langfuse.observation.type") == "generation"
        ]
        served = len(provider.ledger.calls)
    # The wrapper's own span of what was never sent stays: nobody else tells of it, and it used nothing.
    assert {span.name for span in counted if span.scope != "everyspan"} == {"never sent"}
    made = {span.name: span for span in counted if span.scope == "everyspan"}
    assert len(made) == len(counted) - 1 == served
    return made


def test_name_session_user_tags_metadata_and_prompt_are_said_of_the_call(
    calls: dict[str, ReceivedSpan],
) -> None:
    told = calls["named"].attributes

    assert (told["session.id"], told["user.id"]) == ("s-1", "u-1")
    assert told["langfuse.trace.tags"] == ["a", "b"]
    assert json.loads(str(told["langfuse.observation.metadata"])) == {"topic": "mail"}
    assert told["langfuse.observation.prompt.name"] == "greeting"
    assert told["langfuse.observation.prompt.version"] == 3


def test_what_was_said_of_a_call_that_was_never_made_is_not_said_of_the_next(
    calls: dict[str, ReceivedSpan],
) -> None:
    assert "never sent" not in calls
    assert "session.id" not in calls["chat gpt-4o-mini"].attributes


def test_the_call_belongs_to_the_trace_and_the_parent_that_were_named(
    calls: dict[str, ReceivedSpan],
) -> None:
    assert (calls["placed"].trace_id, calls["placed"].parent_id) == (TRACE, PARENT)
    assert calls["first"].trace_id == TRACE
    assert calls["first"].attributes["langfuse.internal.as_root"] is True
