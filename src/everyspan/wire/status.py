"""`google.rpc.Status`: how OTLP says over HTTP and gRPC what was wrong."""

from __future__ import annotations

from everyspan.wire.protobuf import LENGTH, VARINT, delimited, field_tag, fields, utf8, varint

_CODE, _MESSAGE, _DETAILS = field_tag(1, VARINT), field_tag(2, LENGTH), field_tag(3, LENGTH)
_RETRY_INFO = b"type.googleapis.com/google.rpc.RetryInfo"
_CODES = {
    400: 3,  # INVALID_ARGUMENT
    401: 16,  # UNAUTHENTICATED
    403: 7,  # PERMISSION_DENIED
    404: 5,  # NOT_FOUND
    405: 12,  # UNIMPLEMENTED
    408: 4,  # DEADLINE_EXCEEDED
    413: 11,  # OUT_OF_RANGE
    415: 3,
    429: 8,  # RESOURCE_EXHAUSTED
    503: 14,  # UNAVAILABLE
}
_UNKNOWN = 2


def code_of(http_status: int) -> int:
    """The google.rpc.Code that stands for an HTTP status."""
    return _CODES.get(http_status, _UNKNOWN)


def pack_status(code: int, message: str, *, retry_after_s: int | None = None) -> bytes:
    """The bytes of a Status; with a time to wait, it carries a RetryInfo."""
    packed = _CODE + varint(code) + delimited(_MESSAGE, utf8(message))
    if retry_after_s is None:
        return packed
    return packed + delimited(
        _DETAILS,
        delimited(field_tag(1, LENGTH), _RETRY_INFO)
        + delimited(field_tag(2, LENGTH), retry_info(retry_after_s)),
    )


def retry_info(after_s: int) -> bytes:
    """The bytes of a RetryInfo."""
    return delimited(field_tag(1, LENGTH), _CODE + varint(after_s))


def message_of(status: bytes) -> str:
    """What a Status says.

    Raises:
        WireError: the bytes are none.
    """
    said = b""
    for field in fields(status, 0, len(status)):
        if (field.number, field.wire_type) == (2, LENGTH):
            said = status[field.value_start : field.end]
    return said.decode("utf-8", "replace")
