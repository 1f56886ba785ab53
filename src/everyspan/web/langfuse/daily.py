"""`GET /api/public/metrics/daily`: what each day brought, as the SDKs 2 and 3 ask for it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from starlette.routing import Route

from everyspan.store.daily import DailyFilter, Day, ModelOfDay
from everyspan.store.store import Store
from everyspan.web.langfuse.exchange import Asked, endpoint, paged

TAKES = (
    *("page", "limit", "traceName", "userId", "tags", "environment"),
    *("fromTimestamp", "toTimestamp"),
)


class Daily:
    """The endpoint, over one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def routes(self) -> list[Route]:
        """The route."""
        return [Route("/api/public/metrics/daily", endpoint(self.daily, takes=TAKES), methods=["GET"])]

    def daily(self, asked: Asked) -> object:
        """Days by page, the latest first; those without anything are left out."""
        page, limit = asked.paging()
        wanted = DailyFilter(
            project=asked.project,
            name=asked.one("traceName"),
            user=asked.one("userId"),
            tags=tuple(dict.fromkeys(tag for tag in asked.query.get("tags", ()) if tag)),
            environments=tuple(dict.fromkeys(asked.several("environment"))),
            since_ns=asked.time("fromTimestamp"),
            until_ns=asked.time("toTimestamp"),
            limit=limit,
            skip=(page - 1) * limit,
        )
        days, total = self._store.daily(wanted)
        return paged([_shown(day) for day in days], page=page, limit=limit, total=total)


def _shown(day: Day) -> dict[str, Any]:
    known = [model.cost for model in day.models if model.cost is not None]
    return {
        "date": day.at.isoformat(),
        "countTraces": day.traces,
        "countObservations": sum(model.observations for model in day.models),
        "totalCost": float(sum(known, Decimal(0))),
        "usage": [_model(each) for each in day.models],
    }


def _model(found: ModelOfDay) -> dict[str, Any]:
    return {
        "model": found.model or None,
        "inputUsage": found.input_tokens,
        "outputUsage": found.output_tokens,
        "totalUsage": found.input_tokens + found.output_tokens,
        "countTraces": found.traces,
        "countObservations": found.observations,
        "totalCost": float(found.cost or 0),
    }
