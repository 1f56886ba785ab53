"""From the body of a request to an inbox entry: undone, checked and named, before anybody answers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from everyspan.collector.cut import Bad, Budget, cut
from everyspan.collector.limits import Limits, decompressed
from everyspan.collector.otlp_json import from_json
from everyspan.errors import CollectorError, WireError
from everyspan.model.ids import Seq, WriterId
from everyspan.wire.decode import pieces
from everyspan.wire.ranges import read_ranges

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

RESOURCE_SPANS_FIELD = 1
_LARGEST_SEQ = 2**63 - 1
_WRITER = re.compile(r"[0-9]{7}-[0-9a-f]{12}")
_NAMED = 10
_NEVER_SAID = Seq(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Who sent a body, when it came, and what its headers say about its writer."""

    project: str
    received_ns: int
    key_id: str = ""
    """The public part of the key that it came with; empty without keys."""
    writer: WriterId | None = None
    spooled_to: Seq = _NEVER_SAID
    closed: bool = False
    set_aside: tuple[tuple[int, int], ...] = ()
    """Ranges of its numbers, both ends included, that a server refused for good: they will not come."""

    @classmethod
    def of(cls, headers: Mapping[str, str], *, project: str, received_ns: int, key_id: str = "") -> Envelope:
        """Read `everyspan-writer`, `-spooled-to`, `-closed` and `-set-aside`; what is no such thing is ignored.

        They feed the audit, never the decision to keep a span, so a broken one must not cost any.
        """
        envelope = cls(project=project, received_ns=received_ns, key_id=key_id)
        writer = headers.get("everyspan-writer", "")
        if not _WRITER.fullmatch(writer):
            return envelope
        said = headers.get("everyspan-spooled-to", "")
        spooled_to = int(said) if said.isascii() and said.isdigit() and len(said) < 20 else 0
        spooled_to = spooled_to if spooled_to <= _LARGEST_SEQ else 0
        return replace(
            envelope,
            writer=WriterId(writer),
            spooled_to=Seq(spooled_to),
            closed=headers.get("everyspan-closed", "").lower() == "true",
            set_aside=_set_aside(headers.get("everyspan-set-aside", ""), spooled_to=spooled_to),
        )


class Examined(NamedTuple):
    """A body in protobuf that is worth keeping, and what is wrong with it."""

    body: bytes
    spans: int
    """Valid ones."""
    bad: list[Bad]
    controls: int
    """Pieces that are no spans: our own frames, or fields that a later version gave a meaning."""

    @property
    def rejected(self) -> int:
        """Spans that will not be stored; a broken container counts as one, for nobody can tell."""
        return sum(each.spans for each in self.bad)

    @property
    def complaint(self) -> str:
        """The bad spans by name, for `partial_success`; empty when all are good."""
        if not self.bad:
            return ""
        named = "; ".join(each.why for each in self.bad[:_NAMED])
        more = len(self.bad) - _NAMED
        return f"{named}; and {more} more" if more > 0 else named


def examine(body: bytes, *, content_type: str, encoding: str, limits: Limits) -> Examined:
    """Undo the encoding, translate JSON and try every span.

    Raises:
        CollectorError: 415, 413 or 400, for the body as a whole. A bad span among others is none: it is in `bad`.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in (PROTOBUF, JSON):
        raise CollectorError(f"Content-Type {kind!r} is neither {PROTOBUF} nor {JSON}", status=415)
    plain = decompressed(body, encoding, limits)
    bad: list[Bad] = []
    if kind == JSON:
        plain, bad = from_json(plain) if plain.strip() else (b"", [])
    spans = controls = 0
    budget = Budget(limits)
    try:
        for piece in pieces(plain):
            if piece.field != RESOURCE_SPANS_FIELD:
                controls += 1
                continue
            for found in cut(piece.payload, budget):
                if isinstance(found, Bad):
                    bad.append(found)
                else:
                    spans += 1
    except WireError as broken:
        raise CollectorError(f"the body is no ExportTraceServiceRequest: {broken}", status=400) from None
    return Examined(plain, spans, bad, controls)


def _set_aside(said: str, *, spooled_to: int) -> tuple[tuple[int, int], ...]:
    try:
        ranges = read_ranges(said) if said else ()
    except WireError:
        return ()
    # No writer sets aside what it has not written.
    return ranges if ranges and ranges[-1][1] <= spooled_to else ()


def seal(envelope: Envelope, body: bytes) -> bytes:
    """An inbox entry: one line of JSON, then the body as it is."""
    said = {
        "project": envelope.project,
        "received_ns": envelope.received_ns,
        "key_id": envelope.key_id,
        "writer": envelope.writer,
        "spooled_to": envelope.spooled_to,
        "closed": envelope.closed,
        **({"set_aside": envelope.set_aside} if envelope.set_aside else {}),
    }
    return json.dumps(said).encode() + b"\n" + body


def unseal(entry: bytes) -> tuple[Envelope, bytes]:
    """What `seal` put together.

    Raises:
        WireError: the bytes are no inbox entry.
    """
    line, separator, body = entry.partition(b"\n")
    try:
        said = json.loads(line)
        envelope = Envelope(
            project=str(said["project"]),
            received_ns=int(said["received_ns"]),
            key_id=str(said.get("key_id", "")),  # bodies that an older server left have none
            writer=WriterId(said["writer"]) if said["writer"] else None,
            spooled_to=Seq(int(said["spooled_to"])),
            closed=bool(said["closed"]),
            set_aside=tuple((int(first), int(last)) for first, last in said.get("set_aside", ())),
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as broken:
        raise WireError(
            f"an inbox entry of {len(entry)} bytes has no readable first line: {broken}"
        ) from None
    if not separator:
        raise WireError(f"an inbox entry of {len(entry)} bytes has no body")
    return envelope, body
