"""Questions to a collector's JSON API, with the standard library."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from everyspan.cli.terminal import one_line
from everyspan.errors import CommandError
from everyspan.settings import collector

UNREACHABLE = 3
"""Exit code: the collector did not answer, or not in our language."""

TIMEOUT_S = 30.0
ANSWER_LIMIT_BYTES = 256 << 20

Answer = dict[str, Any]
"""A JSON object from the API; `Any` ends where a command picks a field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """A collector to ask.

    Attributes:
        url: its base URL, without a path of ours.
        api_key: sent as a bearer token when there is one.
    """

    url: str
    api_key: str | None = None

    def ask(self, *path: str, **parameters: str | int | None) -> Answer:
        """The answer to `GET /api/v1/<path>`; empty parameters are left out.

        Raises:
            CommandError: nothing answered, or what answered is no collector of ours (exit code 3), it wants another key
                or knows no such thing (exit code 2).
        """
        query = urlencode({name: value for name, value in parameters.items() if value not in (None, "")})
        url = f"{self.url}/api/v1/{'/'.join(quote(part, safe='') for part in path)}"
        headers = {"Accept": "application/json"}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        return self._get(f"{url}?{query}" if query else url, headers)

    def _get(self, url: str, headers: Mapping[str, str]) -> Answer:
        request = urllib.request.Request(url, headers=dict(headers))
        try:
            with _OPENER.open(request, timeout=TIMEOUT_S) as response:
                body = response.read(ANSWER_LIMIT_BYTES)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error.code, error.read(65_536)) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = one_line(getattr(error, "reason", None) or error, width=200)
            raise CommandError(
                f"no collector answers at {self.url} ({why}); start one with `everyspan serve`, or name it with --url",
                exit_code=UNREACHABLE,
            ) from None
        return self._object(body)

    def _object(self, body: bytes) -> Answer:
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise CommandError(
                f"what answers at {self.url} is no everyspan collector; name yours with --url",
                exit_code=UNREACHABLE,
            )
        return answer

    def _refused(self, status: int, body: bytes) -> CommandError:
        said = one_line(_words(body), width=300)
        if status in (401, 403):
            return CommandError(
                f"the collector at {self.url} wants another key: --api-key or EVERYSPAN_API_KEY"
            )
        if status in (400, 404, 422) and said:
            return CommandError(f"the collector at {self.url} says: {said}")
        return CommandError(
            f"the collector at {self.url} answered with status {status}: {said or 'no reason given'}; "
            "its own output says more",
            exit_code=UNREACHABLE,
        )


def find(url: str | None, api_key: str | None) -> Collector:
    """The collector to ask: the one named, else the one that spans are sent to.

    Raises:
        SettingsError: the name is no URL.
    """
    base, key = collector(url, api_key=api_key)
    return Collector(url=base, api_key=key)


def _words(body: bytes) -> str:
    """What an error's body says for people; empty when it is not the API's own."""
    try:
        said = json.loads(body)
    except ValueError:
        return ""
    return str(said.get("error") or said.get("detail") or "") if isinstance(said, dict) else ""


class _StayHere(urllib.request.HTTPRedirectHandler):
    """Redirects are not followed: they would carry the key to another host."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_StayHere)
