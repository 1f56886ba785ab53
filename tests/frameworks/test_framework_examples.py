"""Each program of examples/frameworks, run as it is: as many billed spans as the provider served, with its tokens.

Runs with `make test-frameworks`, which has the frameworks in an environment of its own.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from opentelemetry.util.types import AnyValue

from everyspan.testing import FakeProvider
from everyspan.testing.received import ReceivedSpan
from everyspan.testing.sink import Sink
from tests.programs import clean_environment

pytest.importorskip("llama_index.core", reason="the frameworks are installed by make test-frameworks")

EXAMPLES = Path("examples/frameworks")


class Expected(NamedTuple):
    """What a run of an example comes to."""

    calls: int | None
    """None where the framework decides how often it asks."""
    structure: str
    """The beginning of the name of the scope that tells of chains, agents and tools."""
    billed: str = "everyspan"
    """The scope of the spans that count."""


EXPECTED: Mapping[str, Expected] = {
    "langchain": Expected(5, "openinference.instrumentation.langchain"),
    "langgraph": Expected(4, "openinference.instrumentation.langchain"),
    "llama_index": Expected(5, "openinference.instrumentation.llama_index"),
    "crewai": Expected(None, "openinference.instrumentation.crewai"),
    "pydantic_ai": Expected(4, "pydantic-ai"),
    "bedrock": Expected(1, "openinference.instrumentation.bedrock"),
    "mcp": Expected(1, "everyspan"),
}


def tokens(attributes: Mapping[str, AnyValue]) -> tuple[int, int]:
    """Input and output as a backend reads them, in whichever convention they are written."""

    def first(*names: str) -> int:
        return next((int(str(attributes[name])) for name in names if name in attributes), 0)

    return (
        first("gen_ai.usage.input_tokens", "llm.token_count.prompt"),
        first("gen_ai.usage.output_tokens", "llm.token_count.completion"),
    )


def billed_in(spans: list[ReceivedSpan]) -> list[ReceivedSpan]:
    """The spans that a backend would bill."""
    return [
        span
        for span in spans
        if "everyspan.unbilled" not in span.attributes
        and tokens(span.attributes) != (0, 0)
        # pydantic-ai tells the sum of a run on the agent's span, which is no model call.
        and span.attributes.get("gen_ai.operation.name") != "invoke_agent"
    ]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("framework", EXPECTED)
def test_an_example_gives_one_billed_span_for_each_call(framework: str, tmp_path: Path) -> None:
    expected = EXPECTED[framework]

    with Sink() as sink, FakeProvider() as provider:
        environment = {
            **clean_environment(tmp_path),
            "PYTHONPATH": "src",
            "EVERYSPAN_ENDPOINT": sink.url,
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": provider.openai_url,
            "OPENAI_API_BASE": provider.openai_url,
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": provider.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / f"with_{framework}.py")],
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        spans, served = sink.spans, provider.ledger.calls

    billed = billed_in(spans)
    assert len(billed) == len(served) == (expected.calls or len(served)) > 0
    assert {span.scope for span in billed} == {expected.billed}
    assert sum(tokens(span.attributes)[0] for span in billed) == sum(call.tokens.input for call in served)
    assert sum(tokens(span.attributes)[1] for span in billed) == sum(call.tokens.output for call in served)
    assert any(span.scope.startswith(expected.structure) for span in spans), {span.scope for span in spans}
    if framework == "mcp":
        (question,) = [span for span in spans if span.name == "question"]
        assert billed[0].trace_id == question.trace_id
