"""What variables and the host do to recording: OpenTelemetry's switches, litellm's, forking servers, Lambda."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator

from everyspan.doctor.finding import Finding, note, ok, problem, warning
from everyspan.settings import Surroundings

_SAMPLE_ALL = frozenset({"", "always_on", "parentbased_always_on"})
_BY_RATIO = frozenset({"traceidratio", "parentbased_traceidratio"})
_SPAN_ATTRIBUTES = 64
"""More than a span of ours ever has; below it OpenTelemetry may throw the model and the usage away."""

_SERVERS = {
    "gunicorn": "each of its workers is a writer of its own, with --preload too",
    "celery": "each of its pool's processes is a writer of its own, with max_tasks_per_child too",
}


def examine_environment(around: Surroundings) -> Iterator[Finding]:
    """What follows from the variables, and from the servers that are installed."""
    yield from _opentelemetry(around)
    yield from _litellm(around.litellm_otel_v2)
    if around.lambda_function:
        yield note(
            "host.lambda",
            f"this is the AWS Lambda function {around.lambda_function}: it is frozen between two invocations",
            "put @everyspan.aws_lambda on the handler: it delivers before each return",
        )
    yield from _servers()


def _opentelemetry(around: Surroundings) -> Iterator[Finding]:
    if around.otel_disabled:
        yield problem(
            "environment.otel_disabled",
            "OTEL_SDK_DISABLED is true: OpenTelemetry makes no spans, so nothing at all is recorded",
            "unset OTEL_SDK_DISABLED",
        )
    yield _sampler(around.sampler, around.sampler_argument)
    if around.attribute_count_limit is not None and around.attribute_count_limit < _SPAN_ATTRIBUTES:
        yield problem(
            "environment.attribute_count",
            f"OpenTelemetry keeps only {around.attribute_count_limit} attributes of a span and throws the oldest away, "
            "which can be the model and the usage",
            f"unset OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT and OTEL_ATTRIBUTE_COUNT_LIMIT, or allow {_SPAN_ATTRIBUTES}",
        )
    if around.attribute_length_limit is not None:
        yield problem(
            "environment.attribute_length",
            f"OpenTelemetry cuts texts at {around.attribute_length_limit} characters: messages arrive as broken JSON",
            "unset OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT and OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        )


def _sampler(name: str, argument: str) -> Finding:
    if name in _SAMPLE_ALL or (name in _BY_RATIO and _is_all(argument)):
        return ok("environment.sampler", "OTEL_TRACES_SAMPLER lets every span through")
    if name in _BY_RATIO:
        share = f"keeps {argument} of the traces"
    elif name.endswith("always_off"):
        share = "keeps no trace"
    else:
        return warning(
            "environment.sampler_unknown",
            f"OTEL_TRACES_SAMPLER is {name}: what it drops can not be told from here",
            "see `sampled_out` in everyspan.stats() after some calls, or set it to always_on",
        )
    return warning(
        "environment.sampler",
        f"OTEL_TRACES_SAMPLER={name} {share}: below a TracerProvider of the program, of the other calls only usage and "
        "cost are kept",
        "to see them whole, set it to parentbased_always_on, and sample where the other traces are exported",
    )


def _is_all(argument: str) -> bool:
    try:
        return not argument or float(argument) >= 1
    except ValueError:
        return True  # OpenTelemetry says so in its log and takes 1


def _litellm(otel_v2: str | None) -> Iterator[Finding]:
    if otel_v2 is None:
        return
    if not otel_v2.strip():
        yield problem(
            "environment.litellm_otel_v2",
            "LITELLM_OTEL_V2 is set to nothing: litellm's own `otel` callbacks fail at that and record nothing",
            "unset LITELLM_OTEL_V2; recording by everyspan does not need it",
        )
    elif otel_v2.strip().lower() not in ("0", "false", "no", "off", "f", "n"):
        yield problem(
            "environment.litellm_otel_v2",
            "LITELLM_OTEL_V2 is on: with one of litellm's `otel` callbacks each call has a second span, from an engine "
            "that everyspan does not take over",
            "unset LITELLM_OTEL_V2, or remove the callback",
        )


def _servers() -> Iterator[Finding]:
    for name, how in _SERVERS.items():
        if _is_installed(name):
            yield note("host.prefork", f"{name} is installed and forks: {how}")
    if _is_installed("uwsgi"):
        yield warning(
            "host.uwsgi",
            "uWSGI is installed: unless told otherwise it runs no threads, so spans would wait in the spool until "
            "another process sends them",
            "start it with --enable-threads, or run `everyspan drain` beside it",
        )


def _is_installed(name: str) -> bool:
    try:
        return bool(importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return False
