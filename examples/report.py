"""A batch of LLM calls, watched by Langfuse: the program of a bug report.

In BerriAI/litellm issue 26376 (April 2026) somebody classifies e-mails: `litellm.acompletion` for each, all of them
under `asyncio.gather`, Langfuse's `@observe` around the batch, and litellm's `langfuse_otel` callback for the calls.
One call after the other arrives in Langfuse. Gathered, one in three does not, and the cost is wrong.

This is such a program, in the variants that the report tried:

    python examples/report.py --row gather --calls 3
    python examples/report.py --row threads --calls 50 --exit sigkill

It needs litellm, langfuse, LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY, LANGFUSE_BASE_URL and ANTHROPIC_API_KEY;
ANTHROPIC_BASE_URL points it at another server than Anthropic's. Nothing in it knows who is watching.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import litellm
from langfuse import get_client, observe
from opentelemetry import trace

MODEL = os.environ.get("REPORT_MODEL", "anthropic/claude-haiku-4-5")
SUBJECTS = (
    "invoice overdue",
    "team lunch on Friday",
    "you have won",
    "build failed on main",
    "holiday request",
)

# As the report has it: without this variable the callback makes no span of its own when there is a parent.
os.environ.setdefault("USE_OTEL_LITELLM_REQUEST_SPAN", "true")
litellm.success_callback = ["langfuse_otel"]
litellm.failure_callback = ["langfuse_otel"]


def request(number: int, batch: str) -> dict[str, Any]:
    """What is asked about one e-mail; no two are alike."""
    subject = SUBJECTS[number % len(SUBJECTS)]
    prompt = f"[{batch} mail {number}] Is this e-mail work, personal or spam? Subject: {subject}"
    return {"model": MODEL, "max_tokens": 64, "messages": [{"role": "user", "content": prompt}]}


async def classify(number: int, batch: str) -> str:
    """One call."""
    response = await litellm.acompletion(**request(number, batch))
    return str(response.choices[0].message.content)


async def classify_below(parent: trace.Span, number: int, batch: str) -> str:
    """One call that is told its parent, in the way litellm offers for it."""
    response = await litellm.acompletion(
        **request(number, batch), metadata={"litellm_parent_otel_span": parent}
    )
    return str(response.choices[0].message.content)


async def classify_and_flush(number: int, batch: str) -> str:
    """One call, and a flush right after it."""
    answer = await classify(number, batch)
    get_client().flush()
    return answer


def classify_in_thread(number: int, batch: str) -> str:
    """One call without asyncio."""
    response = litellm.completion(**request(number, batch))
    return str(response.choices[0].message.content)


async def sequential(calls: int, batch: str) -> list[str]:
    """One after the other."""
    return [await classify(number, batch) for number in range(calls)]


async def gather(calls: int, batch: str) -> list[str]:
    """All at once."""
    return await asyncio.gather(*(classify(number, batch) for number in range(calls)))


async def gather_with_parent(calls: int, batch: str) -> list[str]:
    """All at once, each told whose child it is."""
    parent = trace.get_current_span()
    return await asyncio.gather(*(classify_below(parent, number, batch) for number in range(calls)))


async def gather_with_flushes(calls: int, batch: str) -> list[str]:
    """All at once, with a flush after every call."""
    return await asyncio.gather(*(classify_and_flush(number, batch) for number in range(calls)))


async def in_threads(calls: int, batch: str) -> list[str]:
    """A pool of threads, the report's work-around. It blocks the loop, which has nothing else to do."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(classify_in_thread, range(calls), [batch] * calls))


Row = Callable[[int, str], Awaitable[list[str]]]
ROWS: dict[str, Row] = {
    "sequential": sequential,
    "gather": gather,
    "gather-parent": gather_with_parent,
    "gather-flush": gather_with_flushes,
    "gather-no-flush": gather,
    "threads": in_threads,
}


@observe(name="batch_operation")  # type: ignore[untyped-decorator]  # langfuse is not typed for us
async def batch_operation(row: str, calls: int, batch: str, parents: Path | None) -> list[str]:
    """The traced unit of work: every call belongs below this."""
    if parents is not None:
        note_parent(parents)
    return await ROWS[row](calls, batch)


def note_parent(path: Path) -> None:
    """Append whose children the calls are, for whoever checks the traces afterwards."""
    here = trace.get_current_span().get_span_context()
    line = json.dumps(
        {"trace_id": f"{here.trace_id:032x}", "span_id": f"{here.span_id:016x}", "pid": os.getpid()}
    )
    with path.open("a") as file:
        file.write(line + "\n")


def leave(how: str) -> None:
    """End the process at once, or return."""
    sys.stdout.flush()
    if how == "_exit":
        os._exit(0)
    if how == "sigkill":
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> int:
    """Run one batch and leave as asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--row", choices=list(ROWS), default="gather")
    parser.add_argument("--calls", type=int, default=3)
    parser.add_argument("--exit", choices=["return", "_exit", "sigkill"], default="return", dest="how")
    parser.add_argument("--batch", default="batch", help="a name that goes into every prompt")
    parser.add_argument("--parents", type=Path, help="append the batch's trace and span id to this file")
    options = parser.parse_args()

    answers = asyncio.run(batch_operation(options.row, options.calls, options.batch, options.parents))
    print(f"{len(answers)} e-mails classified")
    leave(options.how)
    if options.row != "gather-no-flush":
        get_client().flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
