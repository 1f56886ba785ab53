"""The openai SDK, versions 1 to 3, and its clients for Azure and for everything that speaks OpenAI's API."""

from __future__ import annotations

from everyspan.instrument.openai.hooks import OpenAIHooks

__all__ = ["OpenAIHooks"]
