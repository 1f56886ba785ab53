"""A fake LLM provider: a real HTTP server that speaks Anthropic's and OpenAI's API and keeps honest books.

    with FakeProvider() as provider:
        client = anthropic.Anthropic(api_key="sk-test", base_url=provider.url)
        client.messages.create(model="claude-haiku-4-5", max_tokens=64, messages=[...])
        assert provider.ledger.cost == ...

Point OpenAI clients at `provider.openai_url`. Answers and tokens follow the simple rules in `answer.py` here,
prices those in `everyspan.testing.rates`; delays, errors and broken connections are asked for by the request
itself or by `provider.script`, in the words that `script.py` lists.

As a process of its own, which is what thousands of concurrent requests want:

    python -m everyspan.testing.provider --port 0 --ledger FILE

prints `{"url": …}` as one line when it listens, and serves until it is interrupted or its standard input ends;
`ProviderProcess` does that for you.
"""

from __future__ import annotations

from everyspan.testing.provider.process import ProviderProcess
from everyspan.testing.provider.script import Script, ScriptError
from everyspan.testing.provider.server import FakeProvider

__all__ = ["FakeProvider", "ProviderProcess", "Script", "ScriptError"]
