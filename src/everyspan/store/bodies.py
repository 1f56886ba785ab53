"""The long parts of spans, those of neighbours compressed together: what they repeat is kept once."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import zstandard

from everyspan.errors import StoreError

_LEVEL = 3
_PACK = struct.Struct(">BHB")
_ALONE = 7
"""The first byte of a body that was kept alone, as versions before the eighth did: how many texts it has."""


class Squeezer:
    """Compresses and restores the texts of some spans. Not thread-safe: one for each connection."""

    def __init__(self) -> None:
        self._compress = zstandard.ZstdCompressor(level=_LEVEL).compress
        self._decompress = zstandard.ZstdDecompressor().decompress

    def pack(self, bodies: Mapping[int, Sequence[str]], *, first: int | None = None) -> bytes:
        """The texts of each span, as many for each, as one compressed blob. Lone surrogates survive.

        Args:
            bodies: by the id of the span, ascending.
            first: the id that `unpack` will be told, when it is not that of the first of them.
        """
        ids = list(bodies)
        parts = [text.encode("utf-8", "surrogatepass") for texts in bodies.values() for text in texts]
        begin = ids[0] if first is None else first
        steps = [span - begin for span in ids]
        head = _PACK.pack(0, len(ids), len(parts) // len(ids))
        numbers = struct.pack(f">{len(ids)}I{len(parts)}I", *steps, *map(len, parts))
        return bytes(self._compress(b"".join((head, numbers, *parts))))

    def unpack(self, blob: bytes, first: int) -> dict[int, list[str]]:
        """What `pack` was given.

        Args:
            first: the id of the span that was the first one, whether it is still among them or not.

        Raises:
            StoreError: the blob is damaged.
        """
        try:
            plain = bytes(self._decompress(blob))
            if plain[0] == _ALONE:
                lengths = struct.unpack_from(f">{_ALONE}Q", plain, 1)
                return {first: _texts(plain, 1 + 8 * _ALONE, lengths)}
            _, spans, each = _PACK.unpack_from(plain)
            numbers = struct.unpack_from(f">{spans + spans * each}I", plain, _PACK.size)
            texts = _texts(plain, _PACK.size + 4 * len(numbers), numbers[spans:])
            return {
                first + step: texts[index * each : (index + 1) * each]
                for index, step in enumerate(numbers[:spans])
            }
        except (zstandard.ZstdError, struct.error, IndexError, UnicodeDecodeError) as error:
            raise StoreError(
                f"stored span bodies of {len(blob)} bytes, from span {first} on, are damaged: {error}"
            ) from error


def _texts(plain: bytes, at: int, lengths: Sequence[int]) -> list[str]:
    texts = []
    for length in lengths:
        texts.append(plain[at : at + length].decode("utf-8", "surrogatepass"))
        at += length
    return texts
