"""`everyspan serve`: the collector in the foreground."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from everyspan.cli.logs import LogFormat, log_to_stderr
from everyspan.cli.serving_file import read_settings
from everyspan.clock import now_ns
from everyspan.errors import SettingsError
from everyspan.settings import DEFAULT_PORT, budgets_file, data_dir, retention, server_keys, store_address

if TYPE_CHECKING:
    from everyspan.collector.issued import KeyFile
    from everyspan.server import Server


_FILE = "everyspan.config"
_NOBODY = "nobody: every key is revoked or has expired; make one with `everyspan keys create`"


def _configure(context: click.Context, option: click.Parameter, path: Path | None) -> None:
    if path is not None:
        context.meta[_FILE] = path
        named = {"data_dir": "directory", "store": "address"}
        context.default_map = {named.get(name, name): value for name, value in read_settings(path).items()}


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=_configure,
    is_eager=True,
    expose_value=False,
    help="A TOML file with these settings, as in deploy/everyspan.toml. The command line wins over it.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0: a free one."
)
@click.option(
    "--grpc-port",
    type=click.IntRange(0, 65535),
    help="Take OTLP/gRPC there too (4317 is usual); needs the extra everyspan[grpc].",
)
@click.option(
    "--data-dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Store and inbox. Default: EVERYSPAN_DATA_DIR, else the user's data directory.",
)
@click.option(
    "--store",
    "address",
    help="Another store, as clickhouse://host/database. Default: EVERYSPAN_STORE, else in the data directory.",
)
@click.option(
    "--key",
    "keys",
    metavar="PUBLIC:SECRET",
    multiple=True,
    help="A key pair to let in, once for each project. Default: EVERYSPAN_KEYS, else no key is asked for.",
)
@click.option(
    "--retain",
    metavar="[PROJECT=]DAYS",
    multiple=True,
    help="Delete traces that ended longer ago, as 30d; once for each project. Default: EVERYSPAN_RETAIN, else never.",
)
@click.option(
    "--log",
    type=click.Choice([each.value for each in LogFormat]),
    default=LogFormat.TEXT.value,
    show_default=True,
    help="How lines of the log are written, to stderr.",
)
def serve(
    *,
    host: str,
    port: int,
    grpc_port: int | None,
    directory: Path | None,
    address: str | None,
    keys: tuple[str, ...],
    retain: tuple[str, ...],
    log: str,
) -> None:
    """Run the collector: spans in, traces, costs and the audit out. Ctrl-C or SIGTERM stops it.

    A key on the command line can be read by every user of this machine; EVERYSPAN_KEYS can not.
    """
    from everyspan.collector.issued import KeyFile
    from everyspan.collector.keys import Keys
    from everyspan.collector.retention import days_by_project
    from everyspan.cost.budget import read_budgets
    from everyspan.server import Options
    from everyspan.server import serve as run

    log_to_stderr(LogFormat(log))
    root = directory or data_dir()
    store = address or store_address()
    pairs = keys or server_keys()
    with _blaming("keys", "--key", "EVERYSPAN_KEYS"):
        Keys(pairs)
    with _blaming("retain", "--retain", "EVERYSPAN_RETAIN"):
        days = days_by_project(retain or retention())
    limits = budgets_file()
    if limits is not None:
        read_budgets(limits)  # a mistake in it is told now, and not on the page

    def say_ready(server: Server) -> None:
        url = server.url
        click.echo(f"everyspan serves {url}")
        click.echo(f"  spans go to    {url}/v1/traces  (EVERYSPAN_ENDPOINT={url})")
        if server.grpc_address:
            click.echo(f"  and by gRPC    to {server.grpc_address}")
        click.echo(f"  data is in     {root}")
        if store:
            click.echo(
                f"  and spans in   {store.partition('://')[0]}://{store.rpartition('@')[2].rpartition('://')[2]}"
            )
        click.echo(f"  who may        {_who_may(pairs, KeyFile(root))}")
        click.echo("  to stop        Ctrl-C; nothing acknowledged is lost")

    options = Options(
        data_dir=root,
        store=store,
        host=host,
        port=port,
        grpc_port=grpc_port,
        keys=tuple(pairs),
        retain=days,
        budgets=limits,
    )
    run(options, ready=say_ready)
    click.echo("everyspan stopped; everything acknowledged is on disk")


@contextmanager
def _blaming(name: str, option: str, variable: str) -> Iterator[None]:
    """Have an error in a setting say where it was set."""
    try:
        yield
    except SettingsError as wrong:
        context = click.get_current_context()
        where = {
            ParameterSource.COMMANDLINE: option,
            ParameterSource.DEFAULT_MAP: f"{name} in {context.meta.get(_FILE)}",
        }.get(context.get_parameter_source(name) or ParameterSource.DEFAULT, variable)
        raise SettingsError(f"{where}: {wrong}") from None


def _who_may(pairs: tuple[str, ...], issued: KeyFile) -> str:
    projects = [pair.partition(":")[0].strip() for pair in pairs]
    made = issued.keys().values()
    if not projects and not made:
        return "everybody on this machine, without a key"
    valid = {key.project for key in made if any(key.refusal(scope, now_ns()) is None for scope in key.scopes)}
    return f"whoever has a key of {', '.join(sorted({*projects, *valid}))}" if projects or valid else _NOBODY
