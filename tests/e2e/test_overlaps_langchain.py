"""LangChain over the SDKs, with OpenInference's instrumentation and Langfuse's handler: structure theirs, one bill.

Runs with `make test-overlaps`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.programs import run_program

pytest.importorskip("langchain_openai")

PROGRAM = """
import asyncio, json, os, sys
os.environ["LANGFUSE_PUBLIC_KEY"], os.environ["LANGFUSE_SECRET_KEY"] = "pk-lf-1", "sk-lf-1"
from everyspan.testing import FakeProvider, Sink
sink, lf, provider = Sink().__enter__(), Sink().__enter__(), FakeProvider().start()
os.environ["LANGFUSE_BASE_URL"] = lf.url
import everyspan
everyspan.init(sink.url)
{layer}
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI
gpt = ChatOpenAI(model="gpt-4o-mini", api_key="k", base_url=provider.openai_url, stream_usage=True)
claude = ChatAnthropic(model="claude-haiku-4-5", api_key="k", base_url=provider.url, max_tokens=64)
ASK = "[[words=8]] hello"
from langchain_core.runnables import RunnableLambda
CHAIN = RunnableLambda(lambda text: f"[[words=8]] number {{text}}")
async def main():
    await gpt.ainvoke(ASK, config=CONFIG)
    async for _ in claude.astream(ASK, config=CONFIG):
        pass
    await asyncio.gather(*((CHAIN | gpt).ainvoke(str(n), config=CONFIG) for n in range(3)))
gpt.invoke(ASK, config=CONFIG)
for _ in gpt.stream(ASK, config=CONFIG):
    pass
claude.invoke(ASK, config=CONFIG)
asyncio.run(main())
everyspan.flush(20)
def told(received):
    return [[s.scope, s.name, "everyspan.unbilled" in s.attributes, {{
        k: v for k, v in s.attributes.items() if isinstance(v, (str, int))}}] for s in received.spans]
print("RESULT" + json.dumps(dict(spans=told(sink), langfuse=told(lf), served=len(provider.ledger.calls),
    output=provider.ledger.tokens.output)))
sys.stdout.flush()
os._exit(0)
"""
LAYERS = {
    "nothing": "CONFIG = {}",
    "openinference": (
        "CONFIG = {}\n"
        "from openinference.instrumentation.langchain import LangChainInstrumentor as I; I().instrument()"
    ),
    "langfuse": (
        "from langfuse.langchain import CallbackHandler\nCONFIG = dict(callbacks=[CallbackHandler()])"
    ),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_calls_through_langchain_are_billed_once_each(tmp_path: Path, layer: str) -> None:
    said = run_program(PROGRAM.format(layer=LAYERS[layer]), spool=tmp_path)

    result = json.loads(said.partition("RESULT")[2])
    billed = [span for span in result["spans"] if not span[2] and is_counted(span[3])]
    served = result["served"]
    assert served == 8
    assert [scope for scope, *_ in billed] == ["everyspan"] * served, [(each[0], each[1]) for each in billed]
    assert sum(span[3]["gen_ai.usage.output_tokens"] for span in billed) == result["output"]
    at_langfuse = [span for span in result["langfuse"] if is_counted(span[3])]
    assert len(at_langfuse) == served, [(each[0], each[1]) for each in at_langfuse]


def is_counted(attributes: dict[str, object]) -> bool:
    """Whether a backend would bill it."""
    return (
        any(name.startswith(("gen_ai.usage.", "llm.token_count.")) for name in attributes)
        or attributes.get("langfuse.observation.type") == "generation"
    )
