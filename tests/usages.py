"""What tests of usage share."""

from __future__ import annotations

from dataclasses import replace

from everyspan.model.usage import Usage


def without_extras(usage: Usage | None) -> Usage:
    """Without what no bucket of Langfuse holds."""
    assert usage is not None
    return replace(usage, requests=None, web_searches=None, service_tier=None, batch=False, region=None)
