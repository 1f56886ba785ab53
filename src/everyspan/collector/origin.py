"""Whether somebody else's web page made a browser send a request: it may neither write nor delete.

No cookie is used, but browsers send a key that was typed into their password dialog with any request to its place, and
a server without keys on this machine trusts whoever reaches it.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_ELSEWHERE = frozenset({"cross-site", "same-site"})


def is_forged(method: str, headers: Mapping[str, str]) -> bool:
    """True for a request that changes something and comes from a page of another origin.

    Programs send none of the headers that this goes by; browsers always send one of them.

    Args:
        headers: by name in small letters.
    """
    if method in _SAFE:
        return False
    if headers.get("sec-fetch-site", "") in _ELSEWHERE:
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
