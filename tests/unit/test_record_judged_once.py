"""What may reach the disk is judged once, in one search, and nothing less is found than by looking at each text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.trace import Status, StatusCode, Tracer

from everyspan.model.destination import Destination
from everyspan.record.content import ContentPolicy
from everyspan.record.media import Media, may_hold_media
from everyspan.record.processor import EveryspanProcessor
from everyspan.record.registry import Registry
from everyspan.record.secrets import may_hold_a_key, without_keys
from everyspan.record.shadows import Shadows
from everyspan.settings import Content
from everyspan.spool import Log
from everyspan.wire.frame import Kind
from tests.spool_frames import drain, open_log

KEY = "sk-ant-api03-abcdefghijklmnopqrstuvwxyz"
PICTURE = "iVBORw0KGgo" * 60

KEYS = re.compile(
    r"\b(sk-ant-|sk-proj-|sk-svcacct-|sk-or-|sk-lf-|sk-|gsk_|xai-|hf_|pplx-|nvapi-|r8_|AIza|AKIA|ASIA"
    r"|ghp_|gho_|ghs_|github_pat_|glpat-|xoxb-|xoxp-)[A-Za-z0-9_-]{16,}"
)
"""All beginnings in one expression, which takes a hundred times as long."""
BEARER = re.compile(r"\b(Bearer )[A-Za-z0-9._~+/-]{20,}=*")

BEGINNINGS = ["sk-", "sk-proj-", "gsk_", "xai-", "hf_", "AIza", "ASIA", "github_pat_", "xoxb-", "Bearer "]
REST = ["-", "_", " ", "\n", "é", ".", "==", "task-", "a" * 15, "b" * 16, "0123456789abcdefghij"]
PIECE = st.sampled_from([*BEGINNINGS, *REST])


@settings(max_examples=500, deadline=None)
@given(st.lists(PIECE, max_size=8).map("".join))
def test_every_key_is_found_that_a_search_for_all_beginnings_at_once_finds(text: str) -> None:
    expected = BEARER.sub(r"\1[masked]", KEYS.sub(r"\1[masked]", text))

    assert without_keys(text) == expected
    assert may_hold_a_key(text) or text == expected


@pytest.mark.parametrize(
    "text", ["a risk-free, well-known task-force", "id_of_a_thing", "And A", "Bearer of news"]
)
def test_prose_is_not_searched_twice(text: str) -> None:
    assert not may_hold_a_key(text)
    assert without_keys(text) is text


@pytest.mark.parametrize("before", [0, 1, 300, 511, 512, 700])
def test_a_long_word_is_found_wherever_it_stands(before: int) -> None:
    said = ("word " * 200)[:before].rstrip() + ' {"data": "'
    text = f'{said}{PICTURE}"}} and so on'

    assert Media().replaced(text).startswith(f"{said}everyspan:media:sha256:")
    assert not may_hold_media(text.replace("iVB", "iV "))


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = open_log(tmp_path)
    yield log
    log.close()


def tracer(log: Log, *, policy: ContentPolicy | None = None, limits: SpanLimits | None = None) -> Tracer:
    registry = Registry(open_log=lambda _: log, wake=lambda: None, flush=lambda _: True, policy=policy)
    registry.add(Destination("http://127.0.0.1:1/v1/traces"))
    provider = TracerProvider(span_limits=limits, shutdown_on_exit=False)
    provider.add_span_processor(EveryspanProcessor(provider, registry, Shadows()))
    return provider.get_tracer("tests")


def written(log: Log) -> Any:
    """The one span that ended."""
    (payload,) = [frame.payload for frame in drain(log.backlog()) if frame.kind == Kind.SPAN]
    return ExportTraceServiceRequest.FromString(payload).resource_spans[0].scope_spans[0].spans[0]


def texts(span: Any) -> dict[str, str]:
    found = {each.key: each.value.string_value for each in span.attributes if each.key != "everyspan.stamp"}
    assert len(found) + 1 == len(span.attributes), "an attribute stands twice"
    return found


def test_what_came_since_the_start_is_behind_what_was_there(log: Log) -> None:
    span = tracer(log).start_span("call", attributes={"asked": "what"})
    span.set_attribute("answered", "that")
    span.set_status(Status(StatusCode.ERROR, "why"))
    span.add_event("event")
    span.end(7)

    found = written(log)

    assert texts(found) == {"asked": "what", "answered": "that"}
    assert (found.end_time_unix_nano, found.status.message, found.events[0].name) == (7, "why", "event")


def test_what_was_changed_since_the_start_is_written_as_it_is_now(log: Log) -> None:
    span = tracer(log).start_span("call", attributes={"asked": "what", "other": "same"})
    span.set_attribute("asked", "who")
    span.update_name("another")
    span.end()

    found = written(log)

    assert (found.name, texts(found)) == ("another", {"asked": "who", "other": "same"})


def test_what_a_limit_threw_out_since_the_start_is_not_written(log: Log) -> None:
    span = tracer(log, limits=SpanLimits(max_span_attributes=2)).start_span(
        "call", attributes={"a": "1", "b": "2"}
    )
    span.set_attribute("c", "3")
    span.end()

    assert texts(written(log)) == {"b": "2", "c": "3"}


@pytest.mark.parametrize("when", ["at the start", "at the end"])
def test_a_key_reaches_the_disk_neither_at_the_start_nor_at_the_end(log: Log, when: str) -> None:
    early, late = (KEY, "fine") if when == "at the start" else ("fine", KEY)
    span = tracer(log).start_span("call", attributes={"early": f"call {early}", "list": ["a", early]})
    span.set_attribute("late", late)
    span.end()

    frames = b"".join(frame.payload for frame in drain(log.backlog()))

    assert KEY.encode() not in frames
    assert frames.count(b"sk-ant-[masked]") == (4 if when == "at the start" else 1)


def test_a_mask_sees_the_whole_at_the_end(log: Log) -> None:
    seen: list[str] = []

    def mask(name: str, text: str) -> str:
        seen.append(text)
        return text.upper()

    policy = ContentPolicy(content=Content.FULL, media=Media(), mask=mask)
    span = tracer(log, policy=policy).start_span("call", attributes={"asked": "what"})
    span.set_attribute("answered", "that")
    span.end()

    assert texts(written(log)) == {"asked": "WHAT", "answered": "THAT"}
    assert seen == ["what", "what", "that"]
