"""`POST /api/public/ingestion`: how Langfuse 2 sends everything, and Langfuse 3 and 4 their scores.

A trace or observation arrives as a creation and later changes to it. All of them stay with its row, in the order of
their times, and each new one makes the row anew from the whole list: order of arrival and repetition change nothing.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.routing import Route

from everyspan.clock import now_ns
from everyspan.collector.mapping import Origin
from everyspan.store.rows import SpanRow
from everyspan.store.scores import Score, SpanFilter
from everyspan.store.store import Store
from everyspan.web.langfuse.exchange import Asked, RequestError, check_depth, endpoint, ns_of
from everyspan.web.langfuse.ingested import EVENTS, KINDS, key_of, row_of
from everyspan.web.langfuse.scores import score_from

_MOST_EVENTS = 5_000


class Ingestion:
    """The endpoint, over one store. Batches are taken one at a time: each reads what the last one wrote."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._one_at_a_time = threading.Lock()

    def routes(self) -> list[Route]:
        """The route."""
        return [Route("/api/public/ingestion", endpoint(self.take), methods=["POST"])]

    def take(self, asked: Asked) -> object:
        """Keep what can be kept, and say of each event what became of it."""
        batch = asked.body.get("batch") if isinstance(asked.body, dict) else None
        if not isinstance(batch, list) or len(batch) > _MOST_EVENTS:
            raise RequestError(
                "Invalid request data", error=[f"a list `batch` of at most {_MOST_EVENTS} is expected"]
            )
        scores: list[Score] = []
        events: dict[str, list[dict[str, Any]]] = defaultdict(list)
        successes, errors = [], []
        for event in batch:
            name = str(event.get("id", ""))[:200] if isinstance(event, dict) else ""
            try:
                _sort(event, asked.project, scores, events)
                successes.append({"id": name, "status": 201})
            except RequestError as refused:
                errors.append(
                    {"id": name, "status": 400, "message": str(refused), "error": "InvalidRequestError"}
                )
        self._store.put_scores(scores)
        with self._one_at_a_time:
            impossible = self._keep(asked, events)
        successes = [each for each in successes if each["id"] not in impossible]
        errors += [_refusal(each, why) for each, why in impossible.items()]
        return 207, {"successes": successes, "errors": errors}

    def _keep(self, asked: Asked, events: Mapping[str, Sequence[dict[str, Any]]]) -> dict[str, str]:
        """Make the rows anew; returns the ids of events of which no row can be made, and why."""
        known = {row.key: row for row in self._known(asked.project, list(events))}
        rows: list[SpanRow] = []
        impossible: dict[str, str] = {}
        origin = Origin(project=asked.project, key_id=asked.key_id, received_ns=now_ns(), resource={})
        for key, new in events.items():
            there = known.get(key)
            try:
                every = [*_events_of(there), *new]
                rows.append(row_of(every, origin, before=there))
            except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as malformed:
                # Told as malformed, or the client would send it for ever.
                why = f"the body cannot be read: {type(malformed).__name__}: {str(malformed)[:200]}"
                impossible |= {str(event.get("id", ""))[:200]: why for event in new}
        if rows:
            self._store.insert(rows)
        return impossible

    def _known(self, project: str, keys: Sequence[str]) -> list[SpanRow]:
        found: list[SpanRow] = []
        for start in range(0, len(keys), 500):
            some = tuple(keys[start : start + 500])
            found += self._store.list_spans(SpanFilter(project=project, keys=some, limit=len(some)))
        return found


def _refusal(event: str, why: str) -> dict[str, Any]:
    return {"id": event, "status": 400, "message": why, "error": "InvalidRequestError"}


def _sort(event: Any, project: str, scores: list[Score], events: dict[str, list[dict[str, Any]]]) -> None:
    if not isinstance(event, dict) or not isinstance(event.get("body"), dict):
        raise RequestError("an event is an object with id, type, timestamp and body")
    kind, body = str(event.get("type", "")), event["body"]
    if kind == "sdk-log":
        return
    check_depth(body)
    ns_of(event.get("timestamp"), "timestamp")
    for name in ("startTime", "endTime", "completionStartTime"):
        if body.get(name):
            ns_of(body[name], name)
    if kind == "score-create":
        scores.append(score_from({"timestamp": event["timestamp"], **body}, project=project))
    elif kind in KINDS:
        events[key_of(kind, body)].append(event)
    else:
        raise RequestError(f"type is {kind[:40]!r}, which is not taken here")


def _events_of(row: SpanRow | None) -> list[dict[str, Any]]:
    if row is None:
        return []
    found: list[dict[str, Any]] = json.loads(row.attributes)["attributes"].get(EVENTS, [])
    return found
