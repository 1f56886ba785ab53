"""The other door: OTLP over gRPC. Needs grpcio, which the extra `grpc` brings."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager

import grpc
import grpc.aio

from everyspan.collector.accept import PROTOBUF, Examined
from everyspan.collector.intake import Intake, response_to
from everyspan.collector.issued import Scope
from everyspan.collector.keys import Keys
from everyspan.errors import CollectorError, SettingsError
from everyspan.wire.status import pack_status, retry_info

_LOGGER = logging.getLogger(__name__)

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
MOST_BODIES = 16
"""Bodies that are received at once; grpcio says nothing of a body before all of it is there."""
_PATIENCE_S = 2.0
"""How long a call waits for its turn to send its body."""
_STREAMS = 128
"""Calls of one connection at once; a client waits by itself with the next one."""
_LONG_BODY_BYTES = 64 << 10
"""Others would notice the wait for what is longer."""
_KEEP_S = 20.0
"""How long to wait for the disk before the sender is told to try again."""

_SHUTDOWN_S = 10.0
_STATUS = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    # Without RetryInfo it means: not again as it is.
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    415: grpc.StatusCode.INVALID_ARGUMENT,
}


@contextmanager
def listening(address: str, intake: Intake, keys: Keys) -> Iterator[int]:
    """Answer OTLP/gRPC at `host:port` inside the block, in a thread; yields the port that it became.

    Raises:
        SettingsError: the address cannot be bound.
    """
    loop, stop, started = asyncio.new_event_loop(), asyncio.Event(), Future[int]()
    thread = threading.Thread(
        target=lambda: asyncio.Runner(loop_factory=lambda: loop).run(
            _serve(address, _Exporting(intake, keys), started, stop)
        ),
        name="everyspan-grpc",
    )
    thread.start()
    try:
        yield started.result()
    finally:
        if not started.exception():
            loop.call_soon_threadsafe(stop.set)
        thread.join()


async def _serve(address: str, exporting: _Exporting, started: Future[int], stop: asyncio.Event) -> None:
    options = [
        ("grpc.max_receive_message_length", exporting.body_bytes),
        ("grpc.max_metadata_size", 16 << 10),
        ("grpc.max_concurrent_streams", _STREAMS),
        # Two servers on one port would share its clients without a word.
        ("grpc.so_reuseport", 0),
    ]
    try:
        server = grpc.aio.server(handlers=[exporting], options=options)
        port = server.add_insecure_port(address)
        await server.start()
    except Exception as taken:  # noqa: BLE001 - whoever started this thread waits for it
        started.set_exception(SettingsError(f"cannot listen for gRPC on {address}: {taken}"))
        return
    started.set_result(port)
    await stop.wait()
    await server.stop(_SHUTDOWN_S)


class _Exporting(grpc.GenericRpcHandler):  # type: ignore[misc]
    """The one method of OTLP's trace service, over bytes: the inbox wants them as they came.

    It takes a stream of one body, which looks the same on the wire: so the key is looked at before the body, and a
    client that never sends one is sent away. As a method of one body grpcio would wait for ever.
    """

    def __init__(self, intake: Intake, keys: Keys) -> None:
        self._intake = intake
        self._keys = keys
        self._turns = asyncio.Semaphore(MOST_BODIES)
        self._held_bytes = 0

    @property
    def body_bytes(self) -> int:
        """Longest body, unpacked."""
        return self._intake.limits.body_bytes

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """The handler of a call, or None where we have none."""
        if handler_call_details.method != METHOD:
            return None
        return grpc.stream_unary_rpc_method_handler(self._export)

    async def _export(self, bodies: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> bytes:
        taken = self._intake.taken
        taken.requests += 1
        try:
            headers = {str(name): str(value) for name, value in context.invocation_metadata() or ()}
            return await self._take(bodies, headers)
        except CollectorError as failure:
            refused = failure
        except Exception as failure:
            # UNKNOWN, grpcio's own answer, makes an exporter throw the batch away.
            taken.faults += 1
            _LOGGER.exception("a gRPC call failed")
            why = f"the collector failed with {type(failure).__name__}; try again"
            refused = CollectorError(why, status=503)
        taken.refused += 1
        code = _STATUS.get(refused.status, grpc.StatusCode.UNAVAILABLE)
        later = _come_back(code, refused) if code is grpc.StatusCode.UNAVAILABLE else ()
        await context.abort(code, str(refused), later)
        raise AssertionError("abort() raises")

    async def _take(self, bodies: AsyncIterator[bytes], headers: dict[str, str]) -> bytes:
        admitted = self._keys.let_in(headers.get("authorization"), Scope.INGEST)
        async with self._turn():
            body = await self._body(bodies)
        admitted.received(len(body))
        with self._holding(len(body)):
            found = await self._examined(body)
            kept = self._intake.keep(found, headers, admitted)
            if kept is not None:
                await _on_disk(kept)
        self._intake.taken.spans += found.spans
        answer: bytes = response_to(found).SerializeToString()
        return answer

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._turns.acquire()
        except TimeoutError:
            raise CollectorError(f"{MOST_BODIES} bodies are being received; try again", status=503) from None
        try:
            yield
        finally:
            self._turns.release()

    async def _body(self, bodies: AsyncIterator[bytes]) -> bytes:
        seconds = self._intake.limits.body_timeout_s
        try:
            async with asyncio.timeout(seconds):
                return await anext(bodies)
        except TimeoutError:
            raise CollectorError(f"the body took longer than {seconds:g} s", status=408) from None
        except StopAsyncIteration:
            raise CollectorError("the call has no body", status=400) from None

    @contextmanager
    def _holding(self, size_bytes: int) -> Iterator[None]:
        self._held_bytes += size_bytes
        try:
            if self._held_bytes > self._intake.limits.in_flight_bytes:
                raise CollectorError("too many requests are under way; try again", status=503)
            yield
        finally:
            self._held_bytes -= size_bytes

    async def _examined(self, body: bytes) -> Examined:
        if len(body) > _LONG_BODY_BYTES:
            return await asyncio.to_thread(self._intake.examine, body, content_type=PROTOBUF, encoding="")
        return self._intake.examine(body, content_type=PROTOBUF, encoding="")


async def _on_disk(kept: Future[None]) -> None:
    try:
        async with asyncio.timeout(_KEEP_S):
            await asyncio.wrap_future(kept)
    except TimeoutError:
        raise CollectorError("the disk takes too long; try again", status=503) from None


def _come_back(code: grpc.StatusCode, refused: CollectorError) -> tuple[tuple[str, bytes], ...]:
    """When to try again: as OTLP has it, and where OpenTelemetry's exporter for Python looks for it."""
    after_s = refused.retry_after_s
    status = pack_status(code.value[0], str(refused), retry_after_s=after_s)
    return ("grpc-status-details-bin", status), ("google.rpc.retryinfo-bin", retry_info(after_s))
