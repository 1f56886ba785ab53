"""Prices of the user's own: contracts, discounts, private models, gateways, and what becomes of a broken file."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from everyspan.cost.contract import read_contract
from everyspan.cost.price import Purchase, price
from everyspan.cost.table import Table
from everyspan.errors import PricesError
from everyspan.model.money import Cost, CostState
from everyspan.model.usage import Usage

CALL = Usage(input_tokens=1_000_000, output_tokens=100_000)
CONTRACT = """
[address]
"llm.example.com" = "house"

[[row]]
provider = "openai"
model = "gpt-4o"
from = 2026-01-01
source = "contract 4711"
price = { input = 2, output = 8.0 }
batch = { input = "1", output = "4" }

[[row]]
provider = "anthropic"
model = "claude-*"
source = "volume discount"
factor = 0.9

[[row]]
provider = "house"
model = "llama-*"
source = "our own machines"
price = { input = "0.1", output = "0.1" }

[[row]]
provider = "ollama"
model = "qwen3"
price = { requests = 2 }
"""


def priced(tmp_path: Path, model: str, day: str = "2026-11-20", usage: Usage = CALL, **more: str) -> Cost:
    file = tmp_path / "prices.toml"
    file.write_text(CONTRACT, encoding="utf-8")
    at_ns = int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 10**9
    table = Table.load(contract=read_contract(file))
    return price(Purchase(usage=usage, model=model, at_ns=at_ns, **more), table)  # type: ignore[arg-type]


def test_a_contract_holds_from_its_day_on_and_the_list_before(tmp_path: Path) -> None:
    before = priced(tmp_path, "gpt-4o", "2025-12-31")
    after = priced(tmp_path, "gpt-4o", "2026-01-01")

    assert (before.total, after.total) == (Decimal("3.5"), Decimal("2.8"))
    assert before.table is not None
    assert before.table.startswith("genai-prices ")
    assert after.table is not None
    assert after.table.startswith("contract ")
    assert after.table.endswith(": contract 4711")


def test_a_variant_that_the_contract_does_not_price_is_partial_and_not_the_lists(tmp_path: Path) -> None:
    batch = priced(tmp_path, "gpt-4o", usage=Usage(input_tokens=1_000_000, output_tokens=100_000, batch=True))
    priority = priced(
        tmp_path,
        "gpt-4o",
        usage=Usage(input_tokens=1_000_000, output_tokens=100_000, service_tier="priority"),
    )

    assert (batch.state, batch.total) == (CostState.COMPUTED, Decimal("1.4"))
    assert (priority.state, priority.unpriced) == (CostState.PARTIAL, ("service_tier=priority",))


def test_a_discount_holds_for_every_kind_and_variant_of_the_list(tmp_path: Path) -> None:
    usage = Usage(input_tokens=100_000, cache_read_tokens=80_000, output_tokens=10_000)
    batch = Usage(input_tokens=100_000, output_tokens=10_000, batch=True)

    plain = priced(tmp_path, "claude-haiku-4-5", usage=usage, provider="anthropic")
    cheaper = priced(tmp_path, "claude-haiku-4-5", usage=batch, provider="anthropic")

    assert plain.total == Decimal("0.078") * Decimal("0.9")
    assert cheaper.total == Decimal("0.075") * Decimal("0.9")
    assert plain.model == "anthropic/claude-haiku-4-5"


def test_a_provider_of_ones_own_has_prices_by_name_and_by_address(tmp_path: Path) -> None:
    by_name = priced(tmp_path, "llama-3.3-70b", provider="house")
    by_address = priced(tmp_path, "llama-3.3-70b", provider="openai", server_address="llm.example.com")
    by_prefix = priced(tmp_path, "house/llama-3.3-70b")
    unlisted = priced(tmp_path, "gpt-4o", provider="openai", server_address="https://llm.example.com:8443/v1")

    assert {cost.total for cost in (by_name, by_address, by_prefix)} == {Decimal("0.11")}
    assert unlisted.state is CostState.UNPRICED


def test_a_local_server_can_be_priced_by_the_request(tmp_path: Path) -> None:
    cost = priced(tmp_path, "ollama/qwen3", provider="ollama")

    assert (cost.state, cost.total) == (CostState.PARTIAL, Decimal("0.002"))
    assert cost.unpriced == ("input_tokens", "output_tokens")


def test_json_says_the_same(tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    file.write_text(json.dumps({"row": [{"provider": "openai", "model": "gpt-4o", "price": {"input": 2.5}}]}))

    row = read_contract(file).find("openai", ["gpt-4o"])

    assert row is not None
    assert row.agreed[0].prices == {"input_tokens": "2.5"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[row]]\nprovider = 'x'", "row 1 of .* needs a provider and a model"),
        ("[[row]]\nprovider = 'x'\nmodel = 'y'", "needs either a price or a factor"),
        ("[[row]]\nprovider = 'x'\nmodel = 'y'\nfactor = -1", "factor in row 1 .* not negative"),
        ("[[row]]\nprovider = 'x'\nmodel = 'y'\nprice = {inputs = 1}", "dollars for a million of: input, output"),
        ("[[row]]\nprovider = 'x'\nmodel = 'y'\nprice = {input = 1}\nfrom = 'soon'", "takes a date such as"),
        ("[[row]]\nprovider = 'x'\nmodel = 'y'\nfactor = 1\ntier = 2", "says 'tier'; it takes batch, "),
        ("[[prices]]\nprovider = 'x'", "holds more than"),
        ("[row]\nprovider = 'x'", "double brackets"),
        ("no toml", "cannot be read"),
    ],
)  # fmt: skip
def test_a_row_that_is_not_understood_is_named(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(PricesError, match=why):
        read_contract(file)


def test_a_contract_that_cannot_be_read_makes_every_cost_partial_and_says_why(tmp_path: Path) -> None:
    code = (
        "from everyspan.cost.price import Purchase, price; from everyspan.model.usage import Usage\n"
        "usage = Usage(input_tokens=17, output_tokens=3)\n"
        "cost = price(Purchase(usage=usage, model='gpt-4o', at_ns=1795 * 10**15))\n"
        "print(cost.state, cost.total, cost.unpriced[0])"
    )

    missing = str(tmp_path / "no.toml")
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"EVERYSPAN_PRICES": missing},
    )

    assert run.stdout.startswith("partial 0.0000725 EVERYSPAN_PRICES: the prices in ")
    assert missing in run.stdout
