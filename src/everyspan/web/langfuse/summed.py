"""The questions for metrics that the store's cost report answers from its roll-ups, whatever the number of spans."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from everyspan.store.conditions import Is, Measured, Period, SpanField, SpanGroup
from everyspan.store.groups import Each
from everyspan.store.reads import CostBy, CostFilter
from everyspan.store.scores import SpanFilter
from everyspan.store.store import Store

_BY = {
    SpanField.MODEL: CostBy.MODEL,
    SpanField.USER: CostBy.USER,
    SpanField.SESSION: CostBy.SESSION,
    SpanField.ENVIRONMENT: CostBy.ENVIRONMENT,
    SpanField.TAGS: CostBy.TAG,
}
_SUMMED = {
    "totalCost": SpanField.COST,
    "inputTokens": SpanField.INPUT_TOKENS,
    "outputTokens": SpanField.OUTPUT_TOKENS,
}
_EACH = {None: None, Period.HOUR: Each.HOUR, Period.DAY: Each.DAY}


def summed(
    store: Store,
    dimensions: Sequence[tuple[str, SpanField]],
    measures: Sequence[tuple[str, str]],
    wanted: SpanFilter,
    period: Period | None,
) -> list[SpanGroup] | None:
    """The same groups that `Store.span_groups` would give, as far as these sums go; None for another question."""
    fields = [field for _, field in dimensions]
    filters = _filters(wanted)
    only_sums = all(name in _SUMMED and how == "sum" for name, how in measures)
    if (
        not only_sums
        or filters is None
        or period not in _EACH
        or len(fields) > 1
        or not set(fields) <= set(_BY)
    ):
        return None
    each = _EACH[period]
    by = _BY[fields[0]] if fields else CostBy.PROJECT
    found = []
    for group in store.cost_groups(by, filters, each=each):
        if group.calls:
            sums = {
                SpanField.COST: group.cost,
                SpanField.INPUT_TOKENS: group.input_tokens,
                SpanField.OUTPUT_TOKENS: group.output_tokens,
            }
            found.append(
                SpanGroup(
                    values=(group.value,) if fields else (),
                    period_s=_second(group.period) if each else 0,
                    spans=group.calls,
                    measured={
                        _SUMMED[name]: Measured(count=group.calls, total=Decimal(sums[_SUMMED[name]] or 0))
                        for name, _ in measures
                    },
                )
            )
    return found


def _filters(wanted: SpanFilter) -> CostFilter | None:
    said: dict[str, str] = {}
    for each in wanted.conditions:
        field = _BY.get(each.field)
        one_value = each.how is Is.ANY_OF and len(each.texts) == 1 and each.texts[0] != ""
        if field is None or not one_value or field.value in said:
            return None
        said[field.value] = each.texts[0]
    return CostFilter(
        project=wanted.project,
        since_ns=wanted.since_ns,
        until_ns=wanted.until_ns,
        **said,  # type: ignore[arg-type]
    )


def _second(period: str) -> int:
    at = datetime.fromisoformat(period.replace("Z", "+00:00"))
    return int(at.replace(tzinfo=UTC).timestamp())
