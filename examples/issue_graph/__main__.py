"""`python -m examples.issue_graph SOURCE`: the report of an issue, from GitHub or from a folder of saved answers."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import everyspan
from everyspan.errors import AnswerError, EveryspanError
from everyspan.reading.client import TraceView
from examples.issue_graph.github import Api, Folder, GitHubError, Source
from examples.issue_graph.graph import Graph, read_graph
from examples.issue_graph.links import Ref, mentions, ref_of_page
from examples.issue_graph.report import Making, render
from examples.issue_graph.summaries import Summaries, Summarizer

MODEL = "anthropic/claude-haiku-4-5"
_SETTLE_S = 15.0
"""How long the collector may take to store what it acknowledged."""
_NOBODY = Ref("", 0)


def main(arguments: list[str] | None = None) -> int:
    """Write the report; 0 when it is whole, 1 when there is none, 3 when summaries failed."""
    options = _parser().parse_args(arguments)
    everyspan.init(options.collector)
    try:
        with _provider(offline=options.offline):
            return asyncio.run(_report(options))
    except GitHubError as error:
        print(f"issue_graph: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="issue_graph", description="The report of a GitHub issue.")
    parser.add_argument(
        "source", help="an issue's URL, owner/name#number, or a folder that --save has filled"
    )
    parser.add_argument("--output", type=Path, help="the report's file; standard output without it")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="keep GitHub's answers there")
    parser.add_argument(
        "--depth", type=int, default=1, help="2: also what linked items mention, and so on (1)"
    )
    parser.add_argument("--limit", type=int, default=40, help="most linked items (40)")
    parser.add_argument(
        "--model", default=os.environ.get("ISSUE_MODEL", MODEL), help=f"as litellm names it ({MODEL})"
    )
    parser.add_argument(
        "--offline", action="store_true", help="a fake provider on this machine answers for the model"
    )
    parser.add_argument("--collector", metavar="URL", help="EVERYSPAN_ENDPOINT, else http://127.0.0.1:4319")
    return parser


async def _report(options: argparse.Namespace) -> int:
    began = time.monotonic()
    with everyspan.span("issue report", attributes={"issue.source": options.source}) as span:
        trace_id = f"{span.get_span_context().trace_id:032x}"
        async with _source(options) as (source, start):
            graph = await read_graph(source, start, depth=options.depth, limit=options.limit)
        made = await Summarizer(options.model).summarize(graph)
    making = await _making(options, made, trace_id, time.monotonic() - began)
    _write(options.output, render(graph, made, making), graph, making)
    return 3 if made.failed else 0


@asynccontextmanager
async def _source(options: argparse.Namespace) -> AsyncIterator[tuple[Source, Ref]]:
    """Where answers come from, and which issue is meant."""
    folder = Path(options.source)
    if folder.is_dir():
        saved = Folder(folder)
        yield saved, _only(saved, folder)
        return
    start = ref_of_page(options.source)
    if start is None:
        named = mentions(options.source, home=_NOBODY)
        if len(named) != 1 or not named[0].ref.repository:
            raise GitHubError(
                f"{options.source!r} is neither an issue's URL, nor owner/name#number, nor a folder"
            )
        start = named[0].ref
    keep_in = Folder(options.save) if options.save else None
    async with Api(token=os.environ.get("GITHUB_TOKEN", ""), keep_in=keep_in) as api:
        yield api, start


def _only(saved: Folder, folder: Path) -> Ref:
    paths = saved.issues()
    if len(paths) != 1:
        found = ", ".join(paths) or "none"
        raise GitHubError(
            f"{folder} should hold the comments of one issue, as repos/OWNER/NAME/issues/NUMBER/comments.json; "
            f"it holds: {found}"
        )
    _, owner, name, _, number = paths[0].split("/")
    return Ref(f"{owner}/{name}".lower(), int(number))


async def _making(options: argparse.Namespace, made: Summaries, trace_id: str, took_s: float) -> Making:
    """The bill, asked of the collector: it is what has been stored, and no estimate of ours."""
    receipt = await everyspan.aflush()
    known = Making(model=options.model, calls=made.calls, took_s=took_s, trace_id=trace_id)
    try:
        view = await _stored(everyspan.Client(options.collector), trace_id, spans=receipt.recorded)
    except EveryspanError as error:
        note = f"The cost is not known yet: {error}. What is not delivered waits on disk: {receipt.counts}."
        return replace(known, note=note)
    summary = view.summary
    return replace(
        known,
        calls=summary.calls,
        cost=summary.cost,
        input_tokens=summary.input_tokens,
        output_tokens=summary.output_tokens,
        link=view.link,
        note="" if receipt.complete else f"Not all of the trace has arrived: {receipt.counts}.",
    )


async def _stored(client: everyspan.Client, trace_id: str, *, spans: int) -> TraceView:
    """The trace as soon as it has so many spans: what is acknowledged is stored a moment later."""
    deadline = time.monotonic() + _SETTLE_S
    while True:
        try:
            view = await asyncio.to_thread(client.trace, trace_id)
            if view.summary.spans >= spans or time.monotonic() > deadline:
                return view
        except AnswerError as error:
            if not error.reached or time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.1)


@contextmanager
def _provider(*, offline: bool) -> Iterator[None]:
    """With `offline`, a fake provider that answers for Anthropic and OpenAI with words of no meaning."""
    if not offline:
        yield
        return
    from everyspan.testing import FakeProvider

    with FakeProvider() as provider:
        os.environ.update(
            ANTHROPIC_BASE_URL=provider.url,
            ANTHROPIC_API_KEY="offline",
            OPENAI_BASE_URL=provider.openai_url,
            OPENAI_API_KEY="offline",
        )
        yield


def _write(output: Path | None, report: str, graph: Graph, making: Making) -> None:
    if output is None:
        print(report, end="")
        return
    output.write_text(report, encoding="utf-8")
    cost = "cost not known" if making.cost is None else f"${making.cost:f}"
    print(
        f"{output}: {len(graph.linked)} linked items, {making.calls} calls, {cost}, {making.link or making.trace_id}"
    )


if __name__ == "__main__":
    sys.exit(main())
