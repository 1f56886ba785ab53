"""OpenTelemetry's current context, without the Python calls between its functions and the variable behind them."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any

from opentelemetry import context as otel
from opentelemetry.context import Context
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext

# Private to opentelemetry-api 1.33 to 1.45; with another runtime context, or another API, its own functions are used.
_runtime: Any = getattr(otel, "_RUNTIME_CONTEXT", None)
_variable: Any = getattr(_runtime, "_current_context", None)
_is_known = type(_runtime) is ContextVarsRuntimeContext and isinstance(_variable, ContextVar)

current: Callable[[], Context] = _variable.get if _is_known else otel.get_current
"""The current context."""
attach: Callable[[Context], Token[Context]] = _variable.set if _is_known else otel.attach
"""Make a context the current one."""
detach: Callable[[Token[Context]], None] = _variable.reset if _is_known else otel.detach
"""Go back to the one before; may raise ValueError where the token is another context's."""
