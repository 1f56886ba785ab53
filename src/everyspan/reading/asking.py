"""Questions to a collector's JSON API, with the standard library."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from everyspan.errors import AnswerError

TIMEOUT_S = 30.0
SILENCE_S = 60.0
"""A stream of events gives a sign of life four times as often."""
ANSWER_LIMIT_BYTES = 256 << 20

Answer = dict[str, Any]
"""A JSON object from the API; `Any` ends where somebody picks a field."""

Parameter = str | int | bool | None
"""Of a question: yes and no for bools; None and empty texts are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """A collector to ask.

    Attributes:
        url: its base URL, without a path of ours.
        api_key: sent as a bearer token when there is one.
    """

    url: str
    api_key: str | None = None

    def ask(self, *path: str, **parameters: Parameter) -> Answer:
        """The answer to `GET /api/v1/<path>`.

        Raises:
            AnswerError: nothing answered, or what answered is no collector of ours, wants another key, or knows no
                such thing.
        """
        return self._object(self._read(self._url(path, parameters), accept="application/json"))

    def text(self, *path: str, **parameters: Parameter) -> str:
        """The same for what is no JSON, such as a table.

        Raises:
            AnswerError: as for `ask`.
        """
        return self._read(self._url(path, parameters), accept="*/*").decode("utf-8", "replace")

    def follow(self) -> Iterator[None]:
        """Yields when the stream of news is open, and again whenever something was stored; ends when the server does.

        Raises:
            AnswerError: as for `ask`.
        """
        url = self._url(("live",), {})
        with self._open(url, accept="text/event-stream", timeout_s=SILENCE_S) as response:
            yield
            try:
                for line in response:
                    if line.rstrip() == b"event: stored":
                        yield
            except (OSError, http.client.HTTPException):
                return

    def post(self, path: str, body: bytes, *, content_type: str) -> Answer:
        """The answer to a POST of spans to `path`, as OTLP/JSON.

        Raises:
            AnswerError: as for `ask`.
        """
        request = urllib.request.Request(
            f"{self.url}{path}",
            data=body,
            headers={**self._headers("application/json"), "Content-Type": content_type},
        )
        with self._sent(request, timeout_s=TIMEOUT_S) as response:
            return self._object(response.read(ANSWER_LIMIT_BYTES) or b"{}")

    def _url(self, path: tuple[str, ...], parameters: Mapping[str, Parameter]) -> str:
        said = {
            name: ("yes" if value else "no") if isinstance(value, bool) else value
            for name, value in parameters.items()
            if value not in (None, "")
        }
        url = f"{self.url}/api/v1/{'/'.join(quote(part, safe='') for part in path)}"
        return f"{url}?{urlencode(said)}" if said else url

    def _read(self, url: str, *, accept: str) -> bytes:
        with self._open(url, accept=accept, timeout_s=TIMEOUT_S) as response:
            try:
                return bytes(response.read(ANSWER_LIMIT_BYTES))
            except (OSError, http.client.HTTPException) as error:
                raise self._unreachable(error) from None

    def _headers(self, accept: str) -> dict[str, str]:
        return {"Accept": accept, **({"Authorization": f"Bearer {self.api_key}"} if self.api_key else {})}

    def _open(self, url: str, *, accept: str, timeout_s: float) -> Any:
        return self._sent(urllib.request.Request(url, headers=self._headers(accept)), timeout_s=timeout_s)

    def _sent(self, request: urllib.request.Request, *, timeout_s: float) -> Any:
        try:
            return _OPENER.open(request, timeout=timeout_s)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error.code, error.read(65_536)) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._unreachable(error) from None

    def _unreachable(self, error: Exception) -> AnswerError:
        why = _one_line(getattr(error, "reason", None) or error)
        return AnswerError(
            f"no collector answers at {self.url} ({why}); start one with `everyspan serve`, or name it with --url",
            reached=False,
        )

    def _object(self, body: bytes) -> Answer:
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise AnswerError(
                f"what answers at {self.url} is no everyspan collector; name yours with --url", reached=False
            )
        return answer

    def _refused(self, status: int, body: bytes) -> AnswerError:
        said = _one_line(_words(body))
        if status in (401, 403):
            return AnswerError(
                f"the collector at {self.url} wants another key: --api-key or EVERYSPAN_API_KEY", reached=True
            )
        if status in (400, 404, 413, 422) and said:
            return AnswerError(f"the collector at {self.url} says: {said}", reached=True)
        return AnswerError(
            f"the collector at {self.url} answered with status {status}: {said or 'no reason given'}; "
            "its own output says more",
            reached=False,
        )


def _words(body: bytes) -> str:
    """What an error's body says for people; empty when it is not the API's own."""
    try:
        said = json.loads(body)
    except ValueError:
        return ""
    if not isinstance(said, dict):
        return ""
    return str(said.get("error") or said.get("message") or said.get("detail") or "")


def _one_line(text: object) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= 300 else line[:299] + "…"


class _StayHere(urllib.request.HTTPRedirectHandler):
    """Redirects are not followed: they would carry the key to another host."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_StayHere)
