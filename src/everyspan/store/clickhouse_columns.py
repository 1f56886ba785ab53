"""Which column of ClickHouse holds which part of a row, in both directions."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import fields
from decimal import Decimal
from typing import Any

from everyspan.model.ids import Seq, WriterId
from everyspan.model.money import CostState
from everyspan.model.usage import Usage
from everyspan.store.rows import SpanRow
from everyspan.store.words import folded, searchable

TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")
_PLAIN = (
    *(
        "project",
        "key_id",
        "key",
        "trace_id",
        "span_id",
        "parent_id",
        "name",
        "kind",
        "service",
        "scope",
        "start_ns",
    ),
    *("end_ns", "status", "end", "provider", "model", "response_id", "user", "session", "environment"),
    *("trace_name", "first_token_ns", "unbilled", "received_ns"),
)
BODY = ("input", "output", "attributes", "cost_note", "status_message", "trace_input", "trace_output")
READ = (*_PLAIN, "writer", "seq", "tags", "cost_state", "cost", *TOKENS, "usage_rest", *BODY)
"""The columns that make a row again."""

GONE = 1 << 62
"""The version of a row that hides all others."""

WRITTEN = (*READ, "words", "version", "gone")
AS_BYTES = dict.fromkeys(BODY, "bytes")
"""For reading: bodies may hold lone surrogates, which are no UTF-8."""

_NO_BODY = tuple(b"{}" if name == "attributes" else b"" for name in BODY)
Ask = Callable[..., Sequence[Sequence[Any]]]
"""Runs a query with its parameters."""

_REST = tuple(field.name for field in fields(Usage) if field.name not in TOKENS)


def columns_of(row: SpanRow, *, gone: bool = False) -> list[Any]:
    """The values of `WRITTEN`: of a row as it came, or of the last version of a row, which hides all before it."""
    usage = row.usage
    rest = {name: value for name in _REST if (value := getattr(usage, name)) not in (None, False)}
    found = searchable(row.input, row.output) if row.words is None else row.words
    searched = "" if gone else " ".join(sorted(folded(found)))
    return [
        *(getattr(row, name) for name in _PLAIN),
        *(row.writer or "", row.seq or 0, list(row.tags), row.cost_state.value if row.cost_state else ""),
        *(row.cost, *(getattr(usage, name) for name in TOKENS), json.dumps(rest)),
        *(b"" if gone else getattr(row, name).encode("utf-8", "surrogatepass") for name in BODY),
        *(searched, GONE if gone else 1, int(gone)),
    ]


def without_bodies(ask: Ask, where: str, values: dict[str, Any]) -> list[SpanRow]:
    """The rows that fit a condition, by start and then key; what is in a body stays empty."""
    columns = ", ".join(f"`{name}`" for name in READ if name not in BODY)
    found = ask(f"SELECT {columns} FROM spans WHERE {where} ORDER BY start_ns, key", values)
    return [row_of((*row, *_NO_BODY)) for row in found]


def with_bodies(ask: Ask, where: str, values: dict[str, Any]) -> list[SpanRow]:
    """The rows that fit a condition, by start and then key."""
    columns = ", ".join(f"`{name}`" for name in READ)
    found = ask(
        f"SELECT {columns} FROM spans WHERE {where} ORDER BY start_ns, key", values, column_formats=AS_BYTES
    )
    return [row_of(row) for row in found]


def row_of(values: Sequence[Any]) -> SpanRow:
    """The row whose `READ` columns these are."""
    stored = dict(zip(READ, values, strict=True))
    return SpanRow(
        **{name: stored[name] for name in _PLAIN},
        **{name: stored[name].decode("utf-8", "surrogatepass") for name in BODY},
        writer=WriterId(stored["writer"]) if stored["writer"] else None,
        seq=Seq(stored["seq"]) if stored["writer"] else None,
        tags=tuple(stored["tags"]),
        usage=Usage(**{name: stored[name] for name in TOKENS}, **json.loads(stored["usage_rest"])),
        cost_state=CostState(stored["cost_state"]) if stored["cost_state"] else None,
        cost=money(stored["cost"]),
    )


def money(amount: Decimal | None) -> Decimal | None:
    """The amount without the zeros that a column of 30 places adds."""
    if amount is None or not amount:
        return None if amount is None else Decimal(0)
    sign, digits, exponent = amount.as_tuple()
    spare = 0
    while isinstance(exponent, int) and exponent + spare < 0 and digits[-1 - spare] == 0:
        spare += 1
    # Not `normalize()`: that rounds to the 28 digits of the default context.
    return Decimal((sign, digits[: len(digits) - spare], int(exponent) + spare))
