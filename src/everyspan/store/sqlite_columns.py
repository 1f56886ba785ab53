"""Which column holds which part of a row, in both directions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import fields
from functools import lru_cache
from operator import attrgetter
from typing import Any

import orjson

from everyspan.model.money import CostState
from everyspan.model.usage import Usage
from everyspan.store import exact
from everyspan.store.reads import TraceSummary
from everyspan.store.rows import SpanRow
from everyspan.store.summary import Draft, Mark

PLAIN = (
    *(
        "project",
        "key_id",
        "trace_id",
        "span_id",
        "parent_id",
        "writer",
        "seq",
        "name",
        "kind",
        "service",
        "scope",
    ),
    *("start_ns", "end_ns", "status", "end", "provider", "model", "response_id", "user", "session"),
    *("environment", "trace_name", "first_token_ns", "unbilled", "received_ns"),
)
"""Fields of a row that are columns of the same name; its key is one too, which is read and never written."""

TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
"""Kinds of usage that have a column, because they are summed."""

BODY = ("input", "output", "attributes", "cost_note", "status_message", "trace_input", "trace_output")
"""Fields that are compressed together, in this order."""

SPAN_COLUMNS = tuple(f'"{name}"' for name in (*PLAIN, "tags", "cost_state", "cost", *TOKENS, "usage_rest"))

TRACE_COLUMNS = (
    *(
        "project",
        "trace_id",
        "name",
        "user",
        "session",
        "environment",
        "tags",
        "services",
        "models",
        "providers",
    ),
    *("started_ns", "ended_ns", "spans", "calls", "errors", "states", "cost", "cost_nano"),
    *("input_tokens", "output_tokens", "marks"),
)

_READ = ("key", *PLAIN)
_REST = tuple(field.name for field in fields(Usage) if field.name not in TOKENS)
_rest = attrgetter(*_REST)
_tokens = attrgetter(*TOKENS)
_NO_REST = _rest(Usage())


def special(row: SpanRow) -> tuple[Any, ...]:
    """The values of the columns after the plain ones."""
    usage, cost = row.usage, row.cost
    rest = _rest(usage)
    return (
        _array(row.tags) if row.tags else "[]",
        # A StrEnum is text already; its `value` is looked up in Python.
        str.__str__(row.cost_state) if row.cost_state else None,
        None if cost is None else format(cost, "f"),
        *_tokens(usage),
        "{}" if rest == _NO_REST else _rest_json(rest),
    )


def key_parts(row: SpanRow) -> tuple[str | None, str | None]:
    """What of a key no other column tells: all of it, or its end where it is the span's content. See migration 10."""
    key = row.key
    if row.writer is not None and key == f"w:{row.writer}:{row.seq}":
        return None, None
    ids = f"h:{row.trace_id}:{row.span_id}:"
    return (None, key[len(ids) :]) if key.startswith(ids) else (key, None)


def _rest_json(values: tuple[Any, ...]) -> str:
    kept = {name: value for name, value in zip(_REST, values, strict=True) if value not in (None, False)}
    return json.dumps(kept)


def row_of(stored: sqlite3.Row, body: Sequence[str] | None = None) -> SpanRow:
    """The row that was stored; without a body what is in one stays empty."""
    # By name sqlite3.Row looks through its columns one after the other, forty times for each of ten thousand spans.
    columns = dict(zip(stored.keys(), stored, strict=True))
    values: dict[str, Any] = {name: columns[name] for name in _READ}
    if body is not None:
        values |= zip(BODY, body, strict=True)
    tokens = {name: columns[name] for name in TOKENS}
    tags, rest = columns["tags"], columns["usage_rest"]
    # Most rows have neither, and a trace may have ten thousand of them.
    return SpanRow(
        **values,
        tags=() if tags == "[]" else tuple(json.loads(tags)),
        usage=Usage(**tokens) if rest == "{}" else Usage(**tokens, **json.loads(rest)),
        cost_state=CostState(stored["cost_state"]) if stored["cost_state"] else None,
        cost=exact.from_text(stored["cost"]),
    )


@lru_cache(maxsize=4096)
def _array(texts: tuple[str, ...]) -> str:
    # The same few, again and again.
    return json.dumps(texts)


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def trace_values(draft: Draft, summary: TraceSummary) -> tuple[Any, ...]:
    """The values of `TRACE_COLUMNS`, for a draft and its summary."""
    return (
        *(
            summary.project,
            summary.trace_id,
            summary.name,
            summary.user,
            summary.session,
            summary.environment,
        ),
        *map(_array, (summary.tags, summary.services, summary.models, summary.providers)),
        *(summary.started_ns, summary.ended_ns, summary.spans, summary.calls, summary.errors),
        *(_json(summary.states), exact.to_text(summary.cost)),
        None if summary.cost is None else exact.nano(summary.cost),
        *(summary.input_tokens, summary.output_tokens, _marks_json(draft, summary)),
    )


def draft_of(stored: sqlite3.Row) -> Draft:
    """The trace summary that was stored, ready for more spans."""
    return Draft(
        project=stored["project"],
        trace_id=stored["trace_id"],
        started_ns=stored["started_ns"],
        ended_ns=stored["ended_ns"],
        spans=stored["spans"],
        errors=stored["errors"],
        states=json.loads(stored["states"]),
        cost=exact.from_text(stored["cost"]),
        input_tokens=stored["input_tokens"],
        output_tokens=stored["output_tokens"],
        tags=set(json.loads(stored["tags"])),
        services=set(json.loads(stored["services"])),
        models=set(json.loads(stored["models"])),
        providers=set(json.loads(stored["providers"])),
        marks=_marks_of(stored),
    )


def _marks_json(draft: Draft, summary: TraceSummary) -> str:
    """`[[start, key, {name: value, …}], …]`: several marks are of one span, and a value that is a column is null."""
    spans: dict[tuple[int, str], dict[str, str | None]] = {}
    for name, (start_ns, key, value) in draft.marks.items():
        there = getattr(summary, name, None) == value
        spans.setdefault((start_ns, key), {})[name] = None if there else value
    return _json([[*at, values] for at, values in spans.items()])


def _marks_of(stored: sqlite3.Row) -> dict[str, Mark]:
    marks = orjson.loads(stored["marks"])
    if isinstance(marks, dict):  # as before version 10
        return {name: tuple(mark) for name, mark in marks.items()}
    return {
        name: (start_ns, key, stored[name] if value is None else value)
        for start_ns, key, values in marks
        for name, value in values.items()
    }
