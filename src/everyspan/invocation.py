"""`@everyspan.aws_lambda`: deliver before AWS Lambda freezes the process, and say in the log what became of it.

Lambda freezes a process the moment its handler returns, for minutes or for good. A background thread then stands still
with what it has not sent, so each invocation delivers before it returns. What does not get through in time stays in the
spool and goes with the next invocation. When none comes, the receipt in the log tells which numbers are missing.
"""

from __future__ import annotations

import functools
import json
import logging
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from everyspan import client
from everyspan.errors import SettingsError
from everyspan.record.tally import TALLY

_LONGEST_FLUSH_S = 2.0
_MARGIN_S = 0.2
"""Left of the invocation's time when we return, for the answer to be sent."""
_IMPATIENT_FLUSH_S = 0.25
"""For a destination that took nothing the last time: every second here is billed."""

Handler = TypeVar("Handler", bound=Callable[..., Any])


def aws_lambda(handler: Handler) -> Handler:
    """Record the calls of a Lambda function and deliver them before each return. Calls `everyspan.init()` itself.

        @everyspan.aws_lambda
        def handler(event, context): ...

    An invocation is put off by at most 2 s and never beyond its deadline less 0.2 s; a quarter of a second where the
    destination took nothing the last time. Its result or exception is the handler's, whatever happens here. One line
    on stderr per invocation, `everyspan receipt {…}`, holds the counts of this process so far and the last number
    of each of its writers. The spool is `/tmp/everyspan/spool` unless EVERYSPAN_SPOOL_DIR says otherwise.

    A setting that can not be used is logged as an error, and the handler stays as it was.
    """
    try:
        client.init()
    except SettingsError as error:
        logging.getLogger("everyspan").error("everyspan does not record this function: %s", error)
        return handler
    delivery = _Delivery()

    @functools.wraps(handler)
    def invoke(*args: Any, **kwargs: Any) -> Any:
        delivery.resume()
        try:
            return handler(*args, **kwargs)
        finally:
            delivery.finish(args[1] if len(args) > 1 else kwargs.get("context"))

    return invoke  # type: ignore[return-value]


class _Delivery:
    """What happens around the invocations of one function. Nothing in here raises."""

    def __init__(self) -> None:
        self._patient = True
        self._delivered = 0

    def resume(self) -> None:
        """Send what the last invocation left behind while this one works."""
        try:
            client.flush(0.0)  # waits for nothing, but ends the sender's pause between two attempts
        except Exception as error:  # noqa: BLE001 - the guard of this entry point
            TALLY.fault("resume delivery", error)

    def finish(self, context: Any) -> None:
        """Deliver for as long as the invocation can spare, and write the receipt."""
        try:
            receipt = client.flush(self._time_s(context))
            self._patient = not receipt.pending or receipt.delivered > self._delivered
            self._delivered = receipt.delivered
            line = {
                "request_id": str(getattr(context, "aws_request_id", "")),
                "recorded": receipt.recorded,
                "delivered": receipt.delivered,
                "pending": receipt.pending,
                "set_aside": receipt.set_aside,
                "dropped": receipt.dropped,
                "writers": client.writers(),
                "problem": receipt.problem,
            }
            print("everyspan receipt", json.dumps(line), file=sys.stderr, flush=True)
        except Exception as error:  # noqa: BLE001 - the guard of this entry point
            TALLY.fault("deliver before the end of an invocation", error)

    def _time_s(self, context: Any) -> float:
        longest_s = _LONGEST_FLUSH_S if self._patient else _IMPATIENT_FLUSH_S
        remaining_ms = getattr(context, "get_remaining_time_in_millis", None)
        if remaining_ms is None:  # called by a test, or by another host
            return longest_s
        return max(0.0, min(longest_s, float(remaining_ms()) / 1_000 - _MARGIN_S))
