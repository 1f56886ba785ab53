"""The long parts of a span, compressed together."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import zstandard

from everyspan.errors import StoreError

_LEVEL = 3


class Squeezer:
    """Compresses and restores lists of texts. Not thread-safe: one for each connection."""

    def __init__(self) -> None:
        self._compress = zstandard.ZstdCompressor(level=_LEVEL).compress
        self._decompress = zstandard.ZstdDecompressor().decompress

    def pack(self, texts: Sequence[str]) -> bytes:
        """The texts as one compressed blob. Lone surrogates survive."""
        parts = [text.encode("utf-8", "surrogatepass") for text in texts]
        lengths = struct.pack(f">{len(parts)}Q", *map(len, parts))
        return bytes(self._compress(bytes((len(parts),)) + lengths + b"".join(parts)))

    def unpack(self, blob: bytes) -> list[str]:
        """The texts that `pack` was given.

        Raises:
            StoreError: the blob is damaged.
        """
        try:
            plain = bytes(self._decompress(blob))
            count = plain[0]
            lengths = struct.unpack_from(f">{count}Q", plain, 1)
            texts, at = [], 1 + 8 * count
            for length in lengths:
                texts.append(plain[at : at + length].decode("utf-8", "surrogatepass"))
                at += length
        except (zstandard.ZstdError, struct.error, IndexError, UnicodeDecodeError) as error:
            raise StoreError(f"a stored span body of {len(blob)} bytes is damaged: {error}") from error
        return texts
