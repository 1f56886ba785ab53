"""Langfuse 2 let everybody make up ids; a store has room for OpenTelemetry's only."""

from __future__ import annotations

import hashlib
import re

_TRACE = re.compile(r"[0-9a-f]{32}")
_SPAN = re.compile(r"[0-9a-f]{16}")


def trace_id_of(said: str) -> str:
    """The trace id that stands for this one: itself or the UUID without dashes where it fits, else its digest."""
    plain = said.replace("-", "").lower()
    return plain if _TRACE.fullmatch(plain) and plain != "0" * 32 else _digest(said, 16)


def span_id_of(said: str) -> str:
    """The span id that stands for this one: itself where it is one, else its digest."""
    return said if _SPAN.fullmatch(said) and said != "0" * 16 else _digest(said, 8)


def _digest(said: str, size: int) -> str:
    return hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=size).hexdigest()
