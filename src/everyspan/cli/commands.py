"""The list of commands, and what becomes of an error. Modules of commands are imported only when they are used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

from everyspan.cli.terminal import printable
from everyspan.errors import AnswerError, CommandError, EveryspanError
from everyspan.version import __version__

REFUSED = 2
"""Exit code: what was asked can not be done as it was asked."""

UNREACHABLE = 3
"""Exit code: the collector did not answer, or what answered is no collector."""

INTERRUPTED = 130
"""Exit code: Ctrl-C, as shells have it."""

COMMANDS = {
    "run": ("running", "Run a script or module, unedited, with everyspan recording its LLM calls."),
    "serve": ("serving", "Run the collector: spans in, traces, costs and the audit out."),
    "keys": ("keys", "Make, list and revoke the keys of a collector."),
    "demo": (
        "demo",
        "Run the report's program without and with everyspan, and compare both with the provider's books.",
    ),
    "traces": ("looking", "List traces, newest first."),
    "trace": ("looking", "Show one trace as a tree, with tokens, cost and how each call ended."),
    "tail": ("tailing", "Follow traces as they arrive, until Ctrl-C."),
    "cost": ("looking", "Add up what calls cost, by model, day, user, ..."),
    "prices": ("prices", "Look into the price table: list, show, diff, check, update."),
    "reprice": ("repricing", "Price recorded calls again; what differs stands beside the recorded costs."),
    "reconcile": (
        "reconciling",
        "Compare recorded calls with the provider's own usage and cost reports, by day and model.",
    ),
    "budget": ("budgeting", "Compare what calls cost with limits of your own."),
    "audit": ("looking", "Is every span here? Answered by writer and number."),
    "export": ("exporting", "Write traces to a file: JSON lines, OTLP, a Chrome trace or Parquet."),
    "import": ("importing", "Send spans from OTLP files to a collector."),
    "spool": ("spooled", "Show what waits on this machine, and for where."),
    "drain": ("delivery", "Deliver what dead processes left in the spool, and say what became of it."),
    "store": ("storing", "Copy, export, back up and delete what a store holds."),
    "doctor": ("doctoring", "Say what would lose spans or double them here, and what to do about it."),
    "version": ("running", "Print the version."),
}
"""Each command: the module of `everyspan.cli` that holds a click command of that name, and one line of help."""


class Lazy(click.Group):
    """Knows every command's name and line of help without importing any of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order of the help page."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now; None when there is none."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"everyspan.cli.{COMMANDS[cmd_name][0]}")
        command = getattr(module, cmd_name, None) or getattr(module, f"{cmd_name}_")
        assert isinstance(command, click.Command), f"{cmd_name} is not a click command"
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="everyspan", message="%(prog)s %(version)s")
def everyspan() -> None:
    """Every LLM call becomes exactly one span, with its parent and its cost, delivered, and provably so."""


def dispatch(words: Sequence[str]) -> int:
    """Run the command that `words` name; the exit code. Errors become one line on stderr.

    Raises:
        ModuleNotFoundError: the command needs a package that is not installed.
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal that can not show a character shows a question mark instead of ending the command.
        getattr(stream, "reconfigure", lambda **_: None)(errors="replace")
    try:
        result = everyspan.main(args=list(words), prog_name="everyspan", standalone_mode=False)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "everyspan"
        return _complain(f"{error.format_message()} See `{where} --help`.", exit_code=REFUSED)
    except click.ClickException as error:
        return _complain(error.format_message(), exit_code=REFUSED)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except CommandError as error:
        return _complain(str(error), exit_code=error.exit_code)
    except AnswerError as error:
        return _complain(str(error), exit_code=REFUSED if error.reached else UNREACHABLE)
    except EveryspanError as error:
        return _complain(str(error), exit_code=REFUSED)
    return result if isinstance(result, int) else 0


def _complain(message: str, *, exit_code: int) -> int:
    click.echo("everyspan: " + " ".join(printable(message).split()), err=True)
    return exit_code
