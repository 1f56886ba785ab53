"""boto3, real, against the fake provider: one span for each Converse and InvokeModel, billed as Bedrock counts."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

import everyspan
from everyspan.testing import FakeProvider
from everyspan.testing.received import ReceivedSpan
from tests.recording import Recording

boto3 = pytest.importorskip("boto3")
exceptions = pytest.importorskip("botocore.exceptions")
StreamingBody = pytest.importorskip("botocore.response").StreamingBody

HAIKU = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
EIGHT = "[[words=8]] hello"
KEYS = {"aws_access_key_id": "AKIATEST", "aws_secret_access_key": "secret", "region_name": "us-east-1"}


@pytest.fixture
def client(provider: FakeProvider) -> Any:
    return boto3.client("bedrock-runtime", endpoint_url=provider.url, **KEYS)


def asked(text: str = EIGHT, **more: Any) -> dict[str, Any]:
    return {"modelId": HAIKU, "messages": [{"role": "user", "content": [{"text": text}]}], **more}


def invoked(text: str = EIGHT, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 64, "messages": messages}
    return {"modelId": HAIKU, "body": json.dumps(body | more)}


def assert_billed_as_served(call: ReceivedSpan, provider: FakeProvider) -> None:
    (served,) = provider.ledger.calls
    assert call.attributes["gen_ai.usage.input_tokens"] == served.tokens.input
    assert call.attributes["gen_ai.usage.output_tokens"] == served.tokens.output
    assert call.attributes["everyspan.cost.state"] == "computed"
    assert Decimal(str(call.attributes["everyspan.cost.total"])) == served.cost_usd
    assert call.attributes["everyspan.end"] == "complete"


def test_a_conversation_is_one_span_with_usage_cost_and_messages(
    client: Any, provider: FakeProvider, recorded: Recording
) -> None:
    tool = {"toolSpec": {"name": "look", "inputSchema": {"json": {"type": "object"}}}}
    config = {"maxTokens": 64, "temperature": 0.5}
    more: dict[str, Any] = {
        "system": [{"text": "Be short."}],
        "inferenceConfig": config,
        "toolConfig": {"tools": [tool]},
    }
    answer = client.converse(**asked(**more))

    call = recorded.only_call()
    assert_billed_as_served(call, provider)
    known = call.attributes
    said = answer["output"]["message"]["content"][0]["text"]
    system, user = json.loads(str(known["gen_ai.input.messages"]))
    assert (system["role"], system["parts"]) == ("system", [{"type": "text", "content": "Be short."}])
    assert user["parts"] == [{"type": "text", "content": EIGHT}]
    assert json.loads(str(known["gen_ai.output.messages"]))[0]["parts"][0]["content"] == said
    assert "toolSpec" in str(known["gen_ai.tool.definitions"])
    assert (known["gen_ai.provider.name"], known["gen_ai.request.model"]) == ("aws.bedrock", HAIKU)
    assert (known["gen_ai.request.max_tokens"], known["gen_ai.request.temperature"]) == (64, 0.5)
    assert known["everyspan.provider.request_id"] == provider.ledger.calls[0].request_id


def read_stream(client: Any) -> None:
    assert len(list(client.converse_stream(**asked())["stream"])) > 8


def read_invoked_stream(client: Any) -> None:
    assert len(list(client.invoke_model_with_response_stream(**invoked())["body"])) > 8


def read_body(client: Any) -> None:
    body = client.invoke_model(**invoked())["body"]
    assert type(body) is StreamingBody
    assert json.loads(body.read())["type"] == "message"


def read_lines(client: Any) -> None:
    body = client.invoke_model(**invoked())["body"]
    assert json.loads(b"".join(body.iter_lines()))["type"] == "message"


def read_buffered(client: Any) -> None:
    assert json.load(io.BufferedReader(client.invoke_model(**invoked())["body"]))["type"] == "message"


@pytest.mark.parametrize("read", [read_stream, read_invoked_stream, read_body, read_lines, read_buffered])
def test_what_is_read_to_its_end_is_one_span(
    client: Any, provider: FakeProvider, recorded: Recording, read: Callable[[Any], None]
) -> None:
    read(client)

    call = recorded.only_call()
    assert_billed_as_served(call, provider)
    assert json.loads(str(call.attributes["gen_ai.output.messages"]))[0]["parts"][0]["content"]
    if "stream" in read.__name__:
        assert 0 < float(str(call.attributes["gen_ai.response.time_to_first_chunk"])) < 10


@pytest.mark.parametrize("close", [True, False])
def test_an_answer_that_nobody_reads_is_billed_by_the_counts_in_its_headers(
    client: Any, provider: FakeProvider, recorded: Recording, close: bool
) -> None:
    answer = client.invoke_model(**invoked())
    if close:
        answer["body"].close()
    del answer

    assert_billed_as_served(recorded.only_call(), provider)


def test_a_loop_that_is_left_can_be_taken_up_again(
    client: Any, provider: FakeProvider, recorded: Recording
) -> None:
    stream = client.converse_stream(**asked())["stream"]

    for event in stream:
        if "contentBlockDelta" in event:
            break
    assert everyspan.stats()["calls"]["open"] == 1
    assert [event for event in stream if "metadata" in event]

    assert_billed_as_served(recorded.only_call(), provider)


@pytest.mark.parametrize("way", ["closed", "abandoned"])
@pytest.mark.parametrize("invokes", [False, True])
def test_a_stream_that_is_left_keeps_what_came(
    client: Any, provider: FakeProvider, recorded: Recording, way: str, invokes: bool
) -> None:
    if invokes:
        stream = client.invoke_model_with_response_stream(**invoked())["body"]
    else:
        stream = client.converse_stream(**asked())["stream"]
    for seen, _ in enumerate(stream):
        if seen == 5:
            break
    if way == "closed":
        stream.close()
    del stream

    call = recorded.only_call()
    assert call.attributes["everyspan.end"] == way
    assert call.attributes["everyspan.cost.state"] == "estimated"
    assert call.attributes["gen_ai.usage.input_tokens"] == provider.ledger.calls[0].tokens.input
    assert json.loads(str(call.attributes["gen_ai.output.messages"]))[0]["parts"][0]["content"]


def test_a_stream_that_fails_is_an_error_that_keeps_what_came(client: Any, recorded: Recording) -> None:
    with pytest.raises(exceptions.EventStreamError):
        list(client.converse_stream(**asked("[[words=8 fail-after=3]] hello"))["stream"])

    call = recorded.only_call()
    assert (call.status, call.attributes["everyspan.end"]) == ("error", "error")
    assert call.attributes["error.type"] == "EventStreamError"
    assert call.attributes["gen_ai.usage.output_tokens"]


def test_a_refused_call_is_an_error_that_is_not_billed(client: Any, recorded: Recording) -> None:
    with pytest.raises(exceptions.ClientError):
        client.converse(**asked("[[status=400]]"))

    call = recorded.only_call()
    assert call.status == "error"
    assert "refused" in str(call.attributes["everyspan.unbilled"])


def test_retries_are_one_span(client: Any, recorded: Recording) -> None:
    client.converse(**asked("[[status=503 times=1]] hello"))

    call = recorded.only_call()
    assert call.attributes["everyspan.attempts"] == 2


@pytest.mark.parametrize(
    "model",
    [
        "global.anthropic.claude-haiku-4-5-20251001-v1:0",
        f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{HAIKU}",
    ],
)
def test_the_inference_profile_decides_the_price(
    client: Any, provider: FakeProvider, recorded: Recording, model: str
) -> None:
    client.converse(**asked() | {"modelId": model})
    client.invoke_model(**invoked() | {"modelId": model})["body"].read()

    # $1 and $5 for a million tokens by the global profile, a tenth more by a regional one.
    (served, _) = provider.ledger.calls
    listed = served.tokens.input * Decimal(1) + served.tokens.output * Decimal(5)
    expected = listed / 1_000_000 * (1 if model.startswith("global") else Decimal("1.1"))
    costs = [Decimal(str(call.attributes["everyspan.cost.total"])) for call in recorded.calls()]
    assert costs == [expected, expected]


def test_a_profile_of_ones_own_says_no_model_and_has_no_made_up_price(
    client: Any, recorded: Recording
) -> None:
    own = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
    client.converse(**asked() | {"modelId": own})

    assert recorded.only_call().attributes["everyspan.cost.state"] == "unpriced"


def test_what_a_cache_holds_is_counted_beside_what_is_fresh(
    client: Any, provider: FakeProvider, recorded: Recording
) -> None:
    if "cachePoint" not in client.meta.service_model.shape_for("SystemContentBlock").members:
        pytest.skip("this version of botocore is older than Bedrock's caches")
    system = [{"text": "Be short. " * 50}, {"cachePoint": {"type": "default"}}]
    client.converse(**asked(system=system))
    client.converse(**asked(system=system))

    written, read = (call.attributes for call in recorded.calls())
    first, second = (served.tokens for served in provider.ledger.calls)
    assert written["gen_ai.usage.cache_write.input_tokens"] == first.cache_write_5m > 0
    assert read["gen_ai.usage.cache_read.input_tokens"] == second.cache_read > 0
    costs = [Decimal(str(each["everyspan.cost.total"])) for each in (written, read)]
    assert costs == [served.cost_usd for served in provider.ledger.calls]


@pytest.mark.parametrize("stream", [False, True])
def test_anthropics_client_for_bedrock_makes_one_span_and_botocore_none_beside_it(
    provider: FakeProvider, recorded: Recording, stream: bool
) -> None:
    anthropic = pytest.importorskip("anthropic")
    client = anthropic.AnthropicBedrock(
        aws_access_key="a", aws_secret_key="b", aws_region="us-east-1", base_url=provider.url, max_retries=0
    )
    said: Any = {"model": HAIKU, "max_tokens": 64, "messages": [{"role": "user", "content": EIGHT}]}
    answer = client.messages.create(**said, stream=stream)
    if stream:
        list(answer)

    assert recorded.only_call().attributes["gen_ai.usage.output_tokens"] == 8


@pytest.mark.parametrize("stream", [False, True])
def test_litellms_bedrock_is_one_span(provider: FakeProvider, recorded: Recording, stream: bool) -> None:
    litellm = pytest.importorskip("litellm")
    answer = litellm.completion(
        model=f"bedrock/{HAIKU}",
        messages=[{"role": "user", "content": EIGHT}],
        stream=stream,
        aws_access_key_id="a",
        aws_secret_access_key="b",
        aws_region_name="us-east-1",
        aws_bedrock_runtime_endpoint=provider.url,
    )
    if stream:
        list(answer)

    call = recorded.only_call()
    assert call.attributes["gen_ai.usage.output_tokens"] == provider.ledger.calls[0].tokens.output == 8
    assert Decimal(str(call.attributes["everyspan.cost.total"])) == provider.ledger.calls[0].cost_usd
