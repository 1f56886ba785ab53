"""The same batch without Langfuse: everyspan's own decorator around calls that litellm makes.

    everyspan serve &
    python examples/observe.py --calls 3

`everyspan.init()` instruments litellm; `@everyspan.observe` gives the calls their parent. Every call below it is one
span with its cost, whether the program returns, exits or is killed after the last answer.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys

import litellm

import everyspan

MODEL = os.environ.get("REPORT_MODEL", "anthropic/claude-haiku-4-5")


async def classify(number: int, batch: str) -> str:
    """One call."""
    prompt = f"[{batch} mail {number}] Is this e-mail work, personal or spam?"
    response = await litellm.acompletion(
        model=MODEL, max_tokens=64, messages=[{"role": "user", "content": prompt}]
    )
    return str(response.choices[0].message.content)


@everyspan.observe
async def batch_operation(calls: int, batch: str) -> list[str]:
    """The traced unit of work."""
    return await asyncio.gather(*(classify(number, batch) for number in range(calls)))


def main() -> int:
    """Run one batch and leave as asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=3)
    parser.add_argument("--exit", choices=["return", "_exit", "sigkill"], default="return", dest="how")
    parser.add_argument("--batch", default="batch", help="a name that goes into every prompt")
    options = parser.parse_args()

    everyspan.init()
    answers = asyncio.run(batch_operation(options.calls, options.batch))
    print(f"{len(answers)} e-mails classified", flush=True)
    if options.how == "_exit":
        os._exit(0)
    if options.how == "sigkill":
        os.kill(os.getpid(), signal.SIGKILL)
    return 0


if __name__ == "__main__":
    sys.exit(main())
