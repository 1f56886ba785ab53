"""Options that questions share: whom to ask, and which traces or calls are meant."""

from __future__ import annotations

import functools
import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from everyspan.cli.ask import Answer, find

Command = Callable[..., Any]

_SECONDS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)")


class Moment(click.ParamType[int]):
    """A point in time as nanoseconds: `2h` or `7d` ago, or a date with or without a time, in UTC unless it says."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See `click.ParamType.convert`."""
        if isinstance(value, int):
            return value
        ago = _AGO.fullmatch(value.strip())
        if ago:
            return time.time_ns() - int(float(ago[1]) * _SECONDS[ago[2]] * 1_000_000_000)
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time; say 2h, 7d, 2026-11-22 or 2026-11-22T14:30", param, ctx)
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()) * 1_000_000_000


class Length(click.ParamType[int]):
    """A length of time as nanoseconds: `500ms`, `2s`, `1min`."""

    name = "length"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See `click.ParamType.convert`."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h)", value.strip())
        if not found:
            self.fail(f"{value!r} is no length of time; say 500ms, 2s or 1min", param, ctx)
        return int(float(found[1]) * (_SECONDS[found[2]] if found[2] != "ms" else 0.001) * 1_000_000_000)


def asking(command: Command) -> Command:
    """Give `command` the options that every question has; it gets `collector` and `as_json`."""

    @click.option("--url", help="The collector. Default: EVERYSPAN_ENDPOINT, else http://127.0.0.1:4319.")
    @click.option("--api-key", help="Its key. Default: EVERYSPAN_API_KEY.")
    @click.option("--json", "as_json", is_flag=True, help="Print the API's answer as it is.")
    @functools.wraps(command)
    def asked(*context: click.Context, url: str | None, api_key: str | None, **options: Any) -> Any:
        return command(*context, collector=find(url, api_key), **options)

    return asked


_PERIOD = (
    click.option("--since", "since_ns", type=Moment(), help="Started then or later: 2h, 7d, or a date."),
    click.option("--until", "until_ns", type=Moment(), help="Started before: 2h, 7d, or a date."),
)
_WHOSE = (
    click.option("--project", help="Only this project."),
    click.option("--service", help="Only this service."),
    click.option("--model", help="Only this model."),
    click.option("--provider", help="Only this provider."),
    click.option("--user", help="Only this user."),
    click.option("--session", help="Only this session."),
    click.option("--tag", help="Only with this tag."),
    click.option("--environment", help="Only this environment."),
)
_KEY_ID = click.option("--key-id", help="Only what came with this key, by its public part.")
_TRACES = (
    click.option("--name", help="Only traces of this name."),
    click.option("--text", help="Only traces with these words in one input or output."),
    click.option("--errors", is_flag=True, default=None, help="Only traces with an error."),
    click.option("--min-cost", metavar="DOLLARS", help="Only traces that cost at least this."),
    click.option("--max-cost", metavar="DOLLARS", help="Only traces that cost at most this."),
    click.option(
        "--slower", "min_duration_ns", type=Length(), help="Only traces that took longer: 500ms, 2s."
    ),
    click.option("--faster", "max_duration_ns", type=Length(), help="Only traces that took no longer."),
)


_PRICES = click.option(
    "--prices",
    type=click.Choice(["recorded", "latest"]),
    default="recorded",
    show_default=True,
    help="The costs that were recorded, or those of `everyspan reprice` where there are any.",
)


def at_prices(command: Command) -> Command:
    """Give `command` the choice of costs; it gets `prices`, or finds it in `wanted` when it has filters."""
    return _PRICES(command)


def narrowing_calls(command: Command) -> Command:
    """Give `command` the filters of calls; it gets `wanted`, the API's parameters."""
    return _gathered(command, (*_PERIOD, *_WHOSE, _KEY_ID))


def narrowing_traces(command: Command) -> Command:
    """Give `command` the filters of traces; it gets `wanted`, the API's parameters."""
    return _gathered(command, (*_PERIOD, *_WHOSE, *_TRACES))


_FILTERS = (
    "since_ns",
    "until_ns",
    "project",
    "service",
    "model",
    "provider",
    "user",
    "session",
    "tag",
    "environment",
    "key_id",
    "name",
    "text",
    "errors",
    "min_cost",
    "max_cost",
    "min_duration_ns",
    "max_duration_ns",
    "prices",
)


def _gathered(command: Command, options: tuple[Callable[[Command], Command], ...]) -> Command:
    @functools.wraps(command)
    def gathered(*context: click.Context, **said: Any) -> Any:
        wanted = {name: said.pop(name) for name in _FILTERS if name in said}
        return command(*context, wanted=wanted, **said)

    narrowed: Command = gathered
    for option in reversed(options):
        narrowed = option(narrowed)
    return narrowed


def print_json(answer: Answer, *, indent: int | None = 2) -> None:
    """The API's answer, in ASCII: everything that could steer a terminal stays escaped."""
    click.echo(json.dumps(answer, indent=indent, ensure_ascii=True))
