"""Which price list counts, and what loading it costs the program around it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from everyspan.cost.table import PRICES, Table
from scripts.build_prices import changes as changes_between

NOW = 1_795_000_000 * 10**9  # 2026-11-18
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("model", "provider", "server_address", "expected"),
    [
        # OpenTelemetry's names for providers
        ("gpt-4o", "azure.ai.openai", "", "azure/gpt-4o"),
        ("claude-haiku-4-5@20251001", "gcp.vertex_ai", "", "google/claude-haiku-4-5"),
        ("vertex_ai/claude-haiku-4-5@20251001", "vertex_ai-anthropic_models", "", "google/claude-haiku-4-5"),
        ("gemini-2.5-pro", "gcp.gen_ai", "", "google/gemini-2.5-pro"),
        ("grok-4-0709", "x_ai", "", "x-ai/grok-4-0709"),
        ("mistral-large-2411", "mistral_ai", "", "mistral/mistral-large"),
        # litellm's names, in the provider, in the model, or in both
        ("azure/gpt-4o", "azure", "", "azure/gpt-4o"),
        ("vertex_ai/gemini-2.5-pro", "", "", "google/gemini-2.5-pro"),
        ("gemini/gemini-2.5-flash", "gemini", "", "google/gemini-2.5-flash"),
        ("groq/llama-3.3-70b-versatile", "", "", "groq/llama-3.3-70b-versatile"),
        ("openrouter/anthropic/claude-sonnet-4", "", "", "openrouter/anthropic/claude-sonnet-4"),
        ("anthropic/claude-sonnet-4", "openrouter", "", "openrouter/anthropic/claude-sonnet-4"),
        ("litellm_proxy/anthropic/claude-haiku-4-5", "litellm_proxy", "", "anthropic/claude-haiku-4-5"),
        ("fireworks_ai/accounts/fireworks/models/kimi-k2p6", "fireworks_ai", "", "fireworks/kimi-k2p6"),
        (
            "bedrock/us-east-1/anthropic.claude-haiku-4-5-20251001-v1:0",
            "bedrock",
            "",
            "aws/regional.anthropic.claude-haiku-4-5-20251001-v1:0",
        ),
        (
            "bedrock/converse/global.anthropic.claude-haiku-4-5-20251001-v1:0",
            "",
            "",
            "aws/global.anthropic.claude-haiku-4-5-20251001-v1:0",
        ),
        # The address knows better than libraries that call every provider `openai`.
        ("deepseek-chat", "openai", "api.deepseek.com", "deepseek/deepseek-chat"),
        ("gpt-4o", "openai", "mine.openai.azure.com", "azure/gpt-4o"),
        ("gpt-4o", "openai", "https://api.openai.com/v1", "openai/gpt-4o"),
        ("gpt-4o", "openai", "127.0.0.1", "openai/gpt-4o"),
        # Nobody named a provider: the model's own name, in any case, with a date written either way
        ("GPT-4o", "", "", "openai/gpt-4o"),
        ("gpt-4o-20241120", "openai", "", "openai/gpt-4o"),
        # No list of prices at all, however well known the model's name
        ("deepseek-r1", "ollama", "", None),
        ("ollama/deepseek-r1", "", "", None),
        ("gpt-4o", "custom_openai", "", None),
        ("gpt-4o", "a-gateway-nobody-knows", "", None),
        ("anthropic/no-such-model", "", "", None),
        ("litellm_proxy/" * 17 + "gpt-4o", "", "", "openai/gpt-4o"),
    ],
)
def test_the_right_price_list_is_found(
    model: str, provider: str, server_address: str, expected: str | None
) -> None:
    rates = Table.load().find(model=model, provider=provider, server_address=server_address, at_ns=NOW)

    assert (rates and rates.model) == expected


def test_the_caches_are_bounded() -> None:
    table = Table.load()

    for number in range(5_000):
        table.find(model=f"gpt-4o-{number}", provider="openai", at_ns=NOW)

    # Through the front door this would take a memory measurement; the number is what bounds it.
    assert table._model.cache_info().currsize < 5_000


def test_pricing_a_call_loads_the_standard_library_and_nothing_else() -> None:
    code = (
        "import sys, everyspan; before = set(sys.modules)\n"
        "from everyspan.cost.price import Purchase, price; from everyspan.cost.usage import usage_from\n"
        "usage = usage_from({'prompt_tokens': 17, 'completion_tokens': 3})\n"
        "cost = price(Purchase(usage=usage, model='gpt-4o', at_ns=1795 * 10**15))\n"
        "new = {name.partition('.')[0] for name in sys.modules.keys() - before} - {'everyspan'}\n"
        "print(cost.total, *sorted(new - sys.stdlib_module_names))\n"
        "print(*sorted({'pydantic', 'genai_prices', 'litellm'} & set(sys.modules)))"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.split() == ["0.0000725"]


def test_the_table_says_where_it_comes_from() -> None:
    head = json.loads(PRICES.read_text(encoding="utf-8").partition("\n")[0])
    licence = PRICES.with_name("prices.LICENSE.txt").read_text(encoding="utf-8")

    assert Table.load().name == f"everyspan {head['version']}"
    assert list(head["sources"]) == ["genai-prices", "overrides", "litellm"]
    assert "MIT" in head["licence"]
    assert licence.count("Permission is hereby granted") == 2
    assert "Berri AI" in licence


def test_the_table_in_place_is_what_the_pinned_source_compiles_to() -> None:
    build = [sys.executable, "-m", "scripts.build_prices", "--check"]
    run = subprocess.run(build, capture_output=True, text=True, check=False, cwd=ROOT)

    assert run.returncode == 0, run.stdout
    assert "nothing changed" in run.stdout


def test_a_new_build_names_every_model_that_changed() -> None:
    old = ['["a","gone","gone",[[null,{}]],[]]', '["a","dearer","x",[[null,{"input_tokens":"1"}]],[]]']
    new = ['["a","dearer","x",[[null,{"input_tokens":"2"}]],[]]', '["b","new","new",[[null,{}]],[]]']

    changes = list(changes_between(old, new))

    assert [change.splitlines()[0] for change in changes] == ["~ a/dearer", "- a/gone", "+ b/new"]
    assert '"1"' in changes[0]
    assert '"2"' in changes[0]
