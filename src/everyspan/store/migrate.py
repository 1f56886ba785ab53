"""Brings a SQLite store up to the schema that this version speaks, one numbered file after the other."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from importlib import resources

from everyspan.errors import StoreError

APPLICATION_ID = 0x45565350
"""`EVSP` in the file's header: tells our files from any other SQLite database."""

_NAME = re.compile(r"(\d{4})_\w+\.sql")


def migrate(connection: sqlite3.Connection, *, where: str) -> None:
    """Create or upgrade the schema; each step is one transaction, so dying in between leaves a whole version.

    Args:
        where: what to call the store in messages.

    Raises:
        StoreError: a newer everyspan made it, or somebody else did; nothing was changed.
    """
    steps = _steps()
    if check(connection, where=where) == steps[-1][0]:
        return
    for number, script in steps:
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Looked up again under the lock: another process may have been here first.
            if check(connection, where=where) < number:
                for statement in _statements(script):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise


def check(connection: sqlite3.Connection, *, where: str) -> int:
    """The store's schema version; 0 for an empty file.

    Raises:
        StoreError: a newer everyspan made it, or it is not one of our stores.
    """
    version, application, filled = _looked_up(connection)
    newest = _steps()[-1][0]
    if application != APPLICATION_ID and (filled or version):
        raise StoreError(f"{where} is a SQLite database, but not a store of everyspan; give another path")
    if version > newest:
        raise StoreError(
            f"{where} has schema {version} and this everyspan knows up to {newest}; "
            "install the newer version that wrote it, or give another path"
        )
    return version


def _looked_up(connection: sqlite3.Connection) -> tuple[int, int, bool]:
    """Version, application id and whether there is a table, at one moment: another process may be at work."""
    alone = not connection.in_transaction
    if alone:
        connection.execute("BEGIN")
    try:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        application = int(connection.execute("PRAGMA application_id").fetchone()[0])
        filled = connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is not None
    finally:
        if alone:
            connection.execute("ROLLBACK")
    return version, application, filled


def _steps() -> list[tuple[int, str]]:
    folder = resources.files("everyspan.store") / "schema" / "sqlite"
    named = ((_NAME.fullmatch(file.name), file) for file in folder.iterdir())
    return sorted((int(match[1]), file.read_text("utf-8")) for match, file in named if match)


def _statements(script: str) -> Iterator[str]:
    # Not executescript(): that commits first, and a migration must be one transaction.
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement
