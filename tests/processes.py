"""Programs in processes of their own that end in every possible way, and the account of what arrived of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from everyspan.model.destination import Destination
from everyspan.model.receipt import Receipt
from everyspan.sender.drain import drain
from everyspan.testing.sink import Sink
from everyspan.wire.frame import Kind, walk
from tests.programs import clean_environment

EVERYSPAN = [str(Path(sys.executable).with_name("everyspan")), "run"]


class Program:
    """A process that delivers to `sink`; as a context manager it is killed if it still lives at the end.

    Its standard output is ours to read, so that it can say how far it is.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        spool: Path,
        sink: Sink,
        environment: Mapping[str, str] | None = None,
        stdin: int | None = subprocess.DEVNULL,
    ) -> None:
        told = {"EVERYSPAN_ENDPOINT": sink.url, "PYTHONUNBUFFERED": "1", **(environment or {})}
        self.process = subprocess.Popen(
            [str(word) for word in command],
            env={**clean_environment(spool), **told},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        if self.process.stdout is not None and not self.process.stdout.closed:
            self.process.communicate()

    def wait_for(self, word: str) -> None:
        """Read lines until one says `word`; fails with what was on standard error when the process ends first."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == word:
                return
        raise AssertionError(f"{word!r} was never said: {self.process.communicate()[1]}")

    def freeze(self) -> None:
        """Stop it, as a laptop's lid or AWS Lambda does; returns when it stands still."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def end(self, number: int | None = None, *, within_s: float = 20) -> int:
        """Its exit status (negative for a signal), after a signal if one is given."""
        if number is not None:
            self.process.send_signal(number)
        self.said, self.complaints = self.process.communicate(timeout=within_s)
        return self.process.returncode


def python(code: str) -> list[str]:
    """The command that runs `code`."""
    return [sys.executable, "-c", code]


def deliver_the_rest(sink: Sink, spool: Path) -> Receipt:
    """What the next process, or `everyspan drain`, does with what was left behind."""
    return drain(spool, [Destination(sink.url)], timeout_s=10)


def parents(sink: Sink) -> dict[str, str]:
    """Name of each span → name of its parent, empty for a root, an id when the parent did not arrive.

    Fails when a span was recorded twice. A copy with the same stamp is none: a process that dies before the answer to
    a POST leaves it to the next one to send the same again, and the collector keeps one of them.
    """
    spans = {span.stamp: span for span in sink.spans}.values()
    twice = [name for name, count in Counter(span.name for span in spans).items() if count > 1]
    assert not twice, f"recorded more than once: {twice[:10]}"
    names = {span.span_id: span.name for span in spans}
    return {span.name: names.get(span.parent_id, span.parent_id) for span in spans}


def missing_numbers(sink: Sink) -> dict[str, list[int]]:
    """Numbers that each writer gave out and that never came; the sink has to speak everyspan, or none came at all."""
    numbers: dict[str, set[int]] = defaultdict(set)
    for request in sink.requests:
        if request.status == 200:
            writer = request.headers["everyspan-writer"]
            numbers[writer] |= {
                frame.seq for frame in walk(request.body) if frame.kind in (Kind.START, Kind.SPAN)
            }
    missing = {
        writer: sorted(set(range(1, max(seen) + 1)) - seen) for writer, seen in numbers.items() if seen
    }
    return {writer: gaps for writer, gaps in missing.items() if gaps}
