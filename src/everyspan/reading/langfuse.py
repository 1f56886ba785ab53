"""The stamps of all observations of a Langfuse project, over its public API, with the standard library."""

from __future__ import annotations

import base64
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from everyspan.errors import AnswerError, WireError
from everyspan.wire.stamp import STAMP, Stamp, parse_stamp

_PATH = "/api/public/v2/observations"
_AT_ONCE = 1000
_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LangfuseProject:
    """A project of a Langfuse server, or of a collector of ours, which speaks the same API."""

    url: str
    public_key: str
    secret_key: str = field(repr=False)

    def stamps(self, *, progress: Callable[[int], None] = lambda seen: None) -> Iterator[Stamp | None]:
        """The stamp of each observation; None for one that has none, or none that can be read.

        Raises:
            AnswerError: the server cannot be reached, does not let this key in, or answers something else.
        """
        cursor, seen = "", 0
        while True:
            page = self._page(cursor)
            for each in page["data"]:
                yield _stamp(each)
            seen += len(page["data"])
            progress(seen)
            cursor = (page.get("meta") or {}).get("cursor") or ""
            if not cursor:
                return

    def _page(self, cursor: str) -> Mapping[str, Any]:
        # Langfuse cuts what it keeps in metadata at 200 characters unless it is asked for by name.
        asked = {"fields": "core,metadata", "expandMetadata": "attributes", "limit": _AT_ONCE}
        query = urlencode({**asked, **({"cursor": cursor} if cursor else {})})
        pair = base64.b64encode(f"{self.public_key}:{self.secret_key}".encode()).decode()
        request = urllib.request.Request(
            f"{self.url}{_PATH}?{query}",
            headers={"Authorization": f"Basic {pair}", "Accept": "application/json"},
        )
        try:
            with _OPENER.open(request, timeout=_TIMEOUT_S) as response:
                page = json.loads(response.read())
        except urllib.error.HTTPError as refused:
            with refused:
                why = "wants another key" if refused.code in (401, 403) else f"answers {refused.code}"
            raise AnswerError(f"Langfuse at {self.url} {why} to {_PATH}", reached=True) from None
        except (OSError, http.client.HTTPException, ValueError) as unreachable:
            raise AnswerError(
                f"Langfuse at {self.url} cannot be read: {unreachable}", reached=False
            ) from None
        if not isinstance(page, dict) or not isinstance(page.get("data"), list):
            raise AnswerError(f"what answers at {self.url} is no Langfuse", reached=False)
        return page


def _stamp(observation: Any) -> Stamp | None:
    metadata = _object(observation.get("metadata") if isinstance(observation, dict) else None)
    # Langfuse keeps attributes that mean nothing to it under `attributes`, as an object or as its text.
    said = _object(metadata.get("attributes")).get(STAMP) or metadata.get(STAMP)
    try:
        return parse_stamp(str(said)) if said else None
    except WireError:
        return None


def _object(said: Any) -> Mapping[str, Any]:
    if isinstance(said, str):
        try:
            said = json.loads(said)
        except ValueError:
            return {}
    return said if isinstance(said, dict) else {}


class _StayHere(urllib.request.HTTPRedirectHandler):
    """Redirects are not followed: they would carry the key to another host."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_StayHere)
