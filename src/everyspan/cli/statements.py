"""Fetching a provider's own reports, with an administrator's key."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from everyspan.cli.terminal import one_line
from everyspan.cost.statement import Biller
from everyspan.errors import CommandError

BASE_URLS = {Biller.OPENAI: "https://api.openai.com", Biller.ANTHROPIC: "https://api.anthropic.com"}

_TIMEOUT_S = 60.0
_LIMIT_BYTES = 64 << 20
_MOST_PAGES = 1000
_DAYS_A_PAGE = 31


def fetch(biller: Biller, *, admin_key: str, since: date, until: date, base_url: str = "") -> Iterator[str]:
    """Every page of the usage and of the cost report for the days from `since` to before `until`, as JSON text.

    Raises:
        CommandError: the provider did not answer, or not with a report.
    """
    base = (base_url or BASE_URLS[biller]).rstrip("/")
    if biller is Biller.OPENAI:
        headers = {"Authorization": f"Bearer {admin_key}"}
        times: list[tuple[str, str]] = [("start_time", _unix(since)), ("end_time", _unix(until))]
        usage, costs = "/v1/organization/usage/completions", "/v1/organization/costs"
        groups = [("group_by", name) for name in ("model", "project_id", "batch", "service_tier")]
        cost_groups = [("group_by", name) for name in ("line_item", "project_id")]
    else:
        headers = {"x-api-key": admin_key, "anthropic-version": "2023-06-01"}
        times = [("starting_at", f"{since}T00:00:00Z"), ("ending_at", f"{until}T00:00:00Z")]
        usage, costs = "/v1/organizations/usage_report/messages", "/v1/organizations/cost_report"
        groups = [("group_by[]", name) for name in ("model", "workspace_id", "service_tier")]
        cost_groups = [("group_by[]", name) for name in ("description", "workspace_id")]
    width = [("bucket_width", "1d"), ("limit", str(_DAYS_A_PAGE))]
    for path, grouped in ((usage, groups), (costs, cost_groups)):
        yield from _pages(f"{base}{path}", [*times, *width, *grouped], headers)


def _pages(url: str, parameters: list[tuple[str, str]], headers: dict[str, str]) -> Iterator[str]:
    page: list[tuple[str, str]] = []
    for _ in range(_MOST_PAGES):
        text = _get(f"{url}?{urlencode([*parameters, *page])}", headers)
        yield text
        said: Any = json.loads(text)
        following = said.get("next_page") if isinstance(said, dict) and said.get("has_more") else None
        if not following:
            return
        page = [("page", str(following))]
    raise CommandError(f"{url} goes on after {_MOST_PAGES:,} pages; ask for fewer days")


def _get(url: str, headers: dict[str, str]) -> str:
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            text: str = answer.read(_LIMIT_BYTES).decode("utf-8")
        json.loads(text)
    except urllib.error.HTTPError as refused:
        with refused:
            said = one_line(refused.read(2_000).decode("utf-8", "replace"), width=300)
        raise CommandError(
            f"{one_line(url.partition('?')[0], width=120)} answered {refused.code}: {said}; "
            "it takes an administrator's key"
        ) from None
    except (OSError, ValueError) as failed:
        raise CommandError(
            f"no report from {one_line(url.partition('?')[0], width=120)}: {one_line(failed)}"
        ) from None
    return text


def _unix(day: date) -> str:
    return str((day - date(1970, 1, 1)) // timedelta(seconds=1))
