"""The libraries whose calls are recorded, each hooked when the program imports it."""

from __future__ import annotations

from collections.abc import Callable

from opentelemetry.trace import Tracer

from everyspan.instrument.anthropic import AnthropicHooks
from everyspan.instrument.bedrock import BedrockHooks
from everyspan.instrument.google_genai import GoogleGenaiHooks
from everyspan.instrument.litellm import LitellmHooks
from everyspan.instrument.litellm_batches import LitellmBatchHooks
from everyspan.instrument.openai import OpenAIHooks
from everyspan.record.registry import Registry
from everyspan.settings import Settings


def install(tracer: Callable[[], Tracer], registry: Registry, settings: Settings) -> None:
    """Hook all of them, those that are loaded now and those that will be."""
    LitellmHooks(tracer, registry).install()
    LitellmBatchHooks(tracer, registry).install()
    OpenAIHooks(tracer, registry, ask_for_usage=settings.ask_for_usage).install()
    AnthropicHooks(tracer, registry).install()
    GoogleGenaiHooks(tracer, registry).install()
    BedrockHooks(tracer, registry).install()
