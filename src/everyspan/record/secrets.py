"""API keys in texts: their beginnings are known, so they are taken out before a text reaches the disk."""

from __future__ import annotations

import re
from functools import cache

# Beginnings that the providers document, each with the least length that follows.
_REST = "[A-Za-z0-9_-]{16,}"
_BEGINNINGS = (
    *("sk-", "gsk_", "xai-", "hf_", "pplx-", "nvapi-", "r8_", "AIza", "AKIA", "ASIA"),
    *("ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "xoxb-", "xoxp-"),
)
_MORE_OF_SK = "sk-(?:ant-|proj-|svcacct-|or-|lf-)?"
_BEARER = re.compile(r"\b(Bearer )[A-Za-z0-9._~+/-]{20,}=*")
_PRIVATE = re.compile(
    r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL
)

# What none of them can do without, each from one character on that prose seldom has: an expression that begins with a
# plain character is many times faster than one that begins with a choice.
_DASHED = re.compile("-(?:[A-Za-z0-9_-]{16}|----BEGIN )")
_UNDERSCORED = re.compile("_[A-Za-z0-9_-]{16}")
_CAPITAL = re.compile("A(?:Iza|KIA|SIA)[A-Za-z0-9_-]{16}")
_BEARING = re.compile("Bearer [A-Za-z0-9._~+/-]{20}")


def may_hold_a_key(text: str) -> bool:
    """False when `without_keys` would leave all of `text` alone, also if `text` is several texts on lines of their own.

    A search for one character is the fastest there is, and often finds nothing. The others are written out, because a
    loop over them takes longer than they do.
    """
    return (
        (
            "-" in text
            and _DASHED.search(text) is not None  # ids of answers and UUIDs pass this
            and (
                "sk-" in text
                or "xai-" in text
                or "pplx-" in text
                or "nvapi-" in text
                or "glpat-" in text
                or "xox" in text
                or "PRIVATE KEY" in text
            )
        )
        or (
            "_" in text
            and _UNDERSCORED.search(text) is not None
            and (
                "gsk_" in text
                or "hf_" in text
                or "r8_" in text
                or "ghp_" in text
                or "gho_" in text
                or "ghs_" in text
                or "github_pat_" in text
            )
        )
        or ("A" in text and _CAPITAL.search(text) is not None)
        or ("B" in text and _BEARING.search(text) is not None)
    )


def without_keys(text: str) -> str:
    """`text` with the rest of each key replaced; the same object when there is none."""
    if not may_hold_a_key(text):
        return text
    found = text
    if any(beginning in text and _beginning(beginning).search(text) for beginning in _BEGINNINGS):
        found = _any().sub(r"\1[masked]", found)
    if "Bearer " in text:
        found = _BEARER.sub(r"\1[masked]", found)
    if "PRIVATE KEY" in text:
        found = _PRIVATE.sub(r"\1[masked]\2", found)
    return found


@cache
def _beginning(beginning: str) -> re.Pattern[str]:
    """Finds a key with this beginning: many times faster than `_any`, because it begins with plain characters."""
    return re.compile(rf"{beginning}(?<!\w{beginning}){_REST}")  # `\b` in front, looked at last


@cache
def _any() -> re.Pattern[str]:
    return re.compile(rf"\b({'|'.join([_MORE_OF_SK, *_BEGINNINGS[1:]])}){_REST}")
