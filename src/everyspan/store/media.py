"""Pictures, sound and files that texts of spans refer to: a part of `Store`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Use(NamedTuple):
    """Where a file is referred to."""

    trace_id: str
    span_id: str
    """Empty for the trace itself."""
    field: str
    """`input`, `output` or `metadata`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """One file. (project, id) is its identity; the id is made of its content, so it never changes."""

    project: str
    id: str
    content_type: str
    size_bytes: int
    sha256: str
    """In base64."""
    created_ns: int
    uses: tuple[Use, ...] = ()
    """Sorted, each once."""


class MediaStore(Protocol):
    """The side of a store that keeps files. Raises only StoreError; any thread may call it."""

    def put_media(self, media: Media, content: bytes) -> None:
        """Keep a file and its uses, in addition to those known; when it returns they survive process and machine."""

    def use_media(self, project: str, media_id: str, uses: Sequence[Use]) -> None:
        """Add uses of a file that is there."""

    def read_media(self, project: str, media_id: str) -> Media | None:
        """What is known of a file; None when it is not there."""

    def media_content(self, project: str, media_id: str) -> bytes | None:
        """The file; None when it is not there."""

    def list_media(self, project: str, *, after: str = "", limit: int = 100) -> list[Media]:
        """What is known of a project's files, by id, those behind `after`."""
