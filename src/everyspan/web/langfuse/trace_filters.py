"""Which traces are asked for: for the store as far as it can tell, else a look at each of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from everyspan.store.conditions import Is
from everyspan.store.reads import TraceFilter, TraceSummary
from everyspan.store.scores import Score
from everyspan.web.langfuse.exchange import Asked, RequestError, ns_of
from everyspan.web.langfuse.ids import trace_id_of
from everyspan.web.langfuse.looks import (
    Columns,
    Look,
    Said,
    Shown,
    any_of,
    condition_of,
    look_of,
    read_conditions,
    texts_of,
)

_LEVELS = ("ERROR", "WARNING", "DEFAULT", "DEBUG")
"""The most severe first."""
_COUNTS = tuple(f"{level.lower()}Count" for level in _LEVELS)
IN_ITS_SPANS = frozenset(
    {
        *("version", "release", "metadata", "level", "public", "inputCost", "outputCost", *_COUNTS),
        *("scores", "scores_avg", "score_categories", "score_booleans"),
    }
)
"""What the summary of a trace does not tell."""

_NUMBERS = frozenset(
    {
        *("latency", "inputTokens", "outputTokens", "totalTokens", "tokens", "inputCost", "outputCost"),
        *("totalCost", "scores", "scores_avg"),
    }
)
TRACE = Columns(
    names=(
        *("id", "name", "timestamp", "userId", "sessionId", "environment", "tags", "bookmarked", "latency"),
        *("inputTokens", "outputTokens", "totalTokens", "tokens", "inputCost", "outputCost", "totalCost"),
        *("version", "release", "metadata", "level", *_COUNTS),
        *("scores", "scores_avg", "score_categories", "score_booleans"),
    ),
    numbers=_NUMBERS | frozenset(_COUNTS),
    times=frozenset({"timestamp"}),
    lists=frozenset({"tags", "score_categories"}),
    keyed=frozenset({"metadata", "scores", "scores_avg", "score_categories", "score_booleans"}),
)
ORDERS = ("id", "timestamp", "name", "userId", "release", "version", "public", "bookmarked", "sessionId")
LATEST_FIRST = ("timestamp", True)
_STORED = {"name": "name", "userId": "user", "sessionId": "session", "environment": "environment"}
_NANO = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked of the store, and of each trace that it finds."""

    filter: TraceFilter
    looks: tuple[Look, ...]
    """At what the summary tells."""
    deep_looks: tuple[Look, ...]
    """At what only its spans and scores tell."""
    order: tuple[str, bool]
    """A field, and whether the largest comes first."""

    deep: bool
    """Whether the spans of each trace are needed."""

    @property
    def by_the_store(self) -> bool:
        """Whether the store finds and orders them by itself."""
        return not self.looks and not self.deep and self.order == LATEST_FIRST


def wanted_traces(asked: Asked) -> Wanted:
    """What the parameters of a list of traces say; as Langfuse has it, with `filter` the others do not count."""
    listed = read_conditions(asked.one("filter")) if asked.one("filter") else list(_told(asked))
    return traces_of(listed, project=asked.project, order=_order(asked))


def traces_of(
    listed: Sequence[Any], *, project: str, order: tuple[str, bool] = LATEST_FIRST, deep: bool = False
) -> Wanted:
    """What these conditions ask.

    Args:
        deep: what only the spans of a trace tell is needed whatever the conditions are.
    """
    stored: dict[str, Any] = {}
    looks, deep_looks = [], []
    for each in listed:
        said = condition_of(each, TRACE)
        if (found := _of_the_store(said)) is not None and found[0] not in stored:
            stored[found[0]] = found[1]
        elif said.column in IN_ITS_SPANS:
            deep_looks.append(look_of(said, TRACE))
        else:
            looks.append(look_of(_with_our_ids(said), TRACE))
    return Wanted(
        filter=TraceFilter(project=project, **stored),
        looks=tuple(looks),
        deep_looks=tuple(deep_looks),
        order=order,
        deep=deep or bool(deep_looks) or order[0] in IN_ITS_SPANS,
    )


def about(summary: TraceSummary) -> dict[str, Any]:
    """A trace as looks see it, without what is in its spans."""
    tokens = summary.input_tokens + summary.output_tokens
    return {
        "id": summary.trace_id,
        "name": summary.name or None,
        "timestamp": summary.started_ns,
        "userId": summary.user or None,
        "sessionId": summary.session or None,
        "environment": summary.environment or "default",
        "tags": summary.tags,
        "bookmarked": False,
        "latency": summary.duration_ns / _NANO,
        "inputTokens": summary.input_tokens,
        "outputTokens": summary.output_tokens,
        "totalTokens": tokens,
        "tokens": tokens,
        "totalCost": summary.cost or 0,
    }


def in_its_spans(shown: Mapping[str, Any], levels: list[str], scores: Sequence[Score]) -> Shown:
    """The rest of what looks see: of a trace as it is shown, its observations' levels and its scores."""
    numbers: dict[str, list[float]] = defaultdict(list)
    words: dict[str, list[str]] = defaultdict(list)
    truths: dict[str, list[bool]] = defaultdict(list)
    for each in scores:
        if each.data_type == "NUMERIC" and each.value is not None:
            numbers[each.name].append(each.value)
        elif each.data_type == "BOOLEAN":
            truths[each.name].append(bool(each.value))
        elif each.data_type == "CATEGORICAL":
            words[each.name].append(each.text)
    means = {name: sum(values) / len(values) for name, values in numbers.items()}
    counts = {f"{level.lower()}Count": levels.count(level) for level in _LEVELS}
    return {
        **{name: shown[name] for name in ("version", "release", "metadata", "public")},
        **counts,
        "level": next((level for level in _LEVELS if level in levels), None),
        "scores": means,
        "scores_avg": means,
        "score_categories": words,
        "score_booleans": truths,
        "observationsCount": len(levels),
        "scoresCount": len(scores),
    }


def _told(asked: Asked) -> Iterator[dict[str, Any]]:
    for name in ("name", "userId", "sessionId", "version", "release"):
        if value := asked.one(name):
            yield {"type": "string", "column": name, "operator": "=", "value": value}
    if environments := asked.several("environment"):
        yield any_of("environment", environments)
    for tag in asked.query.get("tags", ()):
        if tag:
            yield {"type": "arrayOptions", "column": "tags", "operator": "all of", "value": [tag]}
    for name, operator in (("fromTimestamp", ">="), ("toTimestamp", "<")):
        if asked.one(name):
            asked.time(name)  # whose complaint names the parameter
            yield {
                "type": "datetime",
                "column": "timestamp",
                "operator": operator,
                "value": asked.one(name),
            }


def _of_the_store(said: Said) -> tuple[str, Any] | None:
    """The field of `TraceFilter` that asks exactly this, and its value; None where there is none."""
    if said.kind == "datetime" and said.column == "timestamp":
        at_ns = ns_of(said.value, "value")
        if said.how in (Is.AT_LEAST, Is.MORE):
            return "since_ns", at_ns + (said.how is Is.MORE)
        return "until_ns", at_ns + (said.how is Is.AT_MOST)
    if said.kind not in ("string", "stringOptions", "arrayOptions"):
        return None
    texts = texts_of(said.value)
    if len(texts) != 1 or not texts[0]:
        return None
    if said.column == "tags" and said.how is not Is.NONE_OF:
        return "tag", texts[0]
    # `default` is how one is shown that was never said.
    said_plainly = said.how is Is.ANY_OF and (said.column, texts[0]) != ("environment", "default")
    return (_STORED[said.column], texts[0]) if said.column in _STORED and said_plainly else None


def _with_our_ids(said: Said) -> Said:
    if said.column != "id" or said.how not in (Is.ANY_OF, Is.NONE_OF) or said.kind == "null":
        return said
    return said._replace(each={**said.each, "value": [trace_id_of(text) for text in texts_of(said.value)]})


def _order(asked: Asked) -> tuple[str, bool]:
    said = asked.one("orderBy")
    if not said:
        return LATEST_FIRST
    field, _, direction = said.partition(".")
    if field not in ORDERS or direction.lower() not in ("asc", "desc"):
        raise RequestError(
            f"orderBy is {said[:40]!r}; it takes .asc or .desc after one of {', '.join(ORDERS)}"
        )
    return field, direction.lower() == "desc"
