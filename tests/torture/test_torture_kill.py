"""Writers, and those who deliver for them, killed at random points: what `append` said is kept arrives once."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from everyspan.model.ids import WriterId
from everyspan.spool import adopt
from everyspan.testing.received import decode_spans
from everyspan.wire.decode import identify
from everyspan.wire.frame import NUMBERED, Kind, walk
from tests.torture import doomed
from tests.torture.calls import parent_of, span_id_of
from tests.torture.conftest import Report
from tests.torture.scores import Score

_LOCKS_GO_WITHIN_S = 5.0
_FORKS = multiprocessing.get_context("forkserver")


@dataclass(slots=True)
class Tally:
    """Over all kills."""

    kills: int = 0
    acknowledged: int = 0
    ok: int = 0
    recovered: int = 0
    duplicated: int = 0
    misparented: int = 0
    torn: int = 0
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def killed(what: Callable[..., None], *arguments: Any, after_s: float, **named: Any) -> bytes:
    """What the process and its children said before they were killed; all of them are dead on return."""
    told, tells = _FORKS.Pipe(duplex=False)
    process = _FORKS.Process(target=what, args=(*arguments, tells), kwargs=named, daemon=True)
    process.start()
    tells.close()
    assert process.pid is not None
    os.read(told.fileno(), doomed.TOLD_BYTES)
    time.sleep(after_s)  # the random point
    with contextlib.suppress(ProcessLookupError):  # it had nothing more to do
        os.killpg(process.pid, signal.SIGKILL)
    said = _read_to_end(told)
    process.join()
    process.close()
    told.close()
    return said


def _read_to_end(told: Connection) -> bytes:
    said = []
    while piece := os.read(told.fileno(), 1 << 20):
        said.append(piece)
    return b"".join(said)


def test_whoever_is_killed_and_whenever_every_call_begun_is_one_span(
    quick_disk: Path, report: Report, full: bool
) -> None:
    _FORKS.set_forkserver_preload(["tests.torture.doomed"])
    rng = random.Random()
    tally = Tally()
    until = time.monotonic() + (float("inf") if full else 10)

    def seen() -> bool:
        """Whether everything happened that is to be accounted for; on a busy machine ten seconds are few kills."""
        return min(tally.acknowledged, tally.ok, tally.recovered, tally.duplicated) > 0

    while tally.kills < (10_000 if full else 300) and (
        tally.kills < 30 or time.monotonic() < until or not seen()
    ):
        scene = quick_disk / str(tally.kills)
        scene.mkdir()
        kind = {"forks": tally.kills % 3 == 0, "ships": tally.kills % 2 == 0}
        after_s = rng.uniform(0, 0.08)
        seed = rng.getrandbits(32)
        said = killed(doomed.write, scene / "root", scene / "sink0", after_s=after_s, seed=seed, **kind)
        tally.kills += 1
        for at in range(1, 1 + rng.randrange(3)):
            killed(doomed.recover, scene / "root", scene / f"sink{at}", after_s=rng.uniform(0, 0.02))
            tally.kills += 1
        account(scene, said, tally)

    figures = f"{tally.kills} kills, {tally.acknowledged} kept frames, {tally.torn} torn tails"
    report(
        Score(
            scenario="kill",
            ok=tally.ok,
            lost=len(tally.lost),
            recovered=tally.recovered,
            duplicated=tally.duplicated,
            misparented=tally.misparented,
            figures=figures,
        )
    )
    assert tally.lost == []
    assert tally.wrong == []
    assert tally.misparented == 0
    assert seen()


def account(scene: Path, said: bytes, tally: Tally) -> None:
    """Deliver what is left and compare it with what was acknowledged."""
    words = [said[at : at + doomed.TOLD_BYTES] for at in range(0, len(said), doomed.TOLD_BYTES)]
    begun = {int(word[1:]) for word in words if word[:1] == b"B"}
    ended = {int(word[1:]) for word in words if word[:1] == b"E"}
    arrived = [each for sink in sorted(scene.glob("sink*")) for each in doomed.delivered_in(sink)]
    arrived += leftovers(scene / "root", tally)

    copies: Counter[tuple[str, int]] = Counter()
    numbers: defaultdict[str, set[int]] = defaultdict(set)
    spans_of: defaultdict[int, set[tuple[str, int]]] = defaultdict(set)
    interrupted: set[int] = set()
    for writer, body in arrived:
        for frame in walk(body):
            if frame.kind in NUMBERED:
                numbers[writer].add(frame.seq)
            if frame.kind != Kind.SPAN:
                continue
            (span,) = decode_spans(body[frame.start : frame.end])
            if identify(body[frame.payload]).stamp != (writer, frame.seq):
                tally.wrong.append(f"{writer} {frame.seq} carries another stamp")
            number = span.attributes["number"]
            assert isinstance(number, int)
            copies[writer, frame.seq] += 1
            if copies[writer, frame.seq] > 1:
                continue
            spans_of[number].add((writer, frame.seq))
            if span.attributes.get("everyspan.end") == "interrupted":
                interrupted.add(number)
            if int(span.span_id, 16) != span_id_of(number):
                tally.wrong.append(f"call {number} has the id {span.span_id}")
            tally.misparented += int(span.parent_id, 16) != parent_of(number)

    tally.lost += [f"call {number} began" for number in begun - spans_of.keys()]
    tally.lost += [f"call {number} ended" for number in ended & interrupted]
    tally.wrong += [
        f"call {number} is {len(found)} spans" for number, found in spans_of.items() if len(found) > 1
    ]
    for writer, found in numbers.items():
        if found != set(range(1, len(found) + 1)):
            tally.wrong.append(f"{writer} has gaps in {len(found)} numbers")
    tally.acknowledged += len(begun) + len(ended)
    tally.ok += len(spans_of) - len(interrupted)
    tally.recovered += len(interrupted)
    tally.duplicated += copies.total() - len(copies)


def leftovers(root: Path, tally: Tally) -> list[tuple[WriterId, bytes]]:
    """What the last of the killed left, delivered in peace; the directories are gone then."""
    arrived = []
    until = time.monotonic() + _LOCKS_GO_WITHIN_S
    # A process that is killed may let its lock go a moment after its end of the pipe.
    while (left := directories(root)) and time.monotonic() < until:
        for backlog in adopt(root, living=None):
            while (batch := backlog.peek(limit_bytes=100_000)) is not None:
                arrived.append((backlog.writer, batch.body))
                backlog.ack(batch)
            tally.torn += getattr(backlog, "torn_bytes", 0) > 0
            if getattr(backlog, "damaged", 0):
                tally.wrong.append(f"{backlog.writer} is damaged")
            backlog.finish()
    tally.wrong += [f"{name} is left" for name in left]
    return arrived


def directories(root: Path) -> list[str]:
    """Writers that are not finished. A kill can leave one that was never used; it goes when it is an hour old."""
    found = os.listdir(root) if root.exists() else []
    return [name for name in found if not name.startswith(".new-")]
