"""InvokeModel's bodies and events as the makers of the models write them, read alike."""

from __future__ import annotations

import json
from typing import Any

import pytest

from everyspan.instrument.answers import Answered
from everyspan.instrument.bedrock import invoked
from everyspan.instrument.bedrock.converse import ConverseReader, messages_of
from everyspan.instrument.bedrock.invoked import InvokedReader
from everyspan.record.growing import GrowingMessage

COUNTS = {"x-amzn-bedrock-input-token-count": "7", "x-amzn-bedrock-output-token-count": "3"}
BODIES: dict[str, Any] = {
    "meta.llama3": {"generation": "Yes.", "prompt_token_count": 7, "generation_token_count": 3},
    "amazon.titan": {
        "inputTextTokenCount": 7,
        "results": [{"tokenCount": 3, "outputText": "Yes.", "completionReason": "FINISH"}],
    },
    "amazon.nova": {
        "output": {"message": {"content": [{"text": "Yes."}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 7, "outputTokens": 3},
    },
    "openai.gpt-oss": {
        "choices": [{"message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
    },
    "anthropic.claude": {
        "type": "message",
        "content": [{"type": "text", "text": "Yes."}],
        "usage": {"input_tokens": 7, "output_tokens": 3},
    },
    "mistral.mistral-7b": {"outputs": [{"text": "Yes.", "stop_reason": "stop"}]},
    "cohere.command": {"generations": [{"text": "Yes.", "finish_reason": "COMPLETE"}]},
}
EVENTS: dict[str, list[Any]] = {
    "meta.llama3": [
        {"generation": "Ye", "prompt_token_count": 7, "generation_token_count": 1, "stop_reason": None},
        {"generation": "s.", "prompt_token_count": None, "generation_token_count": 3, "stop_reason": "stop"},
    ],
    "amazon.titan": [{"outputText": "Ye"}, {"outputText": "s.", "completionReason": "FINISH"}],
    "amazon.nova": [
        {"messageStart": {"role": "assistant"}},
        {"contentBlockDelta": {"delta": {"text": "Ye"}, "contentBlockIndex": 0}},
        {"contentBlockDelta": {"delta": {"text": "s."}, "contentBlockIndex": 0}},
        {"messageStop": {"stopReason": "end_turn"}},
        {"metadata": {"usage": {"inputTokens": 7, "outputTokens": 3}}},
    ],
    "mistral.mistral-7b": [
        {"outputs": [{"text": "Ye", "stop_reason": None}]},
        {"outputs": [{"text": "s.", "stop_reason": "stop"}]},
    ],
}


def chunk(event: Any) -> dict[str, Any]:
    return {"chunk": {"bytes": json.dumps(event).encode()}}


def tokens(answered: Answered) -> tuple[int | None, int | None]:
    assert answered.usage is not None
    return answered.usage.input_tokens, answered.usage.output_tokens


@pytest.mark.parametrize("model", BODIES)
def test_each_makers_body_tells_its_text_and_its_tokens(model: str) -> None:
    reader, answered = InvokedReader(model, "chat"), Answered()
    reader.read_headers(COUNTS)

    reader.read_whole(answered, BODIES[model])

    assert tokens(answered) == (7, 3)
    assert answered.messages[0]["content"] == "Yes."


@pytest.mark.parametrize("model", EVENTS)
def test_each_makers_events_join_to_its_text_and_end_with_bedrocks_counts(model: str) -> None:
    *before, last = EVENTS[model]
    metrics = {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 7, "outputTokenCount": 3}}
    chunks = [chunk(event) for event in (*before, last | metrics)]
    reader, answered, growing = InvokedReader(model, "chat"), Answered(), GrowingMessage()

    reader.read_chunks(answered, chunks)
    for each in chunks:
        reader.grow(growing, each)

    assert tokens(answered) == (7, 3)
    assert answered.messages[0]["content"] == "Yes."
    assert "".join(growing.take_chat()).count("Yes.") == 1
    assert reader.is_last(chunks[-1])
    assert not reader.is_last(chunks[0])


def test_a_vector_is_counted_and_not_kept() -> None:
    reader, answered = InvokedReader("amazon.titan-embed-text-v2:0", "embeddings"), Answered()

    reader.read_whole(answered, {"embedding": [0.5] * 8, "inputTextTokenCount": 7})

    assert tokens(answered) == (7, None)
    assert answered.messages == []
    assert answered.usage_raw is None


@pytest.mark.parametrize(
    ("model", "body", "operation", "said"),
    [
        ("amazon.titan-embed-text-v2:0", {"inputText": "hi"}, "embeddings", "hi"),
        ("amazon.nova-canvas-v1:0", {"textToImageParams": {}}, "image_generation", None),
        ("cohere.rerank-v3-5:0", {"query": "hi", "documents": []}, "rerank", "hi"),
        ("meta.llama3-1-8b-instruct-v1:0", {"prompt": "hi"}, "text_completion", "hi"),
    ],
)
def test_what_a_body_asks_for_is_told_by_the_models_id(
    model: str, body: dict[str, Any], operation: str, said: str | None
) -> None:
    assert invoked.operation_of(model, body) == operation
    assert invoked.messages_of(body) == said


def test_a_request_of_nova_and_one_of_claude_have_the_same_messages() -> None:
    nova = {"system": [{"text": "Be short."}], "messages": [{"role": "user", "content": [{"text": "hi"}]}]}
    claude = {"system": "Be short.", "messages": [{"role": "user", "content": "hi"}]}

    assert invoked.messages_of(nova) == invoked.messages_of(claude)
    assert invoked.messages_of(nova) == [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "hi"},
    ]


def test_tools_thoughts_and_pictures_of_a_conversation_have_their_parts() -> None:
    blocks = [
        {"image": {"format": "png", "source": {"bytes": b"\x89PNG"}}},
        {"toolResult": {"toolUseId": "t", "content": [{"text": "rain"}]}},
    ]
    asked = messages_of({"messages": [{"role": "user", "content": blocks}]})
    events = [
        {"contentBlockDelta": {"delta": {"reasoningContent": {"text": "Hm."}}, "contentBlockIndex": 0}},
        {
            "contentBlockStart": {
                "start": {"toolUse": {"toolUseId": "u", "name": "look"}},
                "contentBlockIndex": 1,
            }
        },
        {"contentBlockDelta": {"delta": {"toolUse": {"input": '{"a":'}}, "contentBlockIndex": 1}},
        {"contentBlockDelta": {"delta": {"toolUse": {"input": "1}"}}, "contentBlockIndex": 1}},
    ]
    answered = Answered()

    ConverseReader().read_chunks(answered, events)

    assert asked is not None
    picture, result = asked[0]["content"]
    assert picture["source"]["data"] == "iVBORw=="
    assert (result["type"], result["tool_use_id"]) == ("tool_result", "t")
    (said,) = answered.messages
    assert said["reasoning_content"] == "Hm."
    assert said["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"a":1}'}


def test_what_was_bought_beside_the_model_decides_the_price() -> None:
    answered = Answered()
    usage = {"inputTokens": 7, "outputTokens": 3}

    ConverseReader().read_whole(answered, {"usage": usage, "serviceTier": {"type": "priority"}})

    assert answered.usage is not None
    assert answered.usage.service_tier == "priority"
