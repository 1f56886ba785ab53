"""The user's process: connects the stages record → spool → send, and decides nothing itself."""

from __future__ import annotations

import atexit
import encodings.ascii
import encodings.idna
import logging
import os
import threading
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from everyspan import metrics
from everyspan.clock import monotonic_s
from everyspan.instrument import (
    clients,
    genai_util,
    http_audit,
    langchain,
    langfuse_openai,
    threads,
    tracer_provider,
)
from everyspan.instrument.langfuse import LangfuseHooks
from everyspan.instrument.litellm_callbacks import LitellmCallbackHooks
from everyspan.instrument.litellm_langfuse import LitellmLangfuseHooks
from everyspan.instrument.process import ProcessHooks
from everyspan.instrument.signals import Termination
from everyspan.model.destination import Destination
from everyspan.model.receipt import Receipt
from everyspan.record.ambient import context
from everyspan.record.budget import SpendingLimit
from everyspan.record.call import end_open_calls, forget_open_calls, open_calls
from everyspan.record.content import Mask, policy_of
from everyspan.record.observe import Observer
from everyspan.record.provider import Providers
from everyspan.record.registry import Registry
from everyspan.record.tally import TALLY
from everyspan.sender.drain import drain
from everyspan.sender.ship import Sender
from everyspan.settings import Content, Settings, from_environment, otlp_destination
from everyspan.spool.log import Log
from everyspan.spool.room import WhenFull
from everyspan.version import __version__

__all__ = ["aflush", "budget", "context", "flush", "init", "observe", "shutdown", "span", "stats"]

_log = logging.getLogger("everyspan")

# Python imports a codec when it is first used. A child that is forked while another thread is at it can never use that
# codec (CPython 3.11: "LookupError: unknown encoding: idna", from `getaddrinfo`): have them before there is a thread.
_CODECS = (encodings.ascii, encodings.idna)

_SIGTERM_TIMEOUT_S = 2.0
"""Most that SIGTERM is put off, however long the exit timeout: who sends it does not wait for ever."""


class Runtime:
    """Everything that one process runs; made once, at `init()` or at the first span of ours."""

    def __init__(self, settings: Settings, mask: Mask | None = None) -> None:
        self.settings = settings
        self._mask = mask
        self.sender = Sender(allow_key_in_clear=settings.allow_key_in_clear, started=self._sends)
        self.registry = Registry(
            open_log=self._open_log,
            wake=self.sender.wake,
            flush=self._delivered,
            policy=policy_of(settings, mask),
            sampled_out=settings.sampled_out,
        )
        self.providers = Providers(self.registry)
        for destination in settings.destinations:
            self.registry.add(destination)
        self.termination: Termination | None = None
        self.processes = ProcessHooks(
            leave=self._leave_child,
            settings=self._for_children,
            script=Path(__file__).with_name("spawned.py"),
        )

    def install(self, *, is_child: bool) -> None:
        """Hook the libraries that are loaded, and those that will be."""
        tracer_provider.install(self.providers)
        threads.install()
        LangfuseHooks(self.providers, self.registry).install()
        LitellmCallbackHooks(self.providers, self.registry).install()
        LitellmLangfuseHooks(self.registry).install()
        clients.install(self.providers.tracer, self.registry, self.settings)
        http_audit.install(self.registry.describe)
        langchain.install()
        genai_util.install()
        langfuse_openai.install()
        metrics.install(self.sender, self.registry)
        self.processes.install()
        timeout_s = min(self.settings.exit_timeout_s, _SIGTERM_TIMEOUT_S)
        if timeout_s and not is_child:  # with no time to deliver, SIGTERM may as well stay what it is
            self.termination = Termination(self._terminate, within_s=timeout_s)
            self.termination.install()

    def _open_log(self, destination: Destination) -> Log:
        root = self.settings.spool_dir / destination.id
        about = {
            "library": f"everyspan {__version__}",
            "destination": destination.id,
            "url": destination.public_url,
        }
        log = Log(
            root,
            about=about,
            fsync=self.settings.fsync,
            cap_bytes=self.settings.spool_bytes,
            when_full=WhenFull(self.settings.drop, self.settings.block_timeout_s),
        )
        self.sender.add(destination, log, root=root)
        return log

    def _delivered(self, timeout_s: float) -> bool:
        return self.flush(timeout_s).complete

    def flush(self, timeout_s: float) -> Receipt:
        """Deliver what is recorded; gives up at once where nobody answers, because it is kept anyway."""
        http_audit.UNCOVERED.tell()
        return self.sender.flush(timeout_s, give_up_when_unreachable=True)

    def leave(self, timeout_s: float | None = None) -> None:
        """The process ends in order: end what is open, deliver for a bounded time, say what stays.

        Safe to repeat, and to call from several threads.

        Args:
            timeout_s: the exit timeout of the settings when None.
        """
        timeout_s = self.settings.exit_timeout_s if timeout_s is None else timeout_s
        deadline = monotonic_s() + timeout_s
        end_open_calls()
        http_audit.UNCOVERED.tell()
        receipt = self.sender.close(timeout_s)
        if self.processes.had_children and not any(part.pending for part in receipt.parts):
            self._drain_children(deadline)
        for part in receipt.parts:
            if part.pending:
                _log.warning(
                    "everyspan: %d spans for %s wait in %s (%s). The next everyspan process sends them, "
                    "or `everyspan drain` now.",
                    part.pending,
                    part.destination,
                    self.settings.spool_dir,
                    part.problem or "there was no time left",
                )

    def _leave_child(self) -> None:
        """What `multiprocessing` calls when a process's work is done; in a child it waits for threads only then."""
        working = [thread for thread in threading.enumerate() if not thread.daemon and thread.is_alive()]
        if len(working) > 1:
            self.flush(self.settings.exit_timeout_s)  # the others go on recording into the same log
        else:
            self.leave()

    def at_exit(self) -> None:
        """What `atexit` calls: `multiprocessing` calls `leave` itself, after it has joined the children."""
        if not self.processes.leaves_later:
            self.leave()

    def forked(self) -> None:
        """In a forked child: what is open is the parent's to end."""
        forget_open_calls()
        self.registry.forked()
        self.processes.forked()
        if self.termination is not None:
            self.termination.forked()

    def _sends(self) -> None:
        if self.termination is not None:
            self.termination.watch()

    def _terminate(self, timeout_s: float) -> None:
        if os.getpid() == 1:
            self.flush(timeout_s)  # process 1 of a container survives SIGTERM, and must go on recording
        else:
            self.leave(timeout_s)

    def _drain_children(self, deadline: float) -> None:
        """Deliver what children recorded that were killed, or ended with `os._exit`."""
        timeout_s = min(deadline - monotonic_s(), _SIGTERM_TIMEOUT_S)
        if timeout_s > 0:
            drain(
                self.settings.spool_dir,
                self._destinations(),
                timeout_s=timeout_s,
                allow_key_in_clear=self.settings.allow_key_in_clear,
            )

    def _destinations(self) -> tuple[Destination, ...]:
        return tuple(outlet.destination for outlet in self.registry.outlets)

    def _for_children(self) -> bytes:
        import pickle  # starting a child has loaded it

        content = self.settings.content if self._mask is None else Content.NONE
        return pickle.dumps(replace(self.settings, destinations=self._destinations(), content=content))


_lock = threading.RLock()
_runtime: Runtime | None = None


def _running() -> Runtime:
    runtime = _runtime
    return _start(from_environment()) if runtime is None else runtime


def _start(settings: Settings, *, is_child: bool = False, mask: Mask | None = None) -> Runtime:
    global _runtime
    with _lock:
        if _runtime is None:
            _runtime = Runtime(settings, mask)
            atexit.register(_runtime.at_exit)
            os.register_at_fork(after_in_parent=_runtime.processes.forks, after_in_child=_after_fork_in_child)
            _runtime.install(is_child=is_child)
        return _runtime


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()  # another thread may have been starting a runtime, and is not here to finish
    if _runtime is not None:
        _runtime.forked()


def start_child(settings: Settings) -> None:
    """`init` in a child that `multiprocessing` spawned, with its parent's settings."""
    _start(settings, is_child=True)


def init(endpoint: str | None = None, *, api_key: str | None = None, mask: Mask | None = None) -> None:
    """Start recording in this process: every LLM call of an instrumented library becomes one span.

    Call it once, anywhere before the first LLM call; libraries that are imported later are instrumented then. A second
    call with another endpoint adds a destination.

    Args:
        endpoint: base URL of an OTLP/HTTP receiver; `/v1/traces` is added. Without it EVERYSPAN_ENDPOINT,
            OTEL_EXPORTER_OTLP_ENDPOINT and a configured Langfuse are looked at, then the local collector is tried.
        api_key: sent as a Bearer token to `endpoint`.
        mask: called with the name and the text of each attribute, event and error of every span, third-party spans
            included, before it reaches the disk; gives the text to keep. A text for which it raises is not kept.
            In the first call only. Processes that `multiprocessing` spawns have no mask, and keep no content instead.

    Raises:
        SettingsError: an argument or environment variable cannot be used.
    """
    with _lock:
        if _runtime is None:
            _start(from_environment(endpoint=endpoint, api_key=api_key), mask=mask)
        elif endpoint:
            _runtime.registry.add(otlp_destination(endpoint, api_key=api_key))


_observer = Observer(lambda: _running().providers.tracer())
span = _observer.span
observe = _observer.observe


def budget(usd: Decimal | int | float | str, *, name: str = "") -> SpendingLimit:
    """A limit on what the model calls of a block may cost: `with budget(usd=0.50):`, or `async with`.

    Before a call inside leaves, `BudgetExceeded` is raised when those that have ended cost `usd` or more. Calls under
    way are not in the sum until they end, so that it may be passed by what they cost. Calls without a price are in no
    sum: `unpriced` counts them, the exception names them, and a warning says so at the end of the block.

    Args:
        name: for the exception's message.

    Raises:
        SettingsError: `usd` is no amount.
    """
    _running()  # what is not recorded can not be added up
    return SpendingLimit(usd, name=name)


def flush(timeout_s: float = 30.0) -> Receipt:
    """Deliver everything recorded so far and say truthfully what became of it. Never raises for a dead destination.

    Returns when all of it is delivered, when `timeout_s` has passed, or as soon as no destination that still
    waits for spans can be reached. What is not delivered stays in the spool.
    """
    return _running().flush(timeout_s)


async def aflush(timeout_s: float = 30.0) -> Receipt:
    """The same as `flush`, without blocking the event loop."""
    import asyncio  # whoever awaits this has it loaded; a program without a loop is spared it

    return await asyncio.to_thread(flush, timeout_s)


def stats() -> dict[str, Any]:
    """Numbers about this process, at any time, as plain JSON-able values.

    `calls`: opened, open, ended by how, absorbed, over_budget (not made), sampled_out (usage and cost only), unsampled
    (nothing kept), shed (texts left out), disowned. `requests`: to models at known providers by host, and those without
    a span. `faults`: our own failures by place. `delivery`: for each destination the counts of a receipt and its last
    problem. `sender`: failures of the sending thread.
    """
    runtime = _running()
    delivery = [
        {
            "destination": part.destination,
            "recorded": part.recorded,
            "delivered": part.delivered,
            "pending": part.pending,
            "set_aside": part.set_aside,
            "dropped": part.dropped,
            "problem": part.problem,
        }
        for part in runtime.sender.receipt().parts
    ]
    return {
        "calls": {
            "opened": TALLY.opened,
            "open": len(open_calls()),
            "ended": dict(TALLY.ended),
            "absorbed": TALLY.absorbed,
            "over_budget": TALLY.over_budget,
            "sampled_out": TALLY.sampled_out,
            "unsampled": TALLY.unsampled,
            "shed": TALLY.shed,
            "disowned": TALLY.disowned,
        },
        "requests": {
            "seen": dict(http_audit.UNCOVERED.seen),
            "without_span": dict(http_audit.UNCOVERED.without_span),
        },
        "faults": dict(TALLY.faults),
        "delivery": delivery,
        "sender": dict(runtime.sender.errors),
    }


def writers() -> dict[str, int]:
    """Each writer of this process and the last number it gave out: what a receiver has to have in the end."""
    counts = (outlet.log.counts() for outlet in _running().registry.outlets)
    return {each.writer: each.last_seq for each in counts if each.writer is not None}


def shutdown(timeout_s: float = 5.0) -> Receipt:
    """Deliver for at most `timeout_s` and say what became of everything. Recording goes on; nothing is discarded."""
    return _running().flush(timeout_s)
