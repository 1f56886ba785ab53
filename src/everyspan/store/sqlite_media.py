"""Files in the SQLite store. The caller holds the transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from everyspan.store.media import Media, Use

_KNOWN = "project, id, content_type, size_bytes, sha256, created_ns"


def put(connection: sqlite3.Connection, media: Media, content: bytes) -> None:
    """See `MediaStore.put_media`."""
    values = (media.project, media.id, media.content_type, media.size_bytes, media.sha256, media.created_ns)
    connection.execute(
        f"INSERT INTO media ({_KNOWN}, content) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (*values, content),
    )
    use(connection, media.project, media.id, media.uses)


def use(connection: sqlite3.Connection, project: str, media_id: str, uses: Sequence[Use]) -> None:
    """See `MediaStore.use_media`."""
    connection.executemany(
        "INSERT INTO media_uses (project, media_id, trace_id, span_id, field) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        ((project, media_id, *each) for each in uses),
    )


def read(connection: sqlite3.Connection, project: str, media_id: str) -> Media | None:
    """See `MediaStore.read_media`."""
    sql = f"SELECT {_KNOWN} FROM media WHERE project = ? AND id = ?"
    row = connection.execute(sql, (project, media_id)).fetchone()
    return None if row is None else _media(connection, row)


def content(connection: sqlite3.Connection, project: str, media_id: str) -> bytes | None:
    """See `MediaStore.media_content`."""
    sql = "SELECT content FROM media WHERE project = ? AND id = ?"
    row = connection.execute(sql, (project, media_id)).fetchone()
    return None if row is None else bytes(row["content"])


def list_media(connection: sqlite3.Connection, project: str, after: str, limit: int) -> list[Media]:
    """See `MediaStore.list_media`."""
    sql = f"SELECT {_KNOWN} FROM media WHERE project = ? AND id > ? ORDER BY id LIMIT ?"
    rows = connection.execute(sql, (project, after, limit)).fetchall()
    return [_media(connection, row) for row in rows]


def forget(connection: sqlite3.Connection, project: str, trace_id: str) -> None:
    """A trace is deleted: its uses go, and files that nothing uses any more."""
    uses = connection.execute(
        "DELETE FROM media_uses WHERE project = ? AND trace_id = ? RETURNING media_id", (project, trace_id)
    ).fetchall()
    unused = (
        "DELETE FROM media WHERE project = ?1 AND id = ?2"
        " AND NOT EXISTS (SELECT 1 FROM media_uses WHERE project = ?1 AND media_id = ?2)"
    )
    connection.executemany(unused, {(project, row["media_id"]) for row in uses})


def forget_all(connection: sqlite3.Connection, project: str) -> None:
    """A project is deleted."""
    for table in ("media", "media_uses"):
        connection.execute(f"DELETE FROM {table} WHERE project = ?", (project,))


def _media(connection: sqlite3.Connection, row: sqlite3.Row) -> Media:
    sql = "SELECT trace_id, span_id, field FROM media_uses WHERE project = ? AND media_id = ?"
    uses = connection.execute(sql, (row["project"], row["id"]))
    return Media(**dict(row), uses=tuple(sorted(Use(*each) for each in uses)))
