"""How much a request may ask of the collector, and decompression that stops at that line."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import zstandard

from everyspan.errors import CollectorError

_MIB = 1 << 20
_STEP_BYTES = 256 << 10
_CORRUPT = "the body is not valid {encoding}"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request, and all requests together, may cost us."""

    body_bytes: int = 20 * _MIB
    """Largest body, as it travels and decompressed; the OpenTelemetry Collector's default is the same."""
    ratio: int = 200
    """Most bytes that one compressed byte may turn into, once `ratio_from_bytes` are exceeded."""
    ratio_from_bytes: int = 4 * _MIB
    """Below this size any ratio is fine: a prompt that repeats itself compresses 1000:1 and is honest."""
    spans: int = 10_000
    """Most spans in one request; a sender that sees 413 halves its batch."""
    fields: int = 10_000
    """Most attributes, events and links in one span: 4 MiB of empty ones would grow to 100 MiB in memory."""
    body_timeout_s: float = 30.0
    """How long a client may take to deliver its body."""
    in_flight_bytes: int = 96 * _MIB
    """Most bytes of bodies that are being received or wait for the disk; beyond that we answer 503."""
    inbox_bytes: int = 4096 * _MIB
    """Largest inbox; beyond that we answer 503 until the store has caught up."""


def decompressed(body: bytes, encoding: str, limits: Limits) -> bytes:
    """`body` with its Content-Encoding undone; never holds more than `limits.body_bytes` and one step more.

    Raises:
        CollectorError: 415 for an encoding that we do not speak or a stack of them, 413 for a result over the
            limit or a bomb, 400 for bytes that are damaged or cut short.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding in ("gzip", "x-gzip", "deflate"):
        return _inflated(body, encoding, limits)
    if encoding == "zstd":
        return _unzstd(body, limits)
    raise CollectorError(
        f"Content-Encoding {encoding!r} is not one of gzip, deflate, zstd, identity", status=415
    )


def _inflated(body: bytes, encoding: str, limits: Limits) -> bytes:
    out = bytearray()
    rest = body
    # A gzip body may consist of several members; deflate ends after its one stream.
    while True:
        decoder = zlib.decompressobj(_window(encoding, rest))
        while not decoder.eof:
            try:
                piece = decoder.decompress(rest, _STEP_BYTES)
            except zlib.error as damaged:
                raise CollectorError(f"{_CORRUPT.format(encoding=encoding)}: {damaged}", status=400) from None
            rest = decoder.unconsumed_tail
            out += piece
            _check_growth(len(out), len(body), limits)
            if not piece and not rest and not decoder.eof:
                raise CollectorError(f"the {encoding} body is cut short after {len(body)} bytes", status=400)
        rest = decoder.unused_data
        if not rest:
            return bytes(out)
        if encoding == "deflate":
            raise CollectorError(f"{len(rest)} bytes follow the end of the deflate body", status=400)


def _window(encoding: str, body: bytes) -> int:
    if encoding != "deflate":
        return 16 + zlib.MAX_WBITS
    # HTTP's deflate is the zlib format, but some clients send the bare stream; zlib's two first bytes tell.
    has_zlib_header = len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
    return zlib.MAX_WBITS if has_zlib_header else -zlib.MAX_WBITS


def _unzstd(body: bytes, limits: Limits) -> bytes:
    # 8 MiB is the largest window that RFC 9659 lets an HTTP client ask of us.
    decompressor = zstandard.ZstdDecompressor(max_window_size=8 * _MIB)
    out = bytearray()
    rest = body
    try:
        # Two passes: the reader stops where we tell it but hides a body that is cut short; the object below
        # sees the cut but can not be stopped, and is safe once the size is known.
        _measure(decompressor.stream_reader(body, read_across_frames=True), len(body), limits)
        while rest:
            frame = decompressor.decompressobj()
            out += frame.decompress(rest)
            if not frame.eof:
                raise CollectorError(f"the zstd body is cut short after {len(body)} bytes", status=400)
            rest = frame.unused_data
    except zstandard.ZstdError as damaged:
        raise CollectorError(f"{_CORRUPT.format(encoding='zstd')}: {damaged}", status=400) from None
    return bytes(out)


def _measure(reader: zstandard.ZstdDecompressionReader, body_bytes: int, limits: Limits) -> None:
    size_bytes = 0
    while piece := reader.read(_STEP_BYTES):
        size_bytes += len(piece)
        _check_growth(size_bytes, body_bytes, limits)


def _check_growth(size_bytes: int, from_bytes: int, limits: Limits) -> None:
    if size_bytes > limits.body_bytes:
        raise CollectorError(
            f"the body is larger than {limits.body_bytes} bytes when decompressed", status=413
        )
    if size_bytes > limits.ratio_from_bytes and size_bytes > limits.ratio * from_bytes:
        raise CollectorError(
            f"{from_bytes} bytes grew to more than {size_bytes}: over {limits.ratio}:1 we call it a bomb",
            status=413,
        )
