"""`everyspan demo`: the bug report's program, first as it is, then under `everyspan run`, and the books of both.

Starts a fake provider that keeps a ledger of what it answered, and a collector with an empty store. Every run sends to
that collector: without everyspan through litellm's callback and Langfuse's SDK, with it through the spool. What the
collector stored is then compared with what the provider answered, call by call and cent by cent.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack

import click

from everyspan.cli.ask import Collector
from everyspan.cli.demo_check import Finding, check
from everyspan.cli.demo_collector import CollectorProcess
from everyspan.cli.demo_lanes import ColdLane, Ended, Lanes, WarmLane
from everyspan.cli.demo_plan import Side, Stage, scenarios
from everyspan.cli.demo_show import Progress, show
from everyspan.cli.terminal import one_line
from everyspan.errors import CommandError
from everyspan.testing.ledger import Bill, read_ledger
from everyspan.testing.provider import ProviderProcess
from everyspan.testing.provider.limits import raise_open_files_limit

NOT_WHOLE = 1
"""Exit code: a run with everyspan has lost, doubled or mispriced a call, or the audit is not complete."""

_LANES = 2
_SETTLE_S = 30.0
_INTRODUCTION = {
    Side.WITHOUT: "Without everyspan: litellm's langfuse_otel callback and Langfuse's SDK, as they are installed",
    Side.WITH: "With everyspan: the same program, unedited, started by `everyspan run`",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the user asked for."""

    sizes: tuple[int, ...]
    burst: int
    cold: bool
    keep: bool
    port: int
    script: Path
    live: dict[str, str]


class Given(TypedDict):
    """The options as they were typed."""

    sizes: tuple[int, ...]
    burst: int | None
    cold: bool
    keep: bool
    port: int
    live: bool
    anthropic_key: str | None
    openai_key: str | None
    script: Path | None


@click.command()
@click.option(
    "--calls", "sizes", type=click.IntRange(1), multiple=True, help="Calls in each row. [default: 3 and 50]"
)
@click.option("--burst", type=click.IntRange(0), help="Calls in the big gather; 0 for none. [default: 5000]")
@click.option(
    "--cold", is_flag=True, help="Start a new Python for every run instead of forking a warm one. Slow."
)
@click.option("--keep", is_flag=True, help="Leave the collector and its page running until Ctrl-C.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="For the collector. [default: a free one]"
)
@click.option(
    "--live",
    is_flag=True,
    help="Ask the real provider, with ANTHROPIC_API_KEY or OPENAI_API_KEY. Costs money.",
)
@click.option("--anthropic-key", envvar="ANTHROPIC_API_KEY", hidden=True)
@click.option("--openai-key", envvar="OPENAI_API_KEY", hidden=True)
@click.option(
    "--script",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Another program than examples/report.py.",
)
def demo(**given: Unpack[Given]) -> int:
    """Run the report's program without and with everyspan, and compare both with the provider's books.

    Ends with 0 only when every run with everyspan has every call exactly once, below its parent, at its exact cost,
    and the audit says that nothing is missing.
    """
    wish = _wish(given)
    _require("litellm", "langfuse")
    raise_open_files_limit()
    with ExitStack() as open_things:
        folder = Path(open_things.enter_context(_folder()))
        return _run(wish, folder, open_things)


def _wish(given: Given) -> Wish:
    """The defaults filled in: against a real provider fewer calls, because they cost money."""
    live = given["live"]
    burst = given["burst"]
    return Wish(
        sizes=given["sizes"] or ((3,) if live else (3, 50)),
        burst=burst if burst is not None else (0 if live else 5000),
        cold=given["cold"],
        keep=given["keep"],
        port=given["port"],
        script=(given["script"] or _report()).resolve(),
        live=_live_variables(given["anthropic_key"], given["openai_key"]) if live else {},
    )


def _run(wish: Wish, folder: Path, open_things: ExitStack) -> int:
    begun_s = time.monotonic()
    ledger_path = folder / "ledger.jsonl"
    provider_url = ""
    if not wish.live:
        provider_url = open_things.enter_context(ProviderProcess(ledger_path=ledger_path)).url
    server = open_things.enter_context(CollectorProcess(folder / "data", port=wish.port))
    stage = Stage(
        script=wish.script,
        folder=folder,
        collector_url=server.url,
        provider_url=provider_url,
        live=wish.live,
    )
    lanes = open_things.enter_context(_lanes(stage, wish))
    show_run = _Comparison(stage, lanes, None if wish.live else lambda: read_ledger(ledger_path))
    show_run.side(Side.WITHOUT, wish)
    findings = show_run.side(Side.WITH, wish)
    click.echo(f"The audit: {one_line(show_run.sentence(), width=300)}")
    click.echo("(Spans without a stamp are those of the first table: other senders do not number theirs.)")
    whole = all(one.whole for one in findings) and show_run.complete()
    click.echo(_conclusion(findings, whole) + f" Took {time.monotonic() - begun_s:.0f} s.\n")
    if wish.keep:
        _wait(server.url)
    else:
        click.echo(f"The page was at {server.url}; `everyspan demo --keep` leaves it there to look at.")
        click.echo("Everything the demo started is stopped, and its data removed.")
    return 0 if whole else NOT_WHOLE


class _Comparison:
    """Runs one side after the other and compares what is stored with the books."""

    def __init__(self, stage: Stage, lanes: Lanes, books: Callable[[], Bill] | None) -> None:
        self._stage = stage
        self._lanes = lanes
        self._books = books
        self._collector = Collector(url=stage.collector_url)

    def side(self, side: Side, wish: Wish) -> list[Finding]:
        """Run all scenarios of a side and print their table."""
        plan = list(scenarios(side, wish.sizes, wish.burst))
        click.echo(f"\n{_INTRODUCTION[side]}")
        with Progress(side.value, len(plan)) as progress:
            ended = self._lanes.run(plan, on_end=progress.step)
        if side is Side.WITH:
            self._drain()
        self._settle()
        findings = self._findings(ended)
        click.echo()
        show(findings, side)
        self._tell_of_failures(findings)
        return findings

    def complete(self) -> bool:
        """The audit of everything that is stored."""
        return bool(self._collector.ask("completeness")["verdict"] == "complete")

    def sentence(self) -> str:
        """The same in words."""
        return str(self._collector.ask("completeness")["sentence"])

    def _findings(self, ended: Sequence[Ended]) -> list[Finding]:
        books = self._books() if self._books is not None else None
        return [
            check(
                one,
                collector=self._collector,
                parents=self._stage.parents_path(one.scenario),
                bill=books.of(one.scenario.api_key) if books is not None else None,
            )
            for one in ended
        ]

    def _drain(self) -> None:
        """Deliver what killed runs left, as their user would: nobody else would come by here."""
        click.echo("\n$ everyspan drain      # what the killed processes left in the spool")
        command = [sys.executable, "-m", "everyspan.cli.main", "drain"]
        subprocess.run(command, env=self._stage.environment(), stdin=subprocess.DEVNULL, check=False)

    def _settle(self) -> None:
        """Wait until the collector has moved everything it acknowledged into its store."""
        give_up_s = time.monotonic() + _SETTLE_S
        while self._collector.ask("health")["inbox_pending"]:
            if time.monotonic() > give_up_s:
                raise CommandError(f"the collector has not stored everything after {_SETTLE_S:.0f} s")
            time.sleep(0.05)

    def _tell_of_failures(self, findings: Sequence[Finding]) -> None:
        for one in findings:
            if not one.left_as_told:
                log = self._stage.log_path(one.scenario)
                last = log.read_text(errors="replace").splitlines()[-3:] if log.exists() else []
                click.echo(
                    f"{one.scenario.name} ended with {one.ended.exit_code}: {one_line(' | '.join(last), width=400)}"
                )


@contextmanager
def _lanes(stage: Stage, wish: Wish) -> Iterator[Lanes]:
    if wish.cold:
        click.echo("Every run is a Python of its own (--cold).")
        with Lanes(ColdLane(stage) for _ in range(_LANES)) as lanes:
            yield lanes
        return
    click.echo(
        "Importing litellm and langfuse once; every run is forked from there (--cold starts each from scratch)."
    )
    warm = [WarmLane(stage) for _ in range(_LANES)]
    with Lanes(warm) as lanes:
        seconds = max(lane.wait_until_warm() for lane in warm)
        click.echo(f"  imported in {seconds:.1f} s")
        yield lanes


@contextmanager
def _folder() -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="everyspan-demo-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _conclusion(findings: Sequence[Finding], whole: bool) -> str:
    rows = sum(one.whole for one in findings)
    calls = sum(one.calls for one in findings)
    if whole:
        return f"With everyspan {rows} of {len(findings)} rows are whole: {calls} calls, {calls} spans, to the cent."
    return f"With everyspan only {rows} of {len(findings)} rows are whole. That is a bug; please report it."


def _wait(url: str) -> None:
    click.echo(f"Look at it: {url}/      stop it: Ctrl-C")
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        click.echo("\nStopped.")


def _live_variables(anthropic_key: str | None, openai_key: str | None) -> dict[str, str]:
    if anthropic_key:
        return {"ANTHROPIC_API_KEY": anthropic_key, "REPORT_MODEL": "anthropic/claude-haiku-4-5"}
    if openai_key:
        return {"OPENAI_API_KEY": openai_key, "REPORT_MODEL": "openai/gpt-4o-mini"}
    raise click.UsageError("--live needs ANTHROPIC_API_KEY or OPENAI_API_KEY in the environment.")


def _require(*packages: str) -> None:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise CommandError(f"the demo drives the real libraries; not installed: {', '.join(missing)}")


def _report() -> Path:
    """The program: in a checkout under examples, in an installation beside this file."""
    for path in (
        Path(__file__).parents[3] / "examples" / "report.py",
        Path(__file__).with_name("demo_report.py"),
    ):
        if path.exists():
            return path
    raise CommandError("examples/report.py is not in this installation; name the program with --script")


if __name__ == "__main__":
    sys.exit(demo.main(standalone_mode=False) or 0)
