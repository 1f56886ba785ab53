"""Exchange the inside of a function, so that every reference to it that exists already is instrumented.

`from litellm import acompletion`, a `functools.partial`, a default argument or a bound method taken before us all
hold the function object; replacing the module's attribute would miss them. The function's `__code__` becomes a
trampoline that calls `wrapper(original, args, kwargs)`, where `original` is a clone with the code it had before.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

Wrapper = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
"""Receives the original function and the call's arguments.

A coroutine function for a coroutine function; for a generator function, which stays one, it gives an iterable and is
called when the first value is asked for.
"""

_WRAPPER = "everyspan: the wrapper"
_ORIGINAL = "everyspan: the original"

_exchanged: dict[int, tuple[FunctionType, FunctionType]] = {}
"""id of a function → the function itself (kept alive, so that the id stays its own) and its clone."""
_clones: set[int] = set()


def exchange(function: Any, wrapper: Wrapper, *, at_call: bool = False) -> None:
    """Run `wrapper` instead of `function` from now on, through all references. Does nothing the second time.

    Args:
        at_call: of a generator function, run `wrapper` when it is called; what it gives is what the caller gets. The
            function goes on to look like a generator function.

    Raises:
        TypeError: not a plain or coroutine function written in Python.
    """
    if not isinstance(function, FunctionType):
        raise TypeError(f"{function!r} is no Python function")
    if id(function) in _exchanged or id(function) in _clones:
        return
    code = function.__code__
    if code.co_flags & inspect.CO_ASYNC_GENERATOR:
        raise TypeError(f"{function.__qualname__} is an async generator function")
    original = _clone(function)  # before the signature is kept, so that `restore` knows whose it is
    _keep_signature(function)
    template = _trampoline(len(code.co_freevars), "" if at_call else _kind(code))
    constants = tuple(
        wrapper if value == _WRAPPER else original if value == _ORIGINAL else value
        for value in template.co_consts
    )
    # Tracebacks go on to name the original's file and line.
    function.__code__ = template.replace(
        # For those who look (`inspect.isgeneratorfunction`): what Python makes of a call is in the instructions.
        co_flags=template.co_flags | (code.co_flags & inspect.CO_GENERATOR),
        co_consts=constants,
        co_name=code.co_name,
        co_qualname=code.co_qualname,
        co_filename=code.co_filename,
        co_firstlineno=code.co_firstlineno,
        co_freevars=code.co_freevars,
    )
    _exchanged[id(function)] = (function, original)
    _clones.add(id(original))


def original_of(function: Any) -> Any:
    """The function as it was before the exchange; `function` itself when there was none."""
    entry = _exchanged.get(id(function))
    return entry[1] if entry else function


def is_exchanged(function: Any) -> bool:
    """True for an exchanged function and for the clone of one."""
    return id(function) in _exchanged or id(function) in _clones


def restore(function: Any) -> None:
    """Give a function its own code back."""
    entry = _exchanged.pop(id(function), None)
    if entry is not None:
        entry[0].__code__ = entry[1].__code__
        _clones.discard(id(entry[1]))  # another function may be given that id
        if "__signature__" not in entry[1].__dict__:
            entry[0].__dict__.pop("__signature__", None)


def restore_all() -> None:
    """Undo every exchange."""
    for function, _ in list(_exchanged.values()):
        restore(function)


def _clone(function: FunctionType) -> FunctionType:
    clone = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    clone.__kwdefaults__ = function.__kwdefaults__
    clone.__dict__.update(function.__dict__)
    clone.__qualname__ = function.__qualname__
    clone.__module__ = function.__module__
    return clone


def _keep_signature(function: FunctionType) -> None:
    if "__signature__" not in function.__dict__ and "__wrapped__" not in function.__dict__:
        function.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]


def _kind(code: CodeType) -> str:
    if code.co_flags & inspect.CO_COROUTINE:
        return "await "
    return "yield from " if code.co_flags & inspect.CO_GENERATOR else ""


@functools.cache
def _trampoline(free_variables: int, kind: str) -> CodeType:
    """Code that calls one constant with another, and has as many free variables as the code it replaces.

    Python requires that number to stay the same when a function's code is exchanged.
    """
    names = ", ".join(f"free_{number}" for number in range(free_variables))
    source = "\n".join(
        [
            f"def make({names}):",
            f"  {'async ' if kind == 'await ' else ''}def trampoline(*args, **kwargs):",
            f"    if 0: ({names},)" if names else "    pass",
            f"    wrapper = {_WRAPPER!r}",
            f"    original = {_ORIGINAL!r}",
            f"    return ({kind}wrapper(original, args, kwargs))",
            "  return trampoline",
        ]
    )
    namespace: dict[str, Any] = {}
    exec(compile(source, "<everyspan>", "exec"), namespace)  # a template of our own, no user text in it
    trampoline: FunctionType = namespace["make"](*range(free_variables))
    return trampoline.__code__
