"""LangChain's callbacks of coroutines: handlers begin their spans in threads, for the call that comes next.

OpenInference's tracer and Langfuse's handler are such handlers. Without this nothing would tell which call of ours
their spans are about, and both would be billed.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from everyspan.instrument import patch
from everyspan.instrument.imports import when_imported
from everyspan.record.shadows import FromElsewhere

_STARTS = ("on_chat_model_start", "on_llm_start", "on_chain_start", "on_tool_start", "on_retriever_start")


def install() -> None:
    """Hook langchain-core now if it is loaded, else at its import."""
    when_imported("langchain_core.callbacks.manager", _hook)


def _hook(module: ModuleType) -> None:
    for name in _STARTS:
        patch.exchange(getattr(module.AsyncCallbackManager, name), _start)


async def _start(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with FromElsewhere():
        return await original(*args, **kwargs)
