"""The words of a span's texts, as the full-text index wants them."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

MOST_CHARACTERS = 32_768
"""Of each text, so much is searched; the rest is kept and not indexed."""

_LONG = re.compile(r"\S{200,}")  # pictures and other data in base64: no word that anybody looks for
_WORD = re.compile(r"[^\W_]+")
_KINDS_OF_PART = frozenset({"type", "role", "id", "tool_call_id", "finish_reason"})


def words(texts: Sequence[str]) -> str:
    """What to index of these texts: JSON's strings without its keys, escapes undone; anything else as it is."""
    found = " ".join([part for text in texts if text for part in _parts(text)])
    # Looking for a long run costs much more than seeing that there is none.
    return _LONG.sub(" ", found) if _may_be_long(found) else found


def searchable(input_text: str, output_text: str) -> str:
    """The words of a span for a full-text index. Lone surrogates, which no database takes, become U+FFFD."""
    found = words((input_text, output_text))
    return found if found.isascii() else found.encode("utf-8", "replace").decode("utf-8")


def asked(text: str) -> list[str]:
    """The words of a search."""
    # Composed first: a letter and its accent on its own would be two words.
    return _WORD.findall(unicodedata.normalize("NFC", text))


def folded(text: str) -> set[str]:
    """The words of a text or a search, alike whatever their case and accents."""
    if text.isascii():
        return set(_WORD.findall(text.lower()))
    bare = unicodedata.normalize("NFKD", text.lower())
    return set(_WORD.findall("".join(letter for letter in bare if not unicodedata.combining(letter))))


def _parts(text: str) -> Iterator[str]:
    left = MOST_CHARACTERS
    for part in _strings(text):
        yield part[:left]
        left -= len(part)
        if left <= 0:
            return


def _may_be_long(text: str) -> bool:
    """Whether there may be a run of 200 characters without a space: it would fill one of these stretches of 100."""
    return any(text.find(" ", start, start + 100) < 0 for start in range(0, len(text) - 99, 100))


def _strings(text: str) -> Iterator[str]:
    if text[0] not in '[{"':
        yield text
        return
    try:
        waiting: list[Any] = [json.loads(text)]
    except (ValueError, RecursionError):
        yield text
        return
    # A stack instead of recursion: the depth is somebody else's choice.
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            waiting += reversed(value)
        elif isinstance(value, dict):
            waiting += (item for name, item in reversed(value.items()) if name not in _KINDS_OF_PART)
        elif value is not None and not isinstance(value, bool):
            yield str(value)
