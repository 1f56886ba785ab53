"""A span without its texts: what a tree and a timeline are drawn from, ten thousand of them at a time."""

from __future__ import annotations

from typing import NamedTuple


class Outline(NamedTuple):
    """Fields as in `SpanRow`; a plain tuple, because making a row of each took longer than reading them."""

    key: str
    span_id: str
    parent_id: str | None
    start_ns: int
    end_ns: int
    name: str
    kind: str
    model: str
    provider: str
    service: str
    status: str
    end: str
    cost: str | None
    """Decimal text, every digit kept."""
    cost_state: str
    """Empty for what is no model call."""
    unbilled: str
    input_tokens: int | None
    output_tokens: int | None
    first_token_ns: int | None
    scope: str
