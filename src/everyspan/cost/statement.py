"""What a provider says it counted and charged: OpenAI's and Anthropic's usage and cost reports, read into one shape.

OpenAI: `GET /v1/organization/usage/completions` and `/v1/organization/costs`. Anthropic: `GET
/v1/organizations/usage_report/messages` and `/v1/organizations/cost_report`. Saved pages of their JSON, lists or lines
of such pages, or a CSV with the same names as columns.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from everyspan.cost.reading import get, whole
from everyspan.errors import PricesError

Json = Any


class Biller(StrEnum):
    """Whose report it is."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One line of a report: tokens, or money, or in a CSV both."""

    day: str
    """UTC, as `2026-11-22`."""
    model: str
    """Empty when the report is not divided by models."""
    account: str = ""
    """Project, workspace and key, as far as the report says."""
    tier: str = ""
    """`batch`, or a service tier other than the standard one."""
    requests: int | None = None
    input_tokens: int | None = None
    """Caches included."""
    output_tokens: int | None = None
    cost: Decimal | None = None
    """US dollars."""
    what: str = ""
    """What the money is for, when it is for no model."""


def read_statement(text: str, biller: Biller, *, called: str) -> list[Item]:
    """Every item of a report.

    Args:
        called: the file's name, for messages.

    Raises:
        PricesError: it is no report of this provider, or its money is not in US dollars.
    """
    try:
        items = [_item(result, bucket, biller) for result, bucket in _results(text)]
    except (KeyError, TypeError, ValueError, InvalidOperation, OverflowError, RecursionError) as unreadable:
        raise PricesError(
            f"{called} is no usage or cost report of {biller.value} ({type(unreadable).__name__}: {unreadable})"
        ) from None
    known = [item for item in items if item is not None]
    if not known:
        raise PricesError(f"{called} holds no usage and no cost; save the whole answer, or group it by model")
    return known


def _results(text: str) -> Iterator[tuple[Mapping[str, Json], Mapping[str, Json]]]:
    """(result, its bucket) of JSON, JSON lines or CSV; a CSV's row is both."""
    first = text.lstrip("\ufeff \n\r\t")[:1]
    if first not in ("{", "["):
        for row in csv.DictReader(io.StringIO(text.lstrip("\ufeff"))):
            filled = {name.strip(): value for name, value in row.items() if name and value not in (None, "")}
            yield filled, filled
        return
    for page in _pages(text):
        for bucket in page["data"]:
            for result in bucket["results"]:
                yield result, bucket


def _pages(text: str) -> Iterator[Mapping[str, Json]]:
    try:
        said = json.loads(text, parse_float=Decimal)
    except ValueError:
        said = [json.loads(line, parse_float=Decimal) for line in text.splitlines() if line.strip()]
    for page in said if isinstance(said, list) else [said]:
        # Buckets may have been saved without the page around them.
        yield {"data": [page]} if "results" in page else page


def _item(result: Mapping[str, Json], bucket: Mapping[str, Json], biller: Biller) -> Item | None:
    day = _day(bucket)
    return _openai(result, day) if biller is Biller.OPENAI else _anthropic(result, day)


def _openai(said: Mapping[str, Json], day: str) -> Item | None:
    amount = said.get("amount_value", said.get("amount"))
    currency = said.get("amount_currency", said.get("currency"))
    if isinstance(amount, Mapping):
        amount, currency = get(amount, "value"), get(amount, "currency")
    tokens = whole(said.get("input_tokens"))
    if amount is None and tokens is None:
        return None
    line_item = str(said.get("line_item") or "")
    # With `group_by=line_item` it is "gpt-4o-2024-08-06, input", "…, cached input" or the name of a tool.
    by_item, _, kind = line_item.rpartition(", ")
    return Item(
        day=day,
        model=str(said.get("model") or (by_item if kind else "")).lower(),
        account=_account(said, ("project_id", "api_key_id")),
        tier="batch" if str(said.get("batch")).lower() == "true" else _tier(said),
        requests=whole(said.get("num_model_requests")),
        input_tokens=tokens,
        output_tokens=whole(said.get("output_tokens")),
        cost=None if amount is None else _dollars(amount, currency),
        what=line_item,
    )


def _anthropic(said: Mapping[str, Json], day: str) -> Item | None:
    counts = [whole(said.get(name)) for name in ("uncached_input_tokens", "cache_read_input_tokens")]
    written = said.get("cache_creation")
    counts += [
        whole(get(written, name)) or whole(said.get(name)) or whole(said.get(f"cache_creation.{name}"))
        for name in ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
    ]
    known = [count for count in counts if count is not None]
    amount = said.get("amount")
    if amount is None and not known:
        return None
    return Item(
        day=day,
        model=str(said.get("model") or "").lower(),
        account=_account(said, ("workspace_id", "api_key_id")),
        tier=_tier(said),
        input_tokens=sum(known) if known else None,
        output_tokens=whole(said.get("output_tokens")),
        # Cents, as decimal text.
        cost=None if amount is None else _dollars(amount, said.get("currency")).scaleb(-2),
        what=str(said.get("description") or ""),
    )


def _dollars(amount: Json, currency: Json) -> Decimal:
    if currency is not None and str(currency).lower() != "usd":
        raise ValueError(f"its money is in {currency}, not in US dollars")
    found = Decimal(str(amount))
    if not found.is_finite():
        raise ValueError(f"an amount is {amount}")
    return found


def _day(bucket: Mapping[str, Json]) -> str:
    at = next((bucket[name] for name in ("start_time", "starting_at", "date", "day") if name in bucket), None)
    number = whole(at)
    if number is not None:
        return datetime.fromtimestamp(number, UTC).date().isoformat()
    text = re.sub(r"Z$", "+00:00", str(at))
    moment = datetime.fromisoformat(text)
    return (moment.astimezone(UTC) if moment.tzinfo else moment).date().isoformat()


def _account(said: Mapping[str, Json], names: tuple[str, ...]) -> str:
    return "/".join(str(said[name]) for name in names if said.get(name))


def _tier(said: Mapping[str, Json]) -> str:
    tier = str(said.get("service_tier") or "").lower()
    return "" if tier in ("default", "standard", "auto") else tier
