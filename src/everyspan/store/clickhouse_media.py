"""Files in the ClickHouse store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from everyspan.store.clickhouse_columns import Ask
from everyspan.store.clickhouse_scores import Put
from everyspan.store.clickhouse_where import Bound
from everyspan.store.media import Media, Use

_KNOWN = ("project", "id", "content_type", "size_bytes", "sha256", "created_ns")
_SELECT = f"SELECT {', '.join(_KNOWN)} FROM media"

TakeOut = Callable[[str, str, str, dict[str, Any]], None]
"""Deletes from a table what fits a condition in a project, and waits until it is gone."""


def put(add: Put, media: Media, content: bytes) -> None:
    """See `MediaStore.put_media`. Its uses go first: a file without any would never be deleted."""
    use(add, media.project, media.id, media.uses)
    values = (media.project, media.id, media.content_type, media.size_bytes, media.sha256, media.created_ns)
    add("media", [[*values, content, 1, 0]], (*_KNOWN, "content", "version", "gone"))


def use(add: Put, project: str, media_id: str, uses: Sequence[Use]) -> None:
    """See `MediaStore.use_media`."""
    if uses:
        columns = ("project", "media_id", "trace_id", "span_id", "field", "version", "gone")
        add("media_uses", [[project, media_id, *each, 1, 0] for each in uses], columns)


def read(ask: Ask, project: str, media_id: str) -> Media | None:
    """See `MediaStore.read_media`."""
    bound = Bound()
    where = f"project = {bound.put(project)} AND id = {bound.put(media_id)}"
    found = _with_uses(ask, project, ask(f"{_SELECT} WHERE {where}", bound.values))
    return found[0] if found else None


def content(ask: Ask, project: str, media_id: str) -> bytes | None:
    """See `MediaStore.media_content`."""
    bound = Bound()
    where = f"project = {bound.put(project)} AND id = {bound.put(media_id)}"
    sql = f"SELECT content FROM media WHERE {where}"
    rows = ask(sql, bound.values, column_formats={"content": "bytes"})
    return bytes(rows[0][0]) if rows else None


def list_media(ask: Ask, project: str, after: str, limit: int) -> list[Media]:
    """See `MediaStore.list_media`."""
    bound = Bound()
    where = f"project = {bound.put(project)} AND id > {bound.put(after)}"
    rows = ask(f"{_SELECT} WHERE {where} ORDER BY id LIMIT {bound.put(limit)}", bound.values)
    return _with_uses(ask, project, rows)


def forget(ask: Ask, take_out: TakeOut, project: str, traces: Sequence[str]) -> None:
    """Traces are deleted: their uses go, and files that nothing uses any more."""
    bound = Bound()
    those = f"trace_id IN {bound.put(list(traces))}"
    whose = f"project = {bound.put(project)}"
    of_them = f"SELECT DISTINCT media_id FROM media_uses WHERE {whose}"
    used = [row[0] for row in ask(f"{of_them} AND {those}", bound.values)]
    if not used:
        return
    among = f"media_id IN {bound.put(used)}"
    left = {row[0] for row in ask(f"{of_them} AND {among} AND NOT {those}", bound.values)}
    # The files first: dying in between leaves uses without a file, which the next attempt finds again.
    unused = sorted(set(used) - left)
    if unused:
        take_out("media", project, "id IN {unused:Array(String)}", {"unused": unused})
    take_out("media_uses", project, "trace_id IN {traces:Array(String)}", {"traces": list(traces)})


def _with_uses(ask: Ask, project: str, rows: Sequence[Sequence[Any]]) -> list[Media]:
    if not rows:
        return []
    bound = Bound()
    where = f"project = {bound.put(project)} AND media_id IN {bound.put([row[1] for row in rows])}"
    uses = defaultdict(list)
    for media_id, *each in ask(
        f"SELECT media_id, trace_id, span_id, field FROM media_uses WHERE {where}", bound.values
    ):
        uses[media_id].append(Use(*each))
    return [Media(**dict(zip(_KNOWN, row, strict=True)), uses=tuple(sorted(uses[row[1]]))) for row in rows]
