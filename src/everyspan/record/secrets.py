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


def _may_hold_a_key(text: str) -> bool:
    # Plain searches are many times faster than the expression, and nearly always find nothing; one for a single
    # character is faster still. Written out, because a loop over them takes longer than the searches.
    return (
        (
            "-" in text
            and (
                "sk-" in text
                or "xai-" in text
                or "pplx-" in text
                or "nvapi-" in text
                or "glpat-" in text
                or "xox" in text
            )
        )
        or (
            "_" in text
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
        or ("A" in text and ("AIza" in text or "AKIA" in text or "ASIA" in text))
    )


def without_keys(text: str) -> str:
    """`text` with the rest of each key replaced; the same object when there is none."""
    found = text
    if _may_hold_a_key(text):
        found = _KEYS.sub(r"\1[masked]", found)
    if "Bearer " in text:
        found = _BEARER.sub(r"\1[masked]", found)
    if "PRIVATE KEY" in text:
        found = _PRIVATE.sub(r"\1[masked]\2", found)
    return found
