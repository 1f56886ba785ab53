"""Bodies that nobody thought of: whatever is let in can be stored, and whatever is not gets a status."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from everyspan.collector.accept import JSON, PROTOBUF, Envelope, examine
from everyspan.collector.limits import Limits
from everyspan.collector.reader import read
from everyspan.cost.usage import NAMES
from everyspan.errors import CollectorError
from everyspan.store.limits import acceptable
from everyspan.wire.protobuf import delimited, field_tag, varint
from tests.collector_requests import START_NS, body, generation, span

LIMITS = Limits(body_bytes=1 << 20, spans=200)
ENVELOPE = Envelope(project="default", received_ns=START_NS)
QUICK = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])

KNOWN = sorted(
    {name for names in NAMES.values() for name in names}
    | {"langfuse.observation.usage_details", "langfuse.observation.cost_details", "everyspan.cost.state"}
    | {
        "everyspan.cost.total",
        "gen_ai.usage.cost",
        "llm.input_messages.0.message.role",
        "gen_ai.prompt.0.content",
    }
    | {
        "gen_ai.operation.name",
        "gen_ai.request.model",
        "everyspan.stamp",
        "gen_ai.input.messages",
        "input.value",
    }
    | {"langfuse.trace.tags", "langfuse.environment", "langfuse.observation.completion_start_time"}
)
PLAIN = st.one_of(
    st.text(max_size=40),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.binary(max_size=40),
    st.sampled_from(
        ["{}", "[]", '{"input": 1e999}', '{"total": "1e-400"}', "null", "[[[[", '{"a": {"b": NaN}}']
    ),
)
VALUES = st.one_of(PLAIN, st.lists(PLAIN, max_size=4))
SPANS = st.lists(
    st.builds(
        lambda number, attributes, start, end: span(
            number, attributes=attributes, start_time_unix_nano=start, end_time_unix_nano=end
        ),
        st.integers(0, 5),
        st.dictionaries(st.sampled_from(KNOWN) | st.text(max_size=20), VALUES, max_size=8),
        st.integers(0, 2**64 - 1),
        st.integers(0, 2**64 - 1),
    ),
    min_size=1,
    max_size=4,
)


EIGHT_BYTES = st.binary(min_size=8, max_size=8)


def wire_message(depth: int) -> st.SearchStrategy[bytes]:
    """Bytes that are a protobuf message, of no schema in particular."""
    content = st.binary(max_size=24) if depth == 0 else st.binary(max_size=24) | wire_message(depth - 1)
    field = st.one_of(
        st.builds(lambda number, inner: delimited(field_tag(number, 2), inner), st.integers(1, 16), content),
        st.builds(
            lambda number, value: field_tag(number, 0) + varint(value), st.integers(1, 16), st.integers(0)
        ),
        st.builds(
            lambda number, value: field_tag(number, 1) + value,
            st.integers(1, 16),
            EIGHT_BYTES,
        ),
    )
    return st.lists(field, max_size=5).map(b"".join)


def taken(content: bytes, content_type: str = PROTOBUF, encoding: str = "") -> int:
    """What the collector does with a body, from the door to the store; the number of rows that a store can hold.

    -1 for a status that would make a client throw good spans away.
    """
    try:
        found = examine(content, content_type=content_type, encoding=encoding, limits=LIMITS)
    except CollectorError as refused:
        return 0 if refused.status in (400, 413, 415) else -1
    rows = read(ENVELOPE, found.body, LIMITS)
    assert len(rows.spans) == found.spans
    batch = acceptable(rows.spans, rows.numbers, rows.sightings)
    assert len(batch.spans) + len(batch.refused) >= found.spans
    return len(batch.spans)


@QUICK
@given(wire_message(5) | st.binary(max_size=200))
def test_no_bytes_make_the_collector_fail(content: bytes) -> None:
    assert taken(content) >= 0


@QUICK
@given(SPANS)
def test_spans_with_any_attributes_are_stored_or_refused_alone(spans: list[Any]) -> None:
    with_ids = sum(any(each.span_id) for each in spans)

    assert taken(body(*spans)) == with_ids


@QUICK
@given(SPANS, st.data())
def test_a_body_with_flipped_bytes_is_judged_and_never_fatal(spans: list[Any], data: st.DataObject) -> None:
    content = bytearray(body(generation(9), *spans))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))

    assert taken(bytes(content)) >= 0


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["resourceSpans", "scopeSpans", "spans", "traceId", "spanId", "attributes", "key", "value"]
            )
            | st.sampled_from(
                ["stringValue", "intValue", "arrayValue", "values", "events", "links", "status", "name"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@QUICK
@given(_JSON)
@example({"resourceSpans": [{"scopeSpans": [{"spans": [{"links": 5}]}]}]})
@example({"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": ["ab"], "spanId": {}}]}]}]})
@example({"resourceSpans": [{"resource": [], "scopeSpans": {"spans": []}}]})
def test_no_json_makes_the_collector_fail(said: Any) -> None:
    assert taken(json.dumps(said).encode(), JSON) >= 0


@QUICK
@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate", "zstd", "br", "gzip, gzip"]))
def test_no_compressed_noise_makes_the_collector_fail(content: bytes, encoding: str) -> None:
    assert taken(content, PROTOBUF, encoding) == 0 or not content
