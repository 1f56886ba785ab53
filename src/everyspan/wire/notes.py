"""Words of the JSON in HEADER frames that both ends of the wire know."""

from __future__ import annotations

WITHOUT_SPAN = "without_span"
"""Requests to models that no span of the process tells of, by host: `{"api.anthropic.com": 12}`."""
