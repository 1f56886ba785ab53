"""The other door: OTLP over gRPC. Needs grpcio, which the extra `grpc` brings."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc

from everyspan.collector.accept import PROTOBUF
from everyspan.collector.intake import Intake, response_to
from everyspan.collector.issued import Scope
from everyspan.collector.keys import Keys
from everyspan.errors import CollectorError, SettingsError
from everyspan.wire.status import pack_status, retry_info

_LOGGER = logging.getLogger(__name__)

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_WORKERS = 8
_MOST_CALLS = 32
"""Calls under way at once; beyond that grpcio answers RESOURCE_EXHAUSTED by itself."""

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
    """Answer OTLP/gRPC at `host:port` inside the block; yields the port that it became.

    Raises:
        SettingsError: the address cannot be bound.
    """
    workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="everyspan-grpc")
    server = grpc.server(
        workers,
        handlers=[_Exporting(intake, keys)],
        options=[
            ("grpc.max_receive_message_length", intake.limits.body_bytes),
            ("grpc.max_metadata_size", 16 << 10),
            # Two servers on one port would share its clients without a word.
            ("grpc.so_reuseport", 0),
        ],
        maximum_concurrent_rpcs=_MOST_CALLS,
    )
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as taken:
        workers.shutdown()
        raise SettingsError(f"cannot listen for gRPC on {address}: {taken}") from None
    server.start()
    try:
        yield port
    finally:
        server.stop(_SHUTDOWN_S).wait()
        workers.shutdown()


class _Exporting(grpc.GenericRpcHandler):  # type: ignore[misc]
    """The one method of OTLP's trace service, over bytes: the inbox wants them as they came."""

    def __init__(self, intake: Intake, keys: Keys) -> None:
        self._intake = intake
        self._keys = keys

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """The handler of a call, or None where we have none."""
        if handler_call_details.method != METHOD:
            return None
        return grpc.unary_unary_rpc_method_handler(self._export)

    def _export(self, body: bytes, context: grpc.ServicerContext) -> bytes:
        taken = self._intake.taken
        taken.requests += 1
        try:
            return self._take(body, {str(name): str(value) for name, value in context.invocation_metadata()})
        except CollectorError as refused:
            taken.refused += 1
            code = _STATUS.get(refused.status, grpc.StatusCode.UNAVAILABLE)
            if code is grpc.StatusCode.UNAVAILABLE:
                context.set_trailing_metadata(_come_back(code, refused))
            context.abort(code, str(refused))
        except Exception as failure:
            # UNKNOWN, grpcio's own answer, makes an exporter throw the batch away.
            taken.refused += 1
            taken.faults += 1
            _LOGGER.exception("a gRPC call failed")
            why = f"the collector failed with {type(failure).__name__}; try again"
            context.abort(grpc.StatusCode.UNAVAILABLE, why)
        raise AssertionError("abort() raises")

    def _take(self, body: bytes, headers: dict[str, str]) -> bytes:
        admitted = self._keys.let_in(headers.get("authorization"), Scope.INGEST)
        admitted.received(len(body))
        found = self._intake.examine(body, content_type=PROTOBUF, encoding="")
        kept = self._intake.keep(found, headers, admitted)
        if kept is not None:
            kept.result(_KEEP_S)
        self._intake.taken.spans += found.spans
        answer: bytes = response_to(found).SerializeToString()
        return answer


def _come_back(code: grpc.StatusCode, refused: CollectorError) -> tuple[tuple[str, bytes], ...]:
    """When to try again: as OTLP has it, and where OpenTelemetry's exporter for Python looks for it."""
    after_s = refused.retry_after_s
    status = pack_status(code.value[0], str(refused), retry_after_s=after_s)
    return ("grpc-status-details-bin", status), ("google.rpc.retryinfo-bin", retry_info(after_s))
