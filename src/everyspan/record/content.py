"""What of a span's texts may reach the disk: all of them, their hashes, or none; keys and media in no case.

Stands in front of every log, for third-party spans too. Closed on failure: a text that could not be looked at is not
written. The user's own span object is never changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Status
from opentelemetry.util.types import AttributeValue

from everyspan.record import names
from everyspan.record.altered import AlteredSpan
from everyspan.record.media import LEAST_MEDIA, Media, may_hold_media
from everyspan.record.secrets import may_hold_a_key, without_keys
from everyspan.record.shed import is_body
from everyspan.record.tally import TALLY
from everyspan.settings import Content, MediaHandling, Settings

Mask = Callable[[str, str], str]
"""The user's: name of an attribute and its text → the text to keep."""

FAILED = "[everyspan: not kept, because masking it failed]"
_SHORTEST = 16
"""No key and no picture is shorter."""
_NO_CONTENT = frozenset({names.USAGE_RAW})
_INPUTS = (names.INPUT_MESSAGES, names.LANGFUSE_INPUT)
# What the collector and every backend sort and bill by; a mask that ate it would lose the call.
_STRUCTURE = (
    "everyspan.",
    "gen_ai.usage.",
    "llm.token_count.",
    "langfuse.observation.usage",
    "langfuse.observation.cost",
)
_STRUCTURE_NAMES = frozenset(
    {
        names.OPERATION,
        names.PROVIDER,
        names.REQUEST_MODEL,
        names.RESPONSE_MODEL,
        names.RESPONSE_ID,
        names.SERVER_ADDRESS,
        names.LANGFUSE_TYPE,
        names.LANGFUSE_MODEL,
        names.LANGFUSE_FIRST_TOKEN_AT,
        "openinference.span.kind",
        "llm.model_name",
    }
)


class ContentPolicy:
    """Applies what the user set to spans and to the pieces of streams. Safe from any thread."""

    def __init__(self, *, content: Content, media: Media, mask: Mask | None = None) -> None:
        self._content = content
        self._media = media
        self._mask = mask
        self.takes_pieces = content is Content.FULL and mask is None
        """A part of a text can be judged by itself; a hash, and a mask of the user's, need all of it."""

    def passes(self, span: ReadableSpan, attributes: Iterable[tuple[str, object]]) -> bool:
        """True when these attributes and all else of the span may be written as they are; nearly always.

        One search through all short texts in a row, instead of one through each. After False, `applied` looks closer.

        Args:
            attributes: those of the span that nobody has judged yet.
        """
        if not self.takes_pieces or _has(span, "_events") or span.status.description:
            return False
        short: list[str] = []
        for _, value in attributes:
            if type(value) is str:
                if len(value) < LEAST_MEDIA:
                    short.append(value)
                elif may_hold_a_key(value) or (not self._media.inline and may_hold_media(value)):
                    return False
            elif type(value) is tuple and value and type(value[0]) is str:
                short += map(str, value)
        together = "\n".join(short)
        if may_hold_a_key(together):
            return False
        # Only texts in a tuple can be as long as media.
        return len(together) < LEAST_MEDIA or self._media.inline or not may_hold_media(together)

    def applied(self, span: ReadableSpan) -> ReadableSpan:
        """The span as it may be written: itself, when nothing in it has to go."""
        attributes = _held(span)
        kept = self._kept(attributes)
        events = [self._event(event) for event in span.events] if _has(span, "_events") else []
        told = span.status.description if span.status is not None else None
        said = self._text("status", told) if told else told
        if kept is attributes and said == told and all(map(_is_same, events, span.events)):
            return span
        status = None if said == told else Status(span.status.status_code, said)
        return AlteredSpan(span, kept, events=events or None, status=status)

    def piece(self, text: str) -> str:
        """A piece of an answer that is still arriving."""
        return self._text(names.OUTPUT_MESSAGES, text)

    def _kept(self, attributes: Mapping[str, AttributeValue]) -> Mapping[str, AttributeValue]:
        changed: dict[str, Any] = {}
        for name, value in attributes.items():
            if self._content is not Content.FULL and is_body(name) and name not in _NO_CONTENT:
                changed[name] = _hashed(value) if self._content is Content.HASHED else None
            elif type(value) is str:
                if len(value) >= _SHORTEST or self._mask is not None:
                    text = self._text(name, value)
                    if text is not value:
                        changed[name] = text
            elif type(value) is tuple and value and type(value[0]) is str:
                texts = tuple(self._text(name, str(each)) for each in value)
                if texts != value:
                    changed[name] = texts
        if not changed:
            return attributes
        kept = {name: value for name, value in {**attributes, **changed}.items() if value is not None}
        if self._content is not Content.FULL:
            sent = next((attributes[name] for name in _INPUTS if name in attributes), "")
            if isinstance(sent, str) and sent:
                kept[names.SHED_INPUT_BYTES] = len(sent.encode("utf-8", "replace"))
        return kept

    def _text(self, name: str, text: str) -> str:
        try:
            found = without_keys(self._media.replaced(text))
            if self._mask is not None and name not in _STRUCTURE_NAMES and not name.startswith(_STRUCTURE):
                masked = self._mask(name, found)
                if not isinstance(masked, str):
                    raise TypeError(f"a mask gives text, not {type(masked).__name__}")
                found = masked
        except Exception as error:  # noqa: BLE001 - closed on failure: better no text than one that should have gone
            TALLY.fault("mask a text", error)
            return FAILED
        return text if found == text else found

    def _event(self, event: Event) -> Event:
        attributes = dict(event.attributes or {})
        if self._content is not Content.FULL and event.name.startswith("gen_ai."):
            return Event(event.name, {}, event.timestamp)
        kept = self._kept(attributes)
        return event if kept is attributes else Event(event.name, kept, event.timestamp)


def policy_of(settings: Settings, mask: Mask | None) -> ContentPolicy:
    """What the settings say."""
    keep_in = settings.spool_dir / "media" if settings.media is MediaHandling.KEEP else None
    media = Media(keep_in=keep_in, inline=settings.media is MediaHandling.INLINE)
    return ContentPolicy(content=settings.content, media=media, mask=mask)


def _held(span: ReadableSpan) -> Mapping[str, AttributeValue]:
    # The SDK's property makes a view that takes a lock for each key; a copy in one step is what we want.
    held = getattr(getattr(span, "_attributes", None), "_dict", None)
    return dict(held) if type(held) is dict else dict(span.attributes or {})


def _has(span: ReadableSpan, name: str) -> bool:
    held = getattr(span, name, None)
    return held is None or len(held) > 0


def _is_same(one: object, other: object) -> bool:
    return one is other


def _hashed(value: AttributeValue) -> str:
    text = value if isinstance(value, str) else repr(value)
    data = text.encode("utf-8", "backslashreplace")
    return f"sha256:{hashlib.sha256(data).hexdigest()} ({len(data)} bytes)"
