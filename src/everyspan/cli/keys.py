"""`everyspan keys`: who may send to a collector and read from it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import click

from everyspan.clock import now_ns
from everyspan.collector.issued import Issued, KeyFile, Scope
from everyspan.errors import SettingsError
from everyspan.settings import data_dir

_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_UNITS = {"": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}
_DATA_DIR = click.option(
    "--data-dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="The collector's directory. Default: EVERYSPAN_DATA_DIR, else the user's data directory.",
)


@click.group()
def keys() -> None:
    """Make, list and revoke the keys of a collector. A running one takes notice at once."""


@keys.command()
@_DATA_DIR
@click.option("--project", required=True, help="Whose spans it opens.")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice([each.value for each in Scope]),
    multiple=True,
    help="What it may do. Default: ingest and read.",
)
@click.option(
    "--expires", metavar="TIME", help="After this it opens nothing: 90m, 12h, 30d, 8w. Default: never."
)
@click.option(
    "--requests-per-minute",
    type=click.IntRange(1),
    help="More than these are told to wait. Default: as many as it likes.",
)
@click.option(
    "--bytes-per-day",
    "size",
    metavar="SIZE",
    help="So much may it send, such as 500MB or 2GB. Default: as much as it likes.",
)
def create(
    *,
    directory: Path | None,
    project: str,
    scopes: tuple[str, ...],
    expires: str | None,
    requests_per_minute: int | None,
    size: str | None,
) -> None:
    """Make a key and show its secret, this once."""
    file = KeyFile(directory or data_dir())
    allowed = [Scope(each) for each in dict.fromkeys(scopes)] or [Scope.INGEST, Scope.READ]
    made, secret = file.create(
        project=project,
        scopes=allowed,
        expires_ns=_expires_ns(expires),
        requests_per_minute=requests_per_minute,
        bytes_per_day=_bytes(size),
    )
    click.echo(f"public  {made.public}")
    click.echo(f"secret  {secret}")
    click.echo(f"for     {_about(made)}")
    click.echo("The secret is not kept and cannot be shown again.", err=True)


@keys.command("list")
@_DATA_DIR
def list_(*, directory: Path | None) -> None:
    """Show every key that was made here, without its secret."""
    found = KeyFile(directory or data_dir()).keys().values()
    if not found:
        click.echo("no keys were made here")
    for key in found:
        click.echo(f"{key.public}  {_about(key)}")


@keys.command()
@_DATA_DIR
@click.argument("public")
def revoke(*, directory: Path | None, public: str) -> None:
    """Close a key for good, by its public half."""
    revoked = KeyFile(directory or data_dir()).revoke(public)
    click.echo(f"{revoked.public}  {_about(revoked)}")


def _expires_ns(said: str | None) -> int | None:
    if said is None:
        return None
    match = re.fullmatch(r"(\d{1,6})([mhdw])", said)
    if not match:
        raise SettingsError(f"--expires is {said!r}; it takes a number and m, h, d or w, such as 30d")
    return now_ns() + int(match[1]) * _SECONDS[match[2]] * 10**9


def _bytes(said: str | None) -> int | None:
    if said is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,11})(|kB|MB|GB)", said)
    if not match:
        raise SettingsError(
            f"--bytes-per-day is {said!r}; it takes a whole number and kB, MB or GB, such as 500MB"
        )
    return int(match[1]) * _UNITS[match[2]]


def _about(key: Issued) -> str:
    state = ""
    if key.revoked_ns is not None:
        state = f", revoked {_day(key.revoked_ns)}"
    elif key.expires_ns is not None:
        state = f", {'expired' if now_ns() >= key.expires_ns else 'expires'} {_day(key.expires_ns)}"
    return (
        f"project {key.project}, {' and '.join(key.scopes)}, made {_day(key.created_ns)}{_quota(key)}{state}"
    )


def _quota(key: Issued) -> str:
    said = [
        f"{limit:,} {what}"
        for limit, what in (
            (key.requests_per_minute, "requests a minute"),
            (key.bytes_per_day, "bytes a day"),
        )
        if limit is not None
    ]
    return f", at most {', '.join(said)}" if said else ""


def _day(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns // 10**9, UTC).isoformat(timespec="minutes").replace("+00:00", "Z")
