"""Where the bodies of spans are in the SQLite store: up to 32 in one row, under the id of the first one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from everyspan.errors import StoreError
from everyspan.store.bodies import Squeezer

_MOST_SPANS = 32
_MOST_CHARACTERS = 64 << 10
"""In one row, unless one body alone has more: so much has to be restored to read a single span."""

_MOST_KEPT = 64
"""Bodies that a reader remembers, because its next question is most likely for a neighbour."""

_PUT = "INSERT INTO packs (id, body) VALUES (?, ?)"
_FIND = "SELECT id, body FROM packs WHERE id <= ? ORDER BY id DESC LIMIT 1"


class Bodies:
    """Reads bodies, inside one transaction of the caller's."""

    def __init__(self, connection: sqlite3.Connection, squeezer: Squeezer) -> None:
        self._connection = connection
        self._squeezer = squeezer
        self._read: dict[int, list[str]] = {}

    def of(self, span: int) -> list[str]:
        """The texts of the span with this id.

        Raises:
            StoreError: they are damaged or not there.
        """
        if span not in self._read:
            if len(self._read) >= _MOST_KEPT:
                self._read.clear()
            self._read |= self.around(span)[1]
        return self._read[span]

    def around(self, span: int) -> tuple[int, dict[int, list[str]]]:
        """The row that this span's body is in: its id, and all bodies in it by span."""
        stored = self._connection.execute(_FIND, (span,)).fetchone()
        found = self._squeezer.unpack(stored["body"], stored["id"]) if stored is not None else {}
        if span not in found:
            raise StoreError(f"the body of span {span} is not in the store")
        return stored["id"], found


def put(
    connection: sqlite3.Connection, squeezer: Squeezer, bodies: Iterable[tuple[int, Sequence[str]]]
) -> None:
    """Keep the bodies of spans whose ids ascend, and are higher than those of all that are stored."""
    packs: list[tuple[int, bytes]] = []
    together: dict[int, Sequence[str]] = {}
    characters = 0

    def close() -> None:
        if together:
            packs.append((next(iter(together)), squeezer.pack(together)))
            together.clear()

    for span, texts in bodies:
        length = sum(map(len, texts))
        if len(together) == _MOST_SPANS or characters + length > _MOST_CHARACTERS:
            close()
            characters = 0
        together[span] = texts
        characters += length
    close()
    connection.executemany(_PUT, packs)


def take_out(
    connection: sqlite3.Connection, squeezer: Squeezer, spans: Iterable[int]
) -> dict[int, list[str]]:
    """Remove bodies and return them by span; those beside them are written anew without them."""
    bodies = Bodies(connection, squeezer)
    gone: dict[int, list[str]] = {}
    left: dict[int, dict[int, list[str]]] = {}
    of_pack: dict[int, int] = {}
    for span in spans:
        if span not in of_pack:
            pack, found = bodies.around(span)
            left[pack] = found
            of_pack |= dict.fromkeys(found, pack)
        gone[span] = left[of_pack[span]].pop(span)
    for pack, rest in left.items():
        if rest:
            # From the id of the row, where its first one may be missing.
            connection.execute(
                "UPDATE packs SET body = ? WHERE id = ?", (squeezer.pack(rest, first=pack), pack)
            )
        else:
            connection.execute("DELETE FROM packs WHERE id = ?", (pack,))
    return gone
