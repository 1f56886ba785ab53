"""What kind of work a span was: the vocabularies of the field, in the order in which we believe them.

Sources: Langfuse, ObservationTypeMapper; OpenInference, span kinds; OpenTelemetry GenAI, gen_ai.operation.name;
OpenLLMetry, traceloop.span.kind and llm.request.type; Genkit; Vercel's AI SDK.
"""

from __future__ import annotations

from collections.abc import Mapping

from everyspan.collector.attributes import Attributes, first_text
from everyspan.record import names

GENERATION = "generation"
EMBEDDING = "embedding"
SPAN = "span"
MODEL_KINDS = frozenset({GENERATION, EMBEDDING})
"""The kinds that are a model call and may be billed."""

_LANGFUSE = {
    kind: kind
    for kind in (
        *(GENERATION, EMBEDDING, SPAN, "event", "agent"),
        *("tool", "chain", "retriever", "guardrail", "evaluator"),
    )
}
_OPENINFERENCE = {
    "LLM": GENERATION,
    "EMBEDDING": EMBEDDING,
    "CHAIN": "chain",
    "RETRIEVER": "retriever",
    "RERANKER": "retriever",
    "AGENT": "agent",
    "TOOL": "tool",
    "GUARDRAIL": "guardrail",
    "EVALUATOR": "evaluator",
}
_OPERATION = {
    "chat": GENERATION,
    "completion": GENERATION,
    "text_completion": GENERATION,
    "generate_content": GENERATION,
    "generate": GENERATION,
    "embeddings": EMBEDDING,
    "invoke_agent": "agent",
    "create_agent": "agent",
    "agent_step": "agent",
    "invoke_workflow": "chain",
    "execute_tool": "tool",
    "retrieval": "retriever",
}
_GENKIT = {
    "model": GENERATION,
    "background-model": GENERATION,
    "embedder": EMBEDDING,
    "tool": "tool",
    "tool.v2": "tool",
    "retriever": "retriever",
    "evaluator": "evaluator",
}
_VERCEL = {
    "ai.generateText.doGenerate": GENERATION,
    "ai.streamText.doStream": GENERATION,
    "ai.generateObject.doGenerate": GENERATION,
    "ai.streamObject.doStream": GENERATION,
    "ai.embed.doEmbed": EMBEDDING,
    "ai.embedMany.doEmbed": EMBEDDING,
    "ai.toolCall": "tool",
}
_REQUEST = {"chat": GENERATION, "completion": GENERATION, "embedding": EMBEDDING, "rerank": "retriever"}
_TRACELOOP = {"workflow": "chain", "task": SPAN, "agent": "agent", "tool": "tool"}

_VOCABULARIES: tuple[tuple[str, Mapping[str, str]], ...] = (
    (names.LANGFUSE_TYPE, _LANGFUSE),
    ("openinference.span.kind", _OPENINFERENCE),
    (names.OPERATION, _OPERATION),
    ("genkit:metadata:subtype", _GENKIT),
    ("ai.operationId", _VERCEL),
    ("llm.request.type", _REQUEST),
    ("traceloop.span.kind", _TRACELOOP),
)
_TOOL_MARKS = ("gen_ai.tool.name", "gen_ai.tool.call.id")
_MODEL_MARKS = (
    names.LANGFUSE_MODEL,
    names.REQUEST_MODEL,
    names.RESPONSE_MODEL,
    "llm.model_name",
    "llm.request.model_name",
    "llm.response.model_name",
    "model",
)
_ROLL_UPS = frozenset({"invoke_agent", "agent_step", "invoke_workflow"})


def kind_of(attributes: Attributes) -> str:
    """The kind of a span, one of Langfuse's ten observation types in lower case; `span` when nothing tells."""
    for name, vocabulary in _VOCABULARIES:
        said = attributes.get(name)
        if isinstance(said, str) and said in vocabulary:
            return vocabulary[said]
    if any(attributes.get(mark) for mark in _TOOL_MARKS):
        return "tool"
    if any(attributes.get(mark) for mark in _MODEL_MARKS):
        return GENERATION
    return SPAN


def is_roll_up(attributes: Attributes) -> bool:
    """True for spans whose usage and cost are the sum of their children, which carry them too."""
    return first_text(attributes, names.OPERATION) in _ROLL_UPS
