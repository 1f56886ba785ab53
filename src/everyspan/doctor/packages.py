"""Which packages are installed: those that we record, in which versions, and those that record the same calls."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from everyspan.doctor.finding import Finding, note, ok, warning
from everyspan.version import __version__

_Version = tuple[int, ...]


class _Library(NamedTuple):
    """A library that we touch, and the versions our tests and measurements ran with, both ends included."""

    name: str
    first: str
    last: str
    hook: str = ""
    """The module of `everyspan.instrument` for it; empty when it is not a client library."""


_LIBRARIES = (
    _Library("litellm", "1.83.7", "1.109.1", hook="litellm"),
    _Library("langfuse", "3", "5", hook="langfuse"),
    _Library("openai", "1.56", "3.51", hook="openai"),
    _Library("anthropic", "0.97", "2.8", hook="anthropic"),
    _Library("google-genai", "1.20", "3.3", hook="google_genai"),
    _Library("botocore", "1.35", "1.44", hook="bedrock"),
    _Library("opentelemetry-sdk", "1.33.1", "1.45"),
)


class _Family(NamedTuple):
    """Instrumentations that see the same calls as we do."""

    name: str
    packages: re.Pattern[str]
    treatment: str


_MARKED = (
    "its spans around and inside a recorded call are kept and marked unbilled at everyspan's destinations; what its "
    "own exporter sends elsewhere is not marked"
)
_MODEL_CLIENTS = (
    "alephalpha|anthropic|bedrock|cohere|google-generativeai|groq|langchain|litellm|llamaindex|mistralai|ollama|openai"
    "|replicate|sagemaker|together|transformers|vertexai|watsonx"
)
_FAMILIES = (
    _Family("OpenInference", re.compile(r"openinference-instrumentation-.+"), _MARKED),
    _Family(
        "OpenLLMetry",
        re.compile(rf"traceloop-sdk|opentelemetry-instrumentation-(?:{_MODEL_CLIENTS})"),
        "told to stay silent inside a recorded call; " + _MARKED,
    ),
    _Family(
        "OpenTelemetry GenAI",
        re.compile(r"opentelemetry-instrumentation-(?:openai-v2|openai-agents-v2|google-genai|genai-.+)"),
        _MARKED,
    ),
    _Family("Logfire", re.compile(r"logfire"), _MARKED),
    _Family("OpenLIT", re.compile(r"openlit"), _MARKED),
)

_NATIVE_SPANS_SINCE = (2,)
"""anthropic records its calls itself from this version on."""


def examine_packages(*, anthropic_traces: bool) -> Iterator[Finding]:
    """What is installed beside us, read from the packages' metadata: nothing is imported.

    Args:
        anthropic_traces: whether the anthropic SDK's own spans are switched on, as they are by default.
    """
    installed = _installed()
    native = installed.get("anthropic", "")
    has_native_spans = anthropic_traces and _numbers(native) >= _NATIVE_SPANS_SINCE
    yield ok("versions.everyspan", f"everyspan {__version__}")
    for library in _LIBRARIES:
        if library.name in installed:
            yield _version(library, installed[library.name])
    for family in _FAMILIES:
        found = sorted(name for name in installed if family.packages.fullmatch(name))
        if found:
            listed = ", ".join(f"{name} {installed[name]}" for name in found)
            yield note("overlap.installed", f"{family.name} is installed ({listed}): {family.treatment}")
    if has_native_spans:
        yield note(
            "overlap.anthropic",
            f"anthropic {native} makes spans of its own, unless ANTHROPIC_OPEN_TELEMETRY=false: they are left out "
            "where everyspan records the call, except those of clients that were given a tracer_provider of their own",
        )


def _version(library: _Library, version: str) -> Finding:
    code = f"versions.{library.name}"
    tested = f"tested from {library.first} to {library.last}"
    if library.hook and not importlib.util.find_spec(f"everyspan.instrument.{library.hook}"):
        return note(
            f"instrumented.{library.name}",
            f"{library.name} {version} is not instrumented yet: calls made with it directly are not recorded",
            "make them through an instrumented library, or mark your function with @everyspan.observe",
        )
    if not _within(version, library.first, library.last):
        return warning(
            code,
            f"{library.name} {version} is untested ({tested})",
            "run `everyspan doctor -- script.py` with a script that makes a call: it shows whether calls are recorded",
        )
    return ok(code, f"{library.name} {version}, {tested}")


def _installed() -> Mapping[str, str]:
    """Version by normalised name (PEP 503). The first of a name on the path is the one that Python imports."""
    found: dict[str, str] = {}
    for each in importlib.metadata.distributions():
        name = each.metadata["Name"]
        if name:  # a half-removed package has none
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), each.version)
    return found


def _within(version: str, first: str, last: str) -> bool:
    """Whether `first` <= `version` <= `last`, where a `last` of 1.45 includes 1.45.2."""
    numbers, upper = _numbers(version), _numbers(last)
    return _numbers(first) <= numbers and numbers[: len(upper)] <= upper


def _numbers(version: str) -> _Version:
    """The release part of a version, such as (1, 45, 2) of 1.45.2rc1; empty when it has none."""
    release = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, release[0].split("."))) if release else ()
