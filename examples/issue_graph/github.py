"""GitHub's REST API, or a folder of answers that it gave; both are asked by path.

A path such as `repos/harbour/quay/issues/42/timeline` is `repos/harbour/quay/issues/42/timeline.json` in a folder,
with the pages of a list put together.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import httpx

Json = Mapping[str, Any]
"""A decoded JSON object of GitHub's; `Any` ends in `items.py`."""

API_URL = "https://api.github.com"
_AT_ONCE = 8
_MOST_PAGES = 50
_TIMEOUT_S = 30.0


class GitHubError(Exception):
    """What was asked for can not be had; the message says why and what to do."""


class Source(Protocol):
    """Where answers come from."""

    async def one(self, path: str) -> Json:
        """The object at `path`.

        Raises:
            GitHubError: there is none, or it is not for us.
        """

    async def many(self, path: str) -> list[Json]:
        """All of the list at `path`.

        Raises:
            GitHubError: as for `one`.
        """


class Folder:
    """Answers that were saved."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def one(self, path: str) -> Json:
        """See `Source`."""
        answer = self._read(path)
        if not isinstance(answer, dict):
            raise GitHubError(f"{self._file(path)} holds no JSON object")
        return answer

    async def many(self, path: str) -> list[Json]:
        """See `Source`."""
        answer = self._read(path)
        if not isinstance(answer, list):
            raise GitHubError(f"{self._file(path)} holds no JSON list")
        return answer

    def keep(self, path: str, answer: object) -> None:
        """Save an answer."""
        file = self._file(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(answer, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def issues(self) -> list[str]:
        """The paths of saved issues that came with their comments: those that a report can begin with."""
        found = self._root.glob("repos/*/*/issues/*/comments.json")
        return sorted(str(file.parent.relative_to(self._root)) for file in found)

    def _read(self, path: str) -> object:
        file = self._file(path)
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise GitHubError(f"{path} was not saved in {self._root}") from None
        except ValueError as error:
            raise GitHubError(f"{file} is not JSON: {error}") from None

    def _file(self, path: str) -> Path:
        return self._root / f"{path}.json"


class Api:
    """GitHub itself; a context manager.

    Args:
        token: without one GitHub answers 60 requests an hour, and shows what is public.
        keep_in: where each answer is saved as well.
    """

    def __init__(self, *, token: str = "", keep_in: Folder | None = None, url: str = API_URL) -> None:
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        # An issue that moved to another repository answers with a redirect; httpx keeps the token on its own host.
        self._client = httpx.AsyncClient(
            base_url=url, headers=headers, timeout=_TIMEOUT_S, follow_redirects=True
        )
        self._keep_in = keep_in
        # GitHub slows down whoever asks for much at once.
        self._gate = asyncio.Semaphore(_AT_ONCE)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def one(self, path: str) -> Json:
        """See `Source`."""
        answer = (await self._get(f"/{path}")).json()
        if self._keep_in is not None:
            self._keep_in.keep(path, answer)
        return dict(answer)

    async def many(self, path: str) -> list[Json]:
        """See `Source`."""
        found: list[Json] = []
        url: str | None = f"/{path}?per_page=100"
        for _ in range(_MOST_PAGES):
            if url is None:
                break
            response = await self._get(url)
            found += response.json()
            url = response.links.get("next", {}).get("url")
        if url is not None:
            raise GitHubError(f"{path} has more than {_MOST_PAGES} pages")
        if self._keep_in is not None:
            self._keep_in.keep(path, found)
        return found

    async def _get(self, url: str) -> httpx.Response:
        try:
            async with self._gate:
                response = await self._client.get(url)
        except httpx.HTTPError as error:
            raise GitHubError(f"GitHub can not be reached ({error or type(error).__name__})") from error
        if response.is_success:
            return response
        raise GitHubError(_why(response))


def _why(response: httpx.Response) -> str:
    path = response.request.url.path
    if response.status_code in (403, 429) and response.headers.get("x-ratelimit-remaining") == "0":
        reset = response.headers.get("x-ratelimit-reset", "")
        again = datetime.fromtimestamp(int(reset), UTC).strftime("%H:%M UTC") if reset.isdigit() else "later"
        return f"GitHub answers no more before {again}; set GITHUB_TOKEN for 5,000 requests an hour"
    if response.status_code == 401:
        return "GitHub does not accept GITHUB_TOKEN; make a new one or leave it out"
    if response.status_code in (403, 404, 410):
        return f"{path} does not exist, was deleted, or is private ({response.status_code}); GITHUB_TOKEN may help"
    return f"GitHub answered {response.status_code} for {path}"
