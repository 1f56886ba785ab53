"""The google-genai SDK, for the Gemini API and for Vertex AI."""

from __future__ import annotations

from everyspan.instrument.google_genai.hooks import GoogleGenaiHooks

__all__ = ["GoogleGenaiHooks"]
