"""What every door does with a body, whatever protocol brought it: examine, keep, count."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from everyspan.clock import NowNs, now_ns
from everyspan.collector.accept import Envelope, Examined, examine, seal
from everyspan.collector.inbox import Inbox
from everyspan.collector.keys import Admitted
from everyspan.collector.limits import Limits
from everyspan.errors import CollectorError

_LOGGER = logging.getLogger(__name__)


@dataclass(slots=True)
class Taken:
    """What came through the doors since the server started."""

    requests: int = 0
    spans: int = 0
    rejected: int = 0
    """Spans named in a partial_success."""
    refused: int = 0
    """Requests answered with an error."""
    faults: int = 0
    """Of these, because of an error of ours."""
    in_flight_bytes: int = 0


class Intake:
    """Turns bodies into inbox entries. May be used from any thread."""

    def __init__(self, inbox: Inbox, limits: Limits, *, now: NowNs = now_ns) -> None:
        self.limits = limits
        self.taken = Taken()
        self._inbox = inbox
        self._now = now

    def examine(self, body: bytes, *, content_type: str, encoding: str) -> Examined:
        """See `accept.examine`; an error of ours refuses the body too.

        Raises:
            CollectorError: the body is not kept, and its status says what the sender should do.
        """
        try:
            return examine(body, content_type=content_type, encoding=encoding, limits=self.limits)
        except (CollectorError, MemoryError):
            raise
        except Exception as failure:
            # It would fail again for ever and hold up everything behind it: refused, the sender sets it aside.
            self.taken.faults += 1
            _LOGGER.exception("a body of %d bytes cannot be read", len(body))
            why = f"the collector fails to read this body: {type(failure).__name__}"
            raise CollectorError(why, status=400) from failure

    def keep(self, found: Examined, headers: Mapping[str, str], admitted: Admitted) -> Future[None] | None:
        """Begin to keep what was examined; None when nothing in it is worth keeping. See `Inbox.put`."""
        self.taken.rejected += found.rejected
        envelope = Envelope.of(
            headers, project=admitted.project, key_id=admitted.key_id, received_ns=self._now()
        )
        if not (found.spans or found.controls or envelope.writer is not None):
            return None
        return self._inbox.put(seal(envelope, found.body))


def response_to(found: Examined) -> ExportTraceServiceResponse:
    """The message that says what was taken."""
    response = ExportTraceServiceResponse()
    if found.bad:
        response.partial_success.rejected_spans = found.rejected
        response.partial_success.error_message = found.complaint
    return response
