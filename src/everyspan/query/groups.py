"""Who and what: users, sessions, tags and the like, with the sums of their traces."""

from __future__ import annotations

from dataclasses import dataclass

from everyspan.errors import SettingsError
from everyspan.query.traces import MOST_TRACES
from everyspan.store.groups import GroupFilter, GroupOrder, TraceBy, TraceGroup
from everyspan.store.store import Store

__all__ = ["GroupFilter", "GroupOrder", "GroupPage", "TraceBy", "TraceGroup", "list_groups"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupPage:
    """One page of groups, in the order asked for."""

    by: TraceBy
    groups: tuple[TraceGroup, ...]
    next_offset: int | None = None
    """Pass it as `GroupFilter.offset` for the next page; None on the last one."""


def list_groups(store: Store, by: TraceBy, wanted: GroupFilter) -> GroupPage:
    """One page of groups.

    Raises:
        SettingsError: the limit is not from 1 to 1000.
        StoreError: the store cannot be read.
    """
    if not 1 <= wanted.limit <= MOST_TRACES:
        raise SettingsError(f"limit is {wanted.limit}; it takes 1 to {MOST_TRACES}")
    found = store.trace_groups(by, wanted)
    page = tuple(found[: wanted.limit])
    return GroupPage(
        by=by, groups=page, next_offset=wanted.offset + len(page) if len(found) > len(page) else None
    )
