"""What metrics can be asked of: observations, traces and scores, each with its dimensions and measures."""

from __future__ import annotations

from everyspan.store.conditions import NUMBERS, SpanField
from everyspan.web.langfuse.filters import COLUMNS
from everyspan.web.langfuse.metrics_query import View

MEASURES = {
    "totalCost": SpanField.COST,
    "inputTokens": SpanField.INPUT_TOKENS,
    "outputTokens": SpanField.OUTPUT_TOKENS,
    "totalTokens": SpanField.TOTAL_TOKENS,
    "latency": SpanField.DURATION,
    "timeToFirstToken": SpanField.FIRST_TOKEN,
    "streamingLatency": SpanField.STREAMING,
    "tokensPerSecond": SpanField.TOKENS_PER_SECOND,
    "outputTokensPerSecond": SpanField.OUTPUT_TOKENS_PER_SECOND,
    "countScores": SpanField.SCORES,
}
"""Those of observations that the store adds up."""
SIDES = {"inputCost": "input", "outputCost": "output"}
"""Those that only the note of each cost tells."""
UNIQUES = {
    "traceId": SpanField.TRACE_ID,
    "uniqueUserIds": SpanField.USER,
    "uniqueSessionIds": SpanField.SESSION,
}
"""Those that count different values."""
STORED_DIMENSIONS: dict[str, SpanField] = {
    name: field
    for name, field in COLUMNS.items()
    if field not in NUMBERS and field not in (SpanField.SPAN_ID, SpanField.PARENT_ID)
}
"""Those of observations that the store groups by."""
STORED_OF_TRACES: dict[str, SpanField] = {
    "id": SpanField.TRACE_ID,
    "name": SpanField.TRACE_NAME,
    "tags": SpanField.TAGS,
    "userId": SpanField.USER,
    "sessionId": SpanField.SESSION,
    "environment": SpanField.ENVIRONMENT,
}
"""Those of traces."""
LOOKED_AT = {
    **{name: name for name in ("level", "version", "release", "promptName", "promptVersion")},
    **{name: name for name in ("id", "parentObservationId", "isRootObservation")},
    "traceRelease": "release",
    "traceVersion": "version",
}
"""Those that each observation has to be looked at for, with what it calls them."""
OF_TRACES = ("traceName", "tags", "userId")
"""What scores share with their trace, as far as its summary tells."""
OF_SPANS_OF_TRACES = {"traceRelease": "release", "traceVersion": "version", "release": "release"}
"""And what only its spans tell, with what a trace calls it."""
OF_OBSERVATIONS = {
    "observationName": "name",
    "observationModelName": "model",
    "observationPromptName": "promptName",
    "observationPromptVersion": "promptVersion",
}
"""What scores share with the observation that they judge, with what that calls it."""

SCORE_DIMENSIONS = (
    *("name", "source", "dataType", "environment", "configId", "timestampMonth", "timestampDay"),
    *("id", "traceId", "sessionId", "observationId"),
    *(*OF_TRACES, *OF_SPANS_OF_TRACES, *OF_OBSERVATIONS),
)
KINDS = {
    "scores-numeric": ("NUMERIC", "BOOLEAN"),
    "scores-boolean": ("BOOLEAN",),
    "scores-categorical": ("CATEGORICAL", "TEXT"),
}
"""The types of scores in each view of them."""
VIEWS = {
    view.name: view
    for view in (
        View(
            name="observations",
            dimensions=(*STORED_DIMENSIONS, *LOOKED_AT, "startTimeMonth"),
            measures=(*MEASURES, *SIDES),
            uniques=tuple(UNIQUES),
        ),
        View(
            name="traces",
            dimensions=(
                *("id", "name", "tags", "userId", "sessionId", "environment"),
                *("release", "version", "timestampMonth"),
            ),
            measures=("latency", "totalCost", "totalTokens", "observationsCount", "scoresCount"),
            uniques=("uniqueUserIds", "uniqueSessionIds"),
        ),
        View(name="scores-numeric", dimensions=(*SCORE_DIMENSIONS, "value"), measures=("value",)),
        View(
            name="scores-boolean",
            dimensions=(*SCORE_DIMENSIONS, "value", "booleanValue"),
            measures=("value",),
        ),
        View(name="scores-categorical", dimensions=(*SCORE_DIMENSIONS, "stringValue"), measures=()),
    )
}
