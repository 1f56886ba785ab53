"""What both versions of Jaeger's API ask: services, operations, and how a search is written.

An operation is the name of a trace: names of single spans are not searched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from everyspan.errors import NotFoundError, SettingsError
from everyspan.query.groups import GroupFilter, GroupOrder, TraceBy, list_groups
from everyspan.query.traces import Trace, TraceFilter, list_traces, trace
from everyspan.store.store import Store

PAGE = 20
MOST_IN_A_PAGE = 200
_MOST = 1000
_NS = {"ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000}
_NS["h"] = 60 * _NS["m"]
_LENGTH = r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)"
_TAGS = {
    "user": "user",
    "user.id": "user",
    "session": "session",
    "session.id": "session",
    "tag": "tag",
    "model": "model",
    "gen_ai.request.model": "model",
    "gen_ai.response.model": "model",
    "provider": "provider",
    "gen_ai.provider.name": "provider",
    "environment": "environment",
    "deployment.environment.name": "environment",
}


def services(store: Store, project: str) -> list[str]:
    """The names of services, sorted; of very many those with the most traces."""
    wanted = GroupFilter(project=project, order=GroupOrder.MOST, limit=_MOST)
    return sorted(
        {group.value for group in list_groups(store, TraceBy.SERVICE, wanted).groups if group.value}
    )


def operations(store: Store, project: str, service: str) -> list[str]:
    """The names of a service's latest traces, sorted."""
    wanted = TraceFilter(project=project, service=service, limit=_MOST)
    return sorted({found.name for found in list_traces(store, wanted).traces if found.name})


def whole_traces(store: Store, wanted: TraceFilter) -> Iterator[Trace]:
    """The traces of a search, each with its spans."""
    for found in list_traces(store, wanted).traces:
        try:
            yield trace(store, found.trace_id, project=found.project)
        except NotFoundError:
            continue  # deleted since it was listed


def duration_ns(name: str, said: str) -> int | None:
    """A duration as Go writes it, such as `1m30s`, in nanoseconds; None when it is not given."""
    if not said:
        return None
    if not re.fullmatch(f"(?:{_LENGTH})+", said):
        raise SettingsError(f"{name} is {said[:40]!r}; it takes 1.2s, 100ms or 500us")
    return sum(int(float(number) * _NS[unit]) for number, unit in re.findall(_LENGTH, said))


def tags(name: str, said: str) -> dict[str, Any]:
    """The fields of a `TraceFilter` that a JSON object of tags stands for.

    Raises:
        SettingsError: it is none, or has a tag that cannot be searched.
    """
    try:
        found = json.loads(said) if said else {}
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise SettingsError(f"{name} is {said[:40]!r}; it takes a JSON object")
    wanted: dict[str, Any] = {}
    for tag, value in found.items():
        if tag == "error":
            wanted["with_errors"] = str(value).lower() == "true"
        elif tag in _TAGS:
            wanted[_TAGS[tag]] = str(value)
        else:
            raise SettingsError(f"{tag[:40]!r} can not be searched; known: error, {', '.join(_TAGS)}")
    return wanted
