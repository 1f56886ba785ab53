"""Two other instrumentations of the same call at work, and everyspan: every token is billed once.

Runs with `make test-overlaps`, which has the packages in an environment of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.programs import run_program

pytest.importorskip("openinference.instrumentation.openai")

INSTRUMENTOR = "from {} import {} as I; I().instrument()"
LAYERS: Mapping[str, str] = {
    "openinference-litellm": INSTRUMENTOR.format(
        "openinference.instrumentation.litellm", "LiteLLMInstrumentor"
    ),
    "openinference-openai": INSTRUMENTOR.format("openinference.instrumentation.openai", "OpenAIInstrumentor"),
    "openllmetry-litellm": INSTRUMENTOR.format(
        "opentelemetry.instrumentation.litellm", "LiteLLMInstrumentor"
    ),
    "openllmetry-openai": INSTRUMENTOR.format("opentelemetry.instrumentation.openai", "OpenAIInstrumentor"),
    "genai-openai": INSTRUMENTOR.format("opentelemetry.instrumentation.genai.openai", "OpenAIInstrumentor"),
    "logfire-openai": (
        "import logfire; logfire.configure(send_to_logfire=False, console=False); logfire.instrument_openai()"
    ),
    "langfuse-openai": "import langfuse.openai",
    "litellm-otel": "import litellm; litellm.callbacks = ['otel']",
}
LITELLM = ("openinference-litellm", "openllmetry-litellm", "litellm-otel")
OPENAI = ("openinference-openai", "openllmetry-openai", "genai-openai", "logfire-openai", "langfuse-openai")
THROUGH_LITELLM = [(one, other, "litellm") for one in LITELLM for other in OPENAI]
DIRECT = [
    ("openinference-openai", "openllmetry-openai", "openai"),
    ("openinference-openai", "genai-openai", "openai"),
    ("openllmetry-openai", "genai-openai", "openai"),
    ("openinference-openai", "langfuse-openai", "openai"),
    ("genai-openai", "langfuse-openai", "openai"),
    ("openinference-openai", "logfire-openai", "openai"),
]

PROGRAM = """
import asyncio, json, os, sys
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LANGFUSE_PUBLIC_KEY"], os.environ["LANGFUSE_SECRET_KEY"] = "pk-lf-1", "sk-lf-1"
from everyspan.testing import FakeProvider, Sink
sink, lf, provider = Sink().__enter__(), Sink().__enter__(), FakeProvider().start()
os.environ["LANGFUSE_BASE_URL"] = lf.url
os.environ["OTEL_EXPORTER"] = "in_memory"
import everyspan
everyspan.init(sink.url)
{layers}
import openai
ASK = dict(messages=[dict(role="user", content="[[words=8]] hello")])
STREAM = dict(stream=True, stream_options=dict(include_usage=True))
if {library!r} == "litellm":
    import litellm
    where = dict(model="openai/gpt-4o-mini", api_base=provider.openai_url, api_key="sk-test")
    plain = lambda: litellm.completion(**ASK, **where)
    stream = lambda: litellm.acompletion(**ASK, **where, **STREAM)
else:
    client = openai.OpenAI(api_key="sk-test", base_url=provider.openai_url)
    aclient = openai.AsyncOpenAI(api_key="sk-test", base_url=provider.openai_url)
    plain = lambda: client.chat.completions.create(model="gpt-4o-mini", **ASK)
    stream = lambda: aclient.chat.completions.create(model="gpt-4o-mini", **ASK, **STREAM)
async def main():
    async for _ in await stream():
        pass
    await asyncio.sleep(0.3)  # the callbacks of litellm come later
with everyspan.span("root"):
    plain()
with everyspan.span("aroot"):
    asyncio.run(main())
everyspan.flush(20)
def plain_values(span):
    return {{name: value for name, value in span.attributes.items() if isinstance(value, (str, int, float))}}
def told(received):
    return [dict(name=s.name, scope=s.scope, attributes=plain_values(s)) for s in received.spans]
served = provider.ledger.tokens
result = dict(spans=told(sink), langfuse=told(lf), input=served.input, output=served.output)
print("RESULT" + json.dumps(result))
sys.stdout.flush()
os._exit(0)
"""


def tokens(attributes: Mapping[str, Any]) -> tuple[int, int]:
    """What a backend reads out of a span, in whichever convention it is written."""

    def first(*names: str) -> int:
        return next((int(attributes[name]) for name in names if name in attributes), 0)

    return (
        first("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt"),
        first("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion"),
    )


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("one", "other", "library"), [*THROUGH_LITELLM, *DIRECT])
def test_two_instrumentations_and_everyspan_give_one_bill(
    tmp_path: Path, one: str, other: str, library: str
) -> None:
    layers = f"{LAYERS[one]}\n{LAYERS[other]}"

    said = run_program(PROGRAM.format(layers=layers, library=library), spool=tmp_path)

    result = json.loads(said.partition("RESULT")[2])
    billed = [span for span in result["spans"] if "everyspan.unbilled" not in span["attributes"]]
    counted = [(span["scope"], *tokens(span["attributes"])) for span in billed]
    counted = [each for each in counted if each[1:] != (0, 0)]
    assert [scope for scope, *_ in counted] == ["everyspan", "everyspan"], counted
    assert sum(each[1] for each in counted) == result["input"]
    assert sum(each[2] for each in counted) == result["output"]
    generations = [
        span
        for span in result["langfuse"]
        if span["attributes"].get("langfuse.observation.type") in ("generation", "embedding")
        or any(name.startswith(("gen_ai.usage.", "llm.token_count.")) for name in span["attributes"])
    ]
    assert len(generations) == 2, [(span["name"], span["scope"]) for span in generations]
