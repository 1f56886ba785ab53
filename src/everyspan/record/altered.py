"""A finished span with other attributes, for one destination: the user's own span object is never changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Status
from opentelemetry.util.types import AttributeValue


class AlteredSpan(ReadableSpan):
    """`span` with `attributes`, and with `events` and `status` where they are given; all else is the original's."""

    def __init__(
        self,
        span: ReadableSpan,
        attributes: Mapping[str, AttributeValue],
        *,
        events: Sequence[Event] | None = None,
        status: Status | None = None,
    ) -> None:
        super().__init__(
            span.name,
            context=span.context,
            parent=span.parent,
            resource=span.resource,
            attributes=attributes,
            events=span.events if events is None else events,
            links=span.links,
            kind=span.kind,
            status=status or span.status,
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )
        self._dropped = (
            span.dropped_attributes,
            span.dropped_events + len(span.events) - len(self.events),
            span.dropped_links,
        )

    @property
    def dropped_attributes(self) -> int:
        """What the user's SDK had dropped."""
        return self._dropped[0]

    @property
    def dropped_events(self) -> int:
        """The same, and the events that were left out here."""
        return self._dropped[1]

    @property
    def dropped_links(self) -> int:
        """What the user's SDK had dropped."""
        return self._dropped[2]
