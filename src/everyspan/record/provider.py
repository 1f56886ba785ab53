"""Whose tracer makes our spans: the user's TracerProvider when there is one, else ours."""

from __future__ import annotations

import threading
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Tracer

from everyspan.model.ids import RandomIds
from everyspan.record.processor import EveryspanProcessor, attach_first
from everyspan.record.registry import Registry
from everyspan.record.shadows import OUR_SCOPE, Shadows
from everyspan.record.tally import TALLY
from everyspan.version import __version__


class Providers:
    """Attaches our processor to providers and picks the one that makes our spans.

    The user's provider is never replaced. Ours is set as the global one only while there is none, and gives way
    when the program sets its own later (`give_way`, called by the hook on `trace.set_tracer_provider`).
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.shadows = Shadows()
        self._lock = threading.RLock()
        # By identity: providers need not be hashable, and Logfire's is not. A program has few of them.
        self._attached: list[Any] = []
        self._ours: TracerProvider | None = None
        self._tracers: dict[int, Tracer] = {}

    def tracer(self) -> Tracer:
        """The tracer for a new span of ours."""
        provider = _inner(trace.get_tracer_provider())
        tracer = self._tracers.get(id(provider))
        if tracer is None:
            adopted = self.adopt(provider)
            tracer = adopted.get_tracer(OUR_SCOPE, __version__)
            self._tracers[id(adopted)] = tracer  # which `_attached` keeps, so that its id stays its own
        return tracer

    def adopt(self, provider: Any) -> Any:
        """Attach our processor to a provider, once; a provider without processors is replaced by ours."""
        with self._lock:
            provider = _inner(provider)
            if not hasattr(provider, "add_span_processor"):
                provider = self._own()
            if not any(provider is known for known in self._attached):
                attach_first(provider, EveryspanProcessor(provider, self._registry, self.shadows))
                self._attached.append(provider)
            return provider

    def _own(self) -> TracerProvider:
        if self._ours is None:
            # Every model call costs money, so none is sampled away.
            self._ours = TracerProvider(sampler=ALWAYS_ON, id_generator=RandomIds(), shutdown_on_exit=False)
            if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
                trace.set_tracer_provider(self._ours)
        return self._ours

    def known(self) -> list[Any]:
        """The providers that our processor is attached to."""
        return list(self._attached)

    def give_way(self, provider: Any) -> bool:
        """Make `provider` the global one in place of ours; False when ours is not set.

        OpenTelemetry allows the global provider to be set only once, and we may have been first.
        """
        if self._ours is None or provider is self._ours or trace.get_tracer_provider() is not self._ours:
            return False
        trace._TRACER_PROVIDER = provider
        self.attach_to_global(provider)
        return True

    def attach_to_global(self, provider: Any) -> None:
        """Attach to a provider that the program has set; never raises."""
        try:
            if provider is not self._ours and trace.get_tracer_provider() is provider:
                self.adopt(provider)
        except Exception as error:  # noqa: BLE001 - the program's own provider still works without us
            TALLY.fault("attach to the program's TracerProvider", error)


def _inner(provider: Any) -> Any:
    """The provider that makes the spans: Logfire's global one passes on to another, a new one when it is configured."""
    inner = getattr(provider, "provider", None)
    return inner if isinstance(inner, TracerProvider) else provider
