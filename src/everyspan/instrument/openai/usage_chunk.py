"""`stream_options={"include_usage": true}`: asked for where it is safe, and its extra chunk kept from the user.

Without it OpenAI's chat and completion streams tell no usage at all. A server that does not know the option may refuse
the whole request, so we ask only those that are known to answer it, unless a setting says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from everyspan.instrument.fields import get
from everyspan.settings import AskForUsage

_SAFE_HOSTS = frozenset(
    {
        "api.openai.com",
        "us.api.openai.com",
        "eu.api.openai.com",
        "openrouter.ai",
        "api.deepseek.com",
        "api.groq.com",
    }
)
_AZURE_SINCE = "2024-09-01"
"""The first date of Azure's API that knows the option (learn.microsoft.com, Azure OpenAI API lifecycle)."""


def may_ask(when: AskForUsage, client: Any, path: str, body: Any) -> bool:
    """Whether this stream may be asked. Never where the user has said anything about `stream_options`."""
    if when is AskForUsage.NEVER or not path.partition("?")[0].endswith("/completions"):
        return False
    if not isinstance(body, Mapping) or "stream_options" in body:
        return False
    return when is AskForUsage.ALWAYS or _is_known(client)


def hides_usage(chunk: Any) -> bool:
    """True for the chunk that came only because we asked."""
    return not get(chunk, "choices") and get(chunk, "usage") is not None


def _is_known(client: Any) -> bool:
    host = getattr(client.base_url, "host", "") or ""
    if host in _SAFE_HOSTS:
        return True
    version = getattr(client, "_api_version", None)
    return host.endswith(".openai.azure.com") and isinstance(version, str) and version >= _AZURE_SINCE
