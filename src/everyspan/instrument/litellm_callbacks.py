"""litellm's own OpenTelemetry callbacks: taken over, so that a call is one span and not three.

`litellm.success_callback = ["langfuse_otel"]` (or `otel`) makes up to two spans for a call, later, in a background
task, or writes the usage of three calls onto the caller's one span. With us in the process the call has its span
already; the callback keeps its proxy and guardrail spans, and its destination becomes one of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import INVALID_SPAN

from everyspan.instrument import patch
from everyspan.instrument.imports import when_imported
from everyspan.instrument.takeover import take_over
from everyspan.model.destination import Destination, Dialect
from everyspan.record.provider import Providers
from everyspan.record.registry import Registry
from everyspan.record.shadows import OUR_SCOPE
from everyspan.record.tally import TALLY
from everyspan.settings import parse_headers, traces_url

_TAKEN = "_everyspan_taken_over"
_OURS = {"OpenTelemetry": Dialect.OTLP, "LangfuseOtelLogger": Dialect.LANGFUSE}
"""Callback classes by exact name: other subclasses (Arize, Weave, ...) speak dialects of their own."""


class LitellmCallbackHooks:
    """Takes over litellm's `otel` and `langfuse_otel` callbacks (1.83.7 to 1.109.1)."""

    def __init__(self, providers: Providers, registry: Registry) -> None:
        self._providers = providers
        self._registry = registry

    def install(self) -> None:
        """Hook the callbacks now if they are loaded, else at their import."""
        when_imported("litellm.integrations.opentelemetry", self._hook)

    def _hook(self, module: ModuleType) -> None:
        cls = module.OpenTelemetry
        patch.exchange(cls.__init__, self._construct)
        patch.exchange(cls._get_span_processor, self._make_processor)
        patch.exchange(cls._start_primary_span, _unless_taken(lambda: INVALID_SPAN))
        patch.exchange(cls._maybe_log_raw_request, _unless_taken(lambda: None))
        patch.exchange(cls.set_attributes, _set_attributes)
        patch.exchange(cls._handle_failure, _handle_failure)

    def _construct(self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        made = original(*args, **kwargs)
        logger = args[0]
        try:
            dialect = _OURS.get(type(logger).__name__)
            destination = _destination(logger, dialect) if dialect else None
            if destination is not None:
                self._registry.add(self._known(destination))
                setattr(logger, _TAKEN, True)
        except Exception as error:  # noqa: BLE001 - the callback goes on as it was
            TALLY.fault("take over litellm's callback", error)
        return made

    def _make_processor(
        self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """What litellm's private provider still makes (proxy, guardrail, service spans) takes the safe way too."""
        processor = original(*args, **kwargs)
        try:
            dialect = _OURS.get(type(args[0]).__name__)
            if dialect is not None and isinstance(processor, BatchSpanProcessor):
                of_request = len(args) > 1 or any(each is not None for each in kwargs.values())
                choose = self._of_request if of_request else self._known
                take_over(processor, self._registry, self._providers.shadows, dialect=dialect, choose=choose)
        except Exception as error:  # noqa: BLE001 - the callback goes on with its own queue
            TALLY.fault("take over litellm's span processor", error)
        return processor

    def _of_request(self, destination: Destination) -> Destination:
        """The destination of the keys that came with a request: calls that do not name it stay out of it."""
        known = self._known(destination)
        if all(outlet.destination.id != known.id for outlet in self._registry.outlets):
            self._registry.reserved |= {known.id}
        return known

    def _known(self, destination: Destination) -> Destination:
        """The Langfuse destination we have for the same key, if any.

        Without a host litellm means Langfuse's US cloud and Langfuse's SDK its EU cloud; a key is valid in one only.
        """
        for outlet in self._registry.outlets:
            known = outlet.destination
            if (
                known.dialect is destination.dialect is Dialect.LANGFUSE
                and known.account == destination.account
            ):
                return known
        return destination


def _destination(logger: Any, dialect: Dialect) -> Destination | None:
    if logger.OTEL_EXPORTER not in ("otlp_http", "http/protobuf") or not logger.OTEL_ENDPOINT:
        return None
    headers = logger.OTEL_HEADERS
    pairs = parse_headers(headers) if isinstance(headers, str) else tuple((headers or {}).items())
    endpoint = str(logger.OTEL_ENDPOINT)
    if not urlsplit(endpoint).hostname:
        return None
    return Destination(url=traces_url(endpoint), headers=pairs, dialect=dialect)


def _is_taken(logger: Any) -> bool:
    return getattr(logger, _TAKEN, False) is True


def _unless_taken(instead: Callable[[], Any]) -> patch.Wrapper:
    def method(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        about = args[1] if len(args) > 1 else kwargs.get("kwargs")
        if not _is_taken(args[0]) or _is_for_another(args[0], about):
            return original(*args, **kwargs)
        return instead()

    return method


def _is_for_another(logger: Any, about: Any) -> bool:
    """Whether a request has keys of its own, whose project is not the callback's: litellm then tells of it there."""
    said = about.get("standard_callback_dynamic_params") if isinstance(about, Mapping) else None
    key = said.get("langfuse_public_key") if isinstance(said, Mapping) else None
    own = _destination(logger, Dialect.LANGFUSE) if key else None
    return bool(key) and (own is None or own.account != key)


def _set_attributes(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Only onto litellm's own spans: three calls below one user span would overwrite each other there."""
    span = args[1] if len(args) > 1 else kwargs.get("span")
    scope = getattr(getattr(span, "instrumentation_scope", None), "name", None)
    # Where the callback exports by itself, it may write on the user's spans; ours have their own account of the call.
    if scope == OUR_SCOPE or (_is_taken(args[0]) and scope != "litellm"):
        return None
    return original(*args, **kwargs)


def _handle_failure(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The failed call has its span; what is left to do is to end the proxy's (litellm >= 1.90)."""
    if not _is_taken(args[0]) or _is_for_another(args[0], args[1] if len(args) > 1 else kwargs.get("kwargs")):
        return original(*args, **kwargs)
    logger, *rest = args
    end_proxy_span = getattr(logger, "_end_proxy_span_from_kwargs", None)
    call_kwargs = rest[0] if rest else kwargs.get("kwargs", {})
    end_time = rest[3] if len(rest) > 3 else kwargs.get("end_time")
    return end_proxy_span(call_kwargs, end_time) if end_proxy_span is not None else None
