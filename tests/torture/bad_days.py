"""Lives of a log in which one system call fails, and whether the account is exact afterwards. Run as a program.

    python -m tests.torture.bad_days DIRECTORY libc|python [all]

prints one line of JSON. All within one process: a life takes milliseconds, and starting Python a tenth of a second.
"""

from __future__ import annotations

import errno
import itertools
import json
import logging
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from everyspan.errors import EveryspanError, SpoolError
from everyspan.settings import Fsync
from everyspan.spool import Backlog, Kept, Log, adopt, keeper, writer
from everyspan.wire.decode import identify, unwrap
from everyspan.wire.frame import Kind
from tests.spool_frames import Found, frames_of, open_log
from tests.torture.calls import begin, end
from tests.torture.faults import CALLS, ERRORS, SHORT, Faults, InLibc, InPython

_CALLS = 12
_GIVE_UP_AFTER = 5
_MOST_BATCHES = 200


@dataclass(slots=True)
class Life:
    """What was said on a bad day, and what arrived."""

    kept: dict[int, Kept] = field(default_factory=dict)
    """By number of the SPAN frame."""
    begun: dict[int, int] = field(default_factory=dict)
    """Numbers of START frames that are on disk, and the calls that they began."""
    ended: dict[int, int] = field(default_factory=dict)
    """The same of SPAN frames, wherever they are."""
    appends: int = 0
    arrived: list[Found] = field(default_factory=list)
    aside: list[Found] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    """What the sender would have met: counted there, and tried again."""
    wrong: list[str] = field(default_factory=list)


def steps() -> Callable[[], float]:
    """A clock on which a log that looks again after 50 ms does so at about its second append."""
    return itertools.count(1, 0.03).__next__


def live(root: Path, faults: Faults, *, level: Fsync, lasting: bool) -> tuple[Life, Log]:
    """Calls, deliveries and a refusal; then the end of the process and a successor."""
    life, log = Life(), open_log(root, fsync=level, segment_bytes=3500)
    for number in range(_CALLS):
        append(life, log, Kind.START, number)
        if number % 5 != 4:
            append(life, log, Kind.SPAN, number)
        if number % 4 == 3:
            guarded(life, partial(deliver_own, life, log, refuse_one=number == 7))
    try:
        log.sync()
    except SpoolError as error:
        life.failures[type(error).__name__] += 1
    if lasting:
        faults.disarm()
    log.close()
    for _ in range(_GIVE_UP_AFTER):
        guarded(life, partial(succeed, life, root))
    return life, log


def append(life: Life, log: Log, kind: Kind, number: int) -> None:
    """What the caller sees: an answer, and nothing else."""
    try:
        kept = begin(log, number) if kind is Kind.START else end(log, number, text="x" * 300)
    except Exception as error:  # noqa: BLE001
        life.wrong.append(f"append raised {error!r}")
        return
    seq = log.counts().last_seq
    life.appends += kind is Kind.SPAN
    if kind is Kind.SPAN:
        life.kept[seq], life.ended[number] = kept, seq
    elif kept is Kept.DISK:
        life.begun[seq] = number


def guarded(life: Life, work: Callable[[], None]) -> None:
    """As a lane of the sender guards its own work."""
    try:
        work()
    except (OSError, EveryspanError) as error:
        life.failures[type(error).__name__] += 1
    except Exception as error:  # noqa: BLE001
        life.wrong.append(f"the read side raised {error!r}")


def deliver(life: Life, backlog: Backlog | None, *, refuse_one: bool = False) -> None:
    """The destination takes everything, but for one frame that it refuses."""
    for _ in range(_MOST_BATCHES):
        batch = backlog.peek(limit_bytes=1200) if backlog is not None else None
        if backlog is None or batch is None:
            return
        parts = [batch]
        while parts:
            part = parts.pop()
            if not (refuse_one and part.spans):
                life.arrived += frames_of(part.body)
                backlog.ack(part)
            elif part.frames > 1:
                parts += reversed(part.split())
            else:
                backlog.set_aside(part, reason="400")
                life.aside += frames_of(part.body)
                refuse_one = False
    life.wrong.append("a backlog has no end")


def deliver_own(life: Life, log: Log, *, refuse_one: bool) -> None:
    """What the sender does meanwhile."""
    deliver(life, log.backlog(), refuse_one=refuse_one)


def succeed(life: Life, root: Path) -> None:
    """What the next process does."""
    for backlog in adopt(root, living=None):
        deliver(life, backlog)
        backlog.finish()


def account(life: Life, log: Log) -> list[str]:
    """What is not as it should be, in words."""
    counts, wrong = log.counts(), list(life.wrong)
    dropped = sum(counts.dropped.values())
    if counts.spans != life.appends or counts.spans != counts.on_disk + dropped or counts.in_memory:
        wrong.append(f"{life.appends} appended: {counts}")
    told = set(told_dropped(life.arrived))
    spans: dict[int, bool] = {}
    for frame in (*life.arrived, *life.aside):
        if frame.kind == Kind.SPAN and frame.seq not in told:
            found = identify(frame.payload)
            if found.stamp is None or found.stamp.seq != frame.seq:
                wrong.append(f"{frame.seq} carries {found.stamp}")
            spans[frame.seq] = b"interrupted" in frame.payload
    # One that was refused while no disk took it is nowhere, and is told as dropped.
    arrived = {frame.seq for frame in life.arrived} | {frame.seq for frame in life.aside} - told
    arrived.discard(0)
    complete = {seq for seq, interrupted in spans.items() if not interrupted}
    if len(complete) != counts.on_disk:
        wrong.append(f"{len(complete)} spans arrived and {counts.on_disk} were counted on disk")
    if arrived | told != set(range(1, counts.last_seq + 1)):
        wrong.append(f"unexplained: {set(range(1, counts.last_seq + 1)) - arrived - told}")
    if arrived & told:
        wrong.append(f"told as dropped, and there: {arrived & told}")
    kept = {seq for seq, where in life.kept.items() if where is Kept.DISK}
    wrong += [f"{seq} was kept and did not arrive" for seq in kept - complete]
    for seq, number in life.begun.items():
        end_seq = life.ended.get(number, 0)
        if spans.get(seq, False) is not (end_seq not in complete):
            wrong.append(f"call {number}, which began as {seq}, is not one span")
    return wrong


def told_dropped(frames: list[Found]) -> Iterator[int]:
    """Every number that a DROP frame names."""
    for frame in frames:
        if frame.kind == Kind.DROP:
            for first, last in json.loads(unwrap(frame.payload))["ranges"]:
                yield from range(first, last + 1)


def days(*, all_of_them: bool) -> Iterator[tuple[Fsync, str, int, bool]]:
    """Every kind of bad day."""
    for call in CALLS:
        for at, number in enumerate(ERRORS[call]):
            for lasting in (False, True):
                level = Fsync.ALWAYS if call in ("fsync", "fdatasync") else Fsync.NONE
                if lasting and number == errno.EINTR:
                    continue  # nobody is interrupted for ever
                if all_of_them or at < 2 or number in (SHORT, errno.EMFILE):
                    yield level, call, number, lasting


def main(below: Path, how: str, *, all_of_them: bool) -> None:
    """Live through all of them; print the sums."""
    logging.disable(logging.CRITICAL)  # that a directory can not be adopted is said each time
    faults: Faults = InLibc(below) if how == "libc" else InPython(below)
    lives = fired = spans = interrupted = dropped = copies = 0
    failures: Counter[str] = Counter()
    wrong: list[str] = []
    for level, call, number, lasting in days(all_of_them=all_of_them):
        for nth in itertools.count(1):
            keeper.monotonic_s = writer.monotonic_s = steps()  # type: ignore[attr-defined]
            root = below / "root"
            faults.arm(call, nth=nth, number=number, lasting=lasting)
            life, log = live(root, faults, level=level, lasting=lasting)
            hits = faults.disarm()
            succeed(life, root)
            succeed(life, root)
            found = account(life, log)
            name = f"{call} {nth} {errno.errorcode.get(number, 'short')}{' and on' * lasting}"
            wrong += [f"{name}: {each}" for each in found]
            lives, fired = lives + 1, fired + hits
            failures += life.failures
            numbers = [frame.seq for frame in life.arrived if frame.kind == Kind.SPAN]
            copies += len(numbers) - len(set(numbers))
            spans += log.counts().on_disk
            dropped += sum(log.counts().dropped.values())
            interrupted += len(life.begun) - len(life.ended)
            shutil.rmtree(root, ignore_errors=True)
            if not hits:
                break
    print(
        json.dumps(
            {
                "lives": lives,
                "fired": fired,
                "spans": spans,
                "interrupted": interrupted,
                "dropped": dropped,
                "copies": copies,
                "failures": failures.total(),
                "wrong": wrong,
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], all_of_them="all" in sys.argv[3:])
