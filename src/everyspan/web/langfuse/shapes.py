"""Spans, traces and scores as Langfuse's public API shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from everyspan.cost.buckets import langfuse_usage_details
from everyspan.model.usage import Usage
from everyspan.store.reads import TraceSummary
from everyspan.store.rows import WHOLE_TRACE, SpanRow
from everyspan.store.scores import Score
from everyspan.web.as_json import parsed
from everyspan.web.langfuse.exchange import iso
from everyspan.web.langfuse.ingested import EVENTS, ID, TRACE_ID
from everyspan.web.langfuse.paid import TOTAL, cost_details, exactly, side
from everyspan.wire.stamp import STAMP, format_stamp

_OURS = ("langfuse.", "gen_ai.", "llm.", "everyspan.", "user.id", "session.id")
_OBSERVATION, _TRACE = "langfuse.observation.metadata", "langfuse.trace.metadata"
_PARAMETERS = "langfuse.observation.model.parameters"
_NANO = 10**9


def observation(row: SpanRow) -> dict[str, Any]:
    """A span as the current API shows it: input and output as the text they are."""
    attributes = own_attributes(row)
    paid = {bucket: float(amount) for bucket, amount in cost_details(row, attributes).items()}
    model = row.model or None
    return {
        "id": attributes.get(ID, row.span_id),
        "traceId": attributes.get(TRACE_ID, row.trace_id),
        "projectId": row.project,
        "parentObservationId": _parent(row, attributes),
        "isRootObservation": row.parent_id is None
        or attributes.get("langfuse.internal.is_app_root") in (True, "true"),
        "type": row.kind.upper(),
        "name": row.name,
        "startTime": iso(row.start_ns),
        "endTime": iso(row.end_ns),
        "completionStartTime": None if row.first_token_ns is None else iso(row.start_ns + row.first_token_ns),
        "level": _level(row, attributes),
        "statusMessage": row.status_message or None,
        "version": attributes.get("langfuse.version"),
        "release": attributes.get("langfuse.release"),
        "environment": row.environment or "default",
        "bookmarked": False,
        "public": attributes.get("langfuse.trace.public") in (True, "true"),
        "userId": row.user or None,
        "sessionId": row.session or None,
        "traceName": row.trace_name or (row.name if row.parent_id is None else None) or None,
        "tags": list(row.tags),
        "createdAt": iso(row.received_ns),
        "updatedAt": iso(row.received_ns),
        "input": row.input or None,
        "output": row.output or None,
        "metadata": _metadata(attributes, row),
        "model": model,
        "providedModelName": model,
        "internalModelId": None,
        "modelParameters": _parameters(attributes),
        "usageDetails": usage_details(row.usage),
        "costDetails": paid,
        "totalCost": paid.get(TOTAL),
        "promptId": None,
        "promptName": attributes.get("langfuse.observation.prompt.name"),
        "promptVersion": _whole(attributes.get("langfuse.observation.prompt.version")),
        "latency": (row.end_ns - row.start_ns) / _NANO,
        "timeToFirstToken": None if row.first_token_ns is None else row.first_token_ns / _NANO,
        "modelId": None,
        "inputPrice": None,
        "outputPrice": None,
        "totalPrice": None,
        "usagePricingTierName": None,
        "unbilled": row.unbilled or None,
    }


def legacy_observation(row: SpanRow) -> dict[str, Any]:
    """A span as the API of Langfuse 3 and older shows it: input and output parsed, usage and cost under old names."""
    shown = observation(row)
    usage = shown["usageDetails"]
    inputs, outputs = row.usage.input_tokens or 0, row.usage.output_tokens or 0
    total = usage.get("total", 0)
    paid = exactly(shown["costDetails"])
    costs = {name: _float(side(paid, name)) for name in ("input", "output")} | {"total": shown["totalCost"]}
    return {
        **shown,
        "input": parsed(row.input),
        "output": parsed(row.output),
        "usage": {
            "unit": "TOKENS",
            "input": inputs,
            "output": outputs,
            "total": total,
            **{f"{name}Cost": cost for name, cost in costs.items()},
        },
        "promptTokens": inputs,
        "completionTokens": outputs,
        "totalTokens": total,
        "unit": "TOKENS",
        **{f"calculated{name.title()}Cost": cost for name, cost in costs.items()},
    }


def trace(summary: TraceSummary, rows: Sequence[SpanRow] = ()) -> dict[str, Any]:
    """A trace without its observations and scores; texts and metadata come from `rows`, later starts winning."""
    ordered = sorted(rows, key=lambda row: (row.start_ns, row.key))
    kept = [(row, own_attributes(row)) for row in ordered]
    metadata: dict[str, Any] = {}
    asked = answered = ""
    told: dict[str, Any] = {}
    for row, attributes in kept:
        if row.parent_id is None:
            asked, answered = row.input or asked, row.output or answered
            metadata |= _metadata_under(attributes, _OBSERVATION)
        metadata |= _metadata_under(attributes, _TRACE)
        told |= {
            name: attributes[f"langfuse.{name}"]
            for name in ("release", "version")
            if attributes.get(f"langfuse.{name}")
        }
    for row in ordered:
        asked, answered = row.trace_input or asked, row.trace_output or answered
    return {
        "id": next((str(found) for _, each in kept if (found := each.get(TRACE_ID))), summary.trace_id),
        "projectId": summary.project,
        "timestamp": iso(summary.started_ns),
        "createdAt": iso(summary.started_ns),
        "updatedAt": iso(summary.ended_ns),
        "name": summary.name or None,
        "userId": summary.user or None,
        "sessionId": summary.session or None,
        "release": told.get("release"),
        "version": told.get("version"),
        "environment": summary.environment or "default",
        "tags": list(summary.tags),
        "public": any(each.get("langfuse.trace.public") in (True, "true") for _, each in kept),
        "bookmarked": False,
        "externalId": None,
        "input": parsed(asked),
        "output": parsed(answered),
        "metadata": metadata,
        "latency": summary.duration_ns / _NANO,
        "totalCost": float(summary.cost or 0),
        "htmlPath": f"/traces/{summary.trace_id}",
    }


def score(kept: Score) -> dict[str, Any]:
    """A score as the older endpoints show it: words under a name of their own."""
    return {
        **_score(kept),
        "value": kept.value if kept.value is not None else 0,
        "stringValue": kept.text or None,
        "traceId": kept.trace_id or None,
        "observationId": kept.span_id or None,
        "sessionId": kept.session or None,
        "datasetRunId": None,
    }


def score_v3(kept: Score) -> dict[str, Any]:
    """A score as the current endpoint shows it: its value in its own type, and what it judges."""
    value: object = kept.value
    if kept.data_type == "BOOLEAN":
        value = bool(kept.value)
    elif kept.data_type != "NUMERIC":
        value = kept.text
    subject: dict[str, Any] = {"kind": "trace", "id": kept.trace_id}
    if kept.session:
        subject = {"kind": "session", "id": kept.session}
    elif kept.span_id:
        subject = {"kind": "observation", "id": kept.span_id, "traceId": kept.trace_id}
    return {**_score(kept), "value": value, "subject": subject}


def observation_id(row: SpanRow) -> str:
    """The id of a span, in the words of whoever sent it."""
    return str(own_attributes(row).get(ID, row.span_id))


def level(row: SpanRow) -> str:
    """How serious an observation is."""
    return _level(row, own_attributes(row))


def is_trace(row: SpanRow) -> bool:
    """Whether this row stands for a whole trace, as Langfuse 2 sends it beside its observations."""
    return row.key.startswith(WHOLE_TRACE)


def usage_details(usage: Usage) -> dict[str, int]:
    """Usage in Langfuse's buckets."""
    return {name: count for name, count in langfuse_usage_details(usage).items() if isinstance(count, int)}


def _float(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)


def _score(kept: Score) -> dict[str, Any]:
    return {
        "id": kept.id,
        "projectId": kept.project,
        "name": kept.name,
        "dataType": kept.data_type,
        "source": kept.source,
        "comment": kept.comment or None,
        "metadata": parsed(kept.metadata),
        "environment": kept.environment,
        "configId": kept.config_id or None,
        "authorUserId": kept.author or None,
        "queueId": kept.queue_id or None,
        "timestamp": iso(kept.at_ns),
        "createdAt": iso(kept.created_ns),
        "updatedAt": iso(kept.at_ns),
    }


def own_attributes(row: SpanRow) -> dict[str, Any]:
    """The attributes of a span itself, without those of what sent it."""
    kept = parsed(row.attributes)
    return kept.get("attributes", {}) if isinstance(kept, dict) else {}


def _parent(row: SpanRow, attributes: Mapping[str, Any]) -> str | None:
    events = attributes.get(EVENTS)
    if not isinstance(events, list):
        return row.parent_id
    told = [event["body"].get("parentObservationId") for event in events]
    return next((each for each in reversed(told) if each), None)


def _level(row: SpanRow, attributes: Mapping[str, Any]) -> str:
    said = str(attributes.get("langfuse.observation.level", "")).strip().upper()
    if said in ("DEBUG", "DEFAULT", "WARNING", "ERROR"):
        return said
    return "ERROR" if row.status == "error" else "DEFAULT"


def _metadata(attributes: Mapping[str, Any], row: SpanRow) -> dict[str, Any]:
    found = {**_metadata_under(attributes, _TRACE), **_metadata_under(attributes, _OBSERVATION)}
    if EVENTS not in attributes and not row.scope.startswith("langfuse-sdk"):
        others = {name: value for name, value in attributes.items() if not name.startswith(_OURS)}
        if row.writer is not None and row.seq is not None:
            # Where Langfuse has it, too: `everyspan audit --langfuse` goes by it.
            others[STAMP] = format_stamp(row.writer, row.seq).decode()
        found |= {"attributes": others} if others else {}
    return found


def _metadata_under(attributes: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    whole = attributes.get(prefix)
    whole = parsed(whole) if isinstance(whole, str) else whole
    found: dict[str, Any] = dict(whole) if isinstance(whole, dict) else {}
    for name, value in attributes.items():
        if name.startswith(prefix + "."):
            found[name[len(prefix) + 1 :]] = parsed(value) if isinstance(value, str) else value
    return found


def _parameters(attributes: Mapping[str, Any]) -> dict[str, Any]:
    said = parsed(str(attributes.get(_PARAMETERS) or attributes.get("llm.invocation_parameters") or ""))
    if isinstance(said, dict):
        return said
    prefix = "gen_ai.request."
    return {
        name[len(prefix) :]: value
        for name, value in attributes.items()
        if name.startswith(prefix) and name != "gen_ai.request.model"
    }


def _whole(value: object) -> int | None:
    # Langfuse 2 and its ingestion say it as a text of their own.
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
