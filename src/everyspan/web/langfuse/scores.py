"""Scores: written one by one, as a list or inside an ingestion batch; one of them read or deleted."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping
from typing import Any

from starlette.routing import Route

from everyspan.clock import now_ns
from everyspan.store.scores import Score, ScoreFilter, SingleStore
from everyspan.web.langfuse.exchange import Asked, RequestError, check_depth, endpoint, missing, ns_of
from everyspan.web.langfuse.ids import span_id_of, trace_id_of
from everyspan.web.langfuse.shapes import score

_TYPES = ("NUMERIC", "BOOLEAN", "CATEGORICAL", "TEXT", "CORRECTION")
_MOST_TEXT = 500
_MOST_SCORES = 10_000


class Scores:
    """The endpoints, over one store."""

    def __init__(self, store: SingleStore) -> None:
        self._store = store

    def routes(self) -> list[Route]:
        """The routes; lists are in `score_lists.py`."""
        one = "/api/public/scores/{id}"
        return [
            Route("/api/public/scores", endpoint(self.create), methods=["POST"]),
            Route(one, endpoint(self.read), methods=["GET"]),
            Route("/api/public/v2/scores/{id}", endpoint(self.read), methods=["GET"]),
            Route(one, endpoint(self.delete), methods=["DELETE"]),
        ]

    def create(self, asked: Asked) -> object:
        """One object, answered with its id, or a list, answered with how many were taken."""
        if isinstance(asked.body, dict):
            made = score_from(asked.body, project=asked.project)
            self._store.put_scores([made])
            return {"id": made.id}
        if not isinstance(asked.body, list) or len(asked.body) > _MOST_SCORES:
            raise RequestError("Invalid request data", error=["a score or a list of scores is expected"])
        taken, errors = [], []
        for each in asked.body:
            try:
                taken.append(score_from(each, project=asked.project))
            except RequestError as refused:
                errors.append({"message": str(refused)})
        self._store.put_scores(taken)
        if not errors:
            return 202, {"message": "Accepted"}
        return 207, {"accepted": len(taken), "rejected": len(errors), "errors": errors}

    def read(self, asked: Asked) -> object:
        """One score."""
        found = self._store.list_scores(ScoreFilter(project=asked.project, ids=(asked.path["id"],)))
        if not found:
            raise missing(f"Score {asked.path['id'][:80]!r}")
        return score(found[0])

    def delete(self, asked: Asked) -> object:
        """Gone when this returns."""
        if not self._store.delete_score(asked.project, asked.path["id"]):
            raise missing(f"Score {asked.path['id'][:80]!r}")
        return 202, {"message": "Score deleted"}


def score_from(said: Any, *, project: str) -> Score:
    """A score out of what a client says.

    Raises:
        RequestError: it judges nothing, or its value does not fit its type.
    """
    if not isinstance(said, Mapping) or not isinstance(said.get("name"), str) or not said["name"]:
        raise RequestError("a score takes a name")
    data_type, value, text = _value(said)
    trace_id, session = _text(said, "traceId"), _text(said, "sessionId")
    if bool(trace_id) == bool(session):
        raise RequestError(
            "a score judges either a trace (traceId, with or without observationId) or a session (sessionId)"
        )
    at_ns = ns_of(said["timestamp"], "timestamp") if said.get("timestamp") else now_ns()
    span_id = _text(said, "observationId")
    metadata = said.get("metadata")
    check_depth(metadata)
    return Score(
        project=project,
        id=_text(said, "id") or str(uuid.uuid4()),
        name="output" if data_type == "CORRECTION" else said["name"],
        data_type=data_type,
        value=value,
        text=text,
        trace_id=trace_id_of(trace_id) if trace_id else "",
        span_id=span_id_of(span_id) if span_id else "",
        session=session,
        source=_text(said, "source") or "API",
        comment=_text(said, "comment"),
        metadata=json.dumps(metadata) if metadata is not None else "",
        environment=_text(said, "environment") or "default",
        config_id=_text(said, "configId"),
        queue_id=_text(said, "queueId"),
        at_ns=at_ns,
        created_ns=now_ns(),
    )


def _value(said: Mapping[str, Any]) -> tuple[str, float | None, str]:
    value, data_type = said.get("value"), said.get("dataType")
    number = _number(value)
    if data_type is None:
        data_type = "NUMERIC" if isinstance(value, (int, float)) else "CATEGORICAL"
    if data_type not in _TYPES:
        raise RequestError(f"dataType is {str(data_type)[:40]!r}; it takes one of {', '.join(_TYPES)}")
    if data_type in ("NUMERIC", "BOOLEAN"):
        if number is None:
            raise RequestError(f"a {data_type} score takes a number, not {str(value)[:40]!r}")
        if data_type == "NUMERIC":
            return data_type, number, ""
        if number not in (0.0, 1.0):
            raise RequestError(f"a BOOLEAN score takes 0 or 1, not {number:g}")
        return data_type, number, "True" if number else "False"
    if not isinstance(value, str):
        raise RequestError(f"a {data_type} score takes a string, not {str(value)[:40]!r}")
    if data_type == "TEXT" and not 1 <= len(value) <= _MOST_TEXT:
        raise RequestError(f"a TEXT score takes 1 to {_MOST_TEXT} characters, not {len(value)}")
    return data_type, None, value


def _number(value: object) -> float | None:
    try:
        number = float(value) if isinstance(value, (int, float)) else math.nan
    except OverflowError:
        return None  # a whole number may have any number of digits
    return number if math.isfinite(number) else None


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    # A lone surrogate is no text to a database.
    return str(value).encode("utf-8", "replace").decode() if value is not None else ""
