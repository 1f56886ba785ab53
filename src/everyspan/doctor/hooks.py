"""Whether our hooks are in the libraries that a program has imported."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any

from everyspan.doctor.finding import Finding, note, ok, problem
from everyspan.instrument import patch

_ENTRIES = ("completion", "acompletion", "embedding", "aembedding")
"""litellm's functions that most programs call: when these lead to us, so do the others, by the same hook."""

_STAINLESS = ("SyncAPIClient.request", "AsyncAPIClient.request")
_SDKS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "openai": ("openai._base_client", _STAINLESS),
    "anthropic": ("anthropic._base_client", _STAINLESS),
    "google.genai": (
        "google.genai._api_client",
        (
            "BaseApiClient.request",
            "BaseApiClient.request_streamed",
            "BaseApiClient.async_request",
            "BaseApiClient.async_request_streamed",
        ),
    ),
    "botocore": ("botocore.client", ("BaseClient._make_api_call",)),
}
"""Package → the module that all of its requests go through, and where they do."""


def examine_hooks() -> Iterator[Finding]:
    """For each client library that the program imported, whether our hooks are in it."""
    imported = [name for name in ("litellm", *_SDKS) if name in sys.modules]
    if not imported:
        listed = ", ".join(("litellm", *_SDKS))
        yield note("instrumented.nothing", f"the program imported no library that is recorded: {listed}")
    for name in imported:
        yield from _litellm(sys.modules[name]) if name == "litellm" else _sdk(name)


def _sdk(library: str) -> Iterator[Finding]:
    module, entries = _SDKS[library]
    bare = [entry for entry in entries if not _is_hooked(_reached(sys.modules.get(module), entry))]
    if bare and module in sys.modules:
        yield problem(
            f"instrumented.{_package(library)}",
            f"not instrumented, so that calls through them are not recorded: {', '.join(bare)} of {module}",
            f"report it with the version of {_package(library)}; until then mark your function with @everyspan.observe",
        )
    elif not bare:
        yield ok(f"instrumented.{_package(library)}", f"{_package(library)}'s requests are instrumented")


def _package(library: str) -> str:
    return "google-genai" if library == "google.genai" else library


def _reached(module: object, entry: str) -> object:
    owner, _, name = entry.rpartition(".")
    return getattr(getattr(module, owner, None), name, None)


def _litellm(litellm: ModuleType) -> Iterator[Finding]:
    replaced = {
        name: getattr(litellm, name, None)
        for name in _ENTRIES
        if not _is_hooked(getattr(litellm, name, None))
    }
    bare = [f"litellm.{name}" for name in replaced if not _is_hooked_somewhere(name)]
    if bare:
        yield problem(
            "instrumented.litellm",
            f"not instrumented, so that calls through it are not recorded: {', '.join(bare)}",
            "report it with the version of litellm; until then mark your function with @everyspan.observe",
        )
    elif replaced:
        by = ", ".join(
            sorted({getattr(function, "__module__", None) or "?" for function in replaced.values()})
        )
        yield note(
            "instrumented.replaced",
            f"litellm's functions are instrumented, others stand in front of them, from {by}: what these pass on is "
            "recorded",
        )
    else:
        yield ok("instrumented.litellm", "litellm's functions are instrumented")


def _is_hooked(function: Any) -> bool:
    # Other instrumentations put a function of theirs around ours, and most leave `__wrapped__`.
    while function is not None and not patch.is_exchanged(function):
        function = getattr(function, "__wrapped__", None)
    return isinstance(function, FunctionType)


def _is_hooked_somewhere(name: str) -> bool:
    """Whether litellm's own function of that name is ours, where something else stands in its public place."""
    modules = [module for path, module in list(sys.modules.items()) if path.startswith("litellm.")]
    return any(patch.is_exchanged(getattr(module, name, None)) for module in modules)
