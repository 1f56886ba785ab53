"""API keys in texts: their beginnings are known, so they are taken out before a text reaches the disk."""

from __future__ import annotations

import re

# Beginnings that the providers document, each with the least length that follows.
_KEYS = re.compile(
    r"\b(sk-ant-|sk-proj-|sk-svcacct-|sk-or-|sk-lf-|sk-|gsk_|xai-|hf_|pplx-|nvapi-|r8_|AIza|AKIA|ASIA"
    r"|ghp_|gho_|ghs_|github_pat_|glpat-|xoxb-|xoxp-)[A-Za-z0-9_-]{16,}"
)
_BEARER = re.compile(r"\b(Bearer )[A-Za-z0-9._~+/-]{20,}=*")
_PRIVATE = re.compile(
    r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL
)

# A plain search for these is many times faster than the expressions, and nearly always finds nothing.
_HINTS = (
    "sk-",
    "gsk_",
    "xai-",
    "hf_",
    "pplx-",
    "nvapi-",
    "r8_",
    "AIza",
    "AKIA",
    "ASIA",
    "ghp_",
    "gho_",
    "ghs_",
)
_MORE_HINTS = ("github_pat_", "glpat-", "xoxb-", "xoxp-")


def without_keys(text: str) -> str:
    """`text` with the rest of each key replaced; the same object when there is none."""
    found = text
    if any(hint in text for hint in _HINTS) or any(hint in text for hint in _MORE_HINTS):
        found = _KEYS.sub(r"\1[masked]", found)
    if "Bearer " in text:
        found = _BEARER.sub(r"\1[masked]", found)
    if "PRIVATE KEY" in text:
        found = _PRIVATE.sub(r"\1[masked]\2", found)
    return found
