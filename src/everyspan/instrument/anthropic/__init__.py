"""The anthropic SDK, with its clients for Bedrock, Vertex and the other clouds."""

from __future__ import annotations

from everyspan.instrument.anthropic.hooks import AnthropicHooks

__all__ = ["AnthropicHooks"]
