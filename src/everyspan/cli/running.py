"""`everyspan run` as click knows it (for the help page), and `everyspan version`."""

from __future__ import annotations

import click

from everyspan.version import __version__


@click.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def run(words: tuple[str, ...]) -> int:
    """Run a script or module, unedited, with everyspan recording its LLM calls.

    `everyspan.cli.main` sends `run` to `everyspan.run` before click is imported; this is the same, from inside.
    """
    from everyspan.run import main

    return main(list(words))


@click.command()
def version() -> None:
    """Print the version."""
    click.echo(f"everyspan {__version__}")
