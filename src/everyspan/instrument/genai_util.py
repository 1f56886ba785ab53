"""OpenTelemetry's GenAI instrumentations (util-genai 1.0 to 1.3): silent below a call that is recorded.

They ask for a value of a class of their own in the context, by which an outer invocation is known.
"""

from __future__ import annotations

from types import ModuleType

from everyspan.instrument.imports import when_imported
from everyspan.record import quiet

_KINDS = ("Inference", "Embedding", "Retrieval", "FetchResponse")


def install() -> None:
    """Hook util-genai now if it is loaded, else at its import."""
    when_imported("opentelemetry.util.genai.invocation", _hook)


def _hook(module: ModuleType) -> None:
    for kind in _KINDS:
        name = "FETCH_RESPONSE" if kind == "FetchResponse" else kind.upper()
        key, make = getattr(module, f"CLIENT_{name}_CONTEXT_KEY", None), getattr(module, f"{kind}Data", None)
        if isinstance(key, str) and make is not None:  # retrieval and fetches came with 1.2
            quiet.add(key, make)
