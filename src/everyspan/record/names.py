"""Attribute names, as literals of our own, each with its source.

OpenTelemetry's constants for `gen_ai.*` are deprecated or missing in opentelemetry-semantic-conventions 0.66b2,
because the conventions moved to a repository of their own; literals also save the import.
"""

from __future__ import annotations

from everyspan.wire.stamp import STAMP

__all__ = ["STAMP"]

# OpenTelemetry semantic conventions for generative AI (semantic-conventions-genai, docs/gen-ai).
OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_ID = "gen_ai.response.id"
FINISH_REASONS = "gen_ai.response.finish_reasons"
STREAM = "gen_ai.request.stream"
TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
TOOL_DEFINITIONS = "gen_ai.tool.definitions"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS = "gen_ai.usage.cache_write.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
# Not in the conventions; what Langfuse, OpenLIT and others read as the cost in US dollars.
USAGE_COST = "gen_ai.usage.cost"
SERVER_ADDRESS = "server.address"
ERROR_TYPE = "error.type"
SESSION = "session.id"
USER = "user.id"
ENVIRONMENT = "deployment.environment.name"

# Langfuse, OtelIngestionProcessor: what its server reads first.
BATCH_CUSTOM_ID = "everyspan.batch.custom_id"
LANGFUSE_PROJECT = "everyspan.langfuse.public_key"
LANGFUSE_TYPE = "langfuse.observation.type"
LANGFUSE_INPUT = "langfuse.observation.input"
LANGFUSE_OUTPUT = "langfuse.observation.output"
LANGFUSE_MODEL = "langfuse.observation.model.name"
LANGFUSE_PARAMETERS = "langfuse.observation.model.parameters"
LANGFUSE_USAGE = "langfuse.observation.usage_details"
LANGFUSE_COST = "langfuse.observation.cost_details"
LANGFUSE_FIRST_TOKEN_AT = "langfuse.observation.completion_start_time"
LANGFUSE_LEVEL = "langfuse.observation.level"
LANGFUSE_METADATA = "langfuse.observation.metadata"
LANGFUSE_PROMPT_NAME = "langfuse.observation.prompt.name"
LANGFUSE_PROMPT_VERSION = "langfuse.observation.prompt.version"
LANGFUSE_AS_ROOT = "langfuse.internal.as_root"
LANGFUSE_TRACE_NAME = "langfuse.trace.name"
LANGFUSE_TAGS = "langfuse.trace.tags"
LANGFUSE_ENVIRONMENT = "langfuse.environment"

# Ours. ARCHITECTURE.md lists them with their meaning.
END = "everyspan.end"
ATTEMPTS = "everyspan.attempts"
WRAPPER = "everyspan.wrapper"
CACHE_HIT = "everyspan.cache_hit"
USAGE_RAW = "everyspan.usage.raw"
SHED = "everyspan.shed"
SHED_INPUT_BYTES = "everyspan.shed.input_bytes"
USAGE_SOURCE = "everyspan.usage.source"
UNBILLED = "everyspan.unbilled"
SHADOW_OF = "everyspan.shadow_of"
REQUEST_ID = "everyspan.provider.request_id"
COST_TOTAL = "everyspan.cost.total"
COST_INPUT = "everyspan.cost.input"
COST_OUTPUT = "everyspan.cost.output"
COST_STATE = "everyspan.cost.state"
COST_TABLE = "everyspan.cost.table"
COST_MODEL = "everyspan.cost.model"
COST_UNPRICED = "everyspan.cost.unpriced"
COST_LINES = "everyspan.cost.lines"
COST_CLAIMED = "everyspan.cost.claimed"
CAPTURE_ERROR = "everyspan.capture_error"

LEDGER_SCOPE = "everyspan.ledger"
"""The instrumentation scope of calls of which a sampler wanted no span, by which everyone can tell them."""

LLM_OPERATIONS = frozenset({"chat", "text_completion", "generate_content", "embeddings"})
