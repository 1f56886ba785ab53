"""Which attribute means what: for each column the names that the field gives it, in the order we believe them.

Sources: Langfuse, OtelIngestionProcessor; OpenTelemetry GenAI, old and new; OpenInference; OpenLLMetry (traceloop);
Logfire and pydantic-ai; litellm; Vercel's AI SDK; Genkit. Usage has its own list: `cost.usage.NAMES`.
"""

from __future__ import annotations

from everyspan.collector.attributes import Attributes, as_text
from everyspan.record import names

COLUMNS: dict[str, tuple[str, ...]] = {
    "name": ("gen_ai.tool.name", "genkit:name", "logfire.msg", "ai.toolCall.name"),
    "model": (
        names.LANGFUSE_MODEL,
        names.RESPONSE_MODEL,
        "ai.model.id",
        names.REQUEST_MODEL,
        "llm.response.model",
        "llm.response.model_name",
        "llm.output_model_name",
        "llm.model_name",
        "llm.request.model_name",
        "llm.input_model_name",
        "embedding.model_name",
        "reranker.model_name",
        "model",
    ),
    "provider": (names.PROVIDER, "gen_ai.system", "llm.provider", "llm.system", "ai.model.provider"),
    "response_id": (names.RESPONSE_ID, "ai.response.id", "llm.response.id"),
    "user": (
        "langfuse.user.id",
        names.USER,
        "langfuse.observation.metadata.langfuse_user_id",
        "langfuse.trace.metadata.langfuse_user_id",
        "ai.telemetry.metadata.userId",
        "traceloop.association.properties.user_id",
        "gen_ai.user.id",
        "enduser.id",
        "llm.user",
    ),
    "session": (
        "langfuse.session.id",
        names.SESSION,
        "gen_ai.conversation.id",
        "langfuse.observation.metadata.langfuse_session_id",
        "langfuse.trace.metadata.langfuse_session_id",
        "ai.telemetry.metadata.sessionId",
        "traceloop.association.properties.session_id",
        "traceloop.association.properties.thread_id",
    ),
    "trace_name": (names.LANGFUSE_TRACE_NAME,),
    "status_message": ("langfuse.observation.status_message",),
    "level": (names.LANGFUSE_LEVEL,),
    "end": (names.END,),
    "trace_input": ("langfuse.trace.input",),
    "trace_output": ("langfuse.trace.output",),
    "server_address": (names.SERVER_ADDRESS,),
    "unbilled": (names.UNBILLED,),
    "operation": (names.OPERATION,),
}
"""Columns that hold one text."""

_PLACE = {name: (column, rank) for column, known in COLUMNS.items() for rank, name in enumerate(known)}


def texts_of(attributes: Attributes) -> dict[str, str]:
    """The text of each column that an attribute speaks of; the first name that holds something counts.

    One pass over what is there instead of one question for each of some sixty names: a tenth of the time.
    """
    found: dict[str, tuple[int, str]] = {}
    for name, value in attributes.items():
        place = _PLACE.get(name)
        if place is None or value is None or value == "":
            continue
        column, rank = place
        there = found.get(column)
        if there is None or rank < there[0]:
            found[column] = (rank, value if isinstance(value, str) else as_text(value))
    return {column: text for column, (_, text) in found.items()}
