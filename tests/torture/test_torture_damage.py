"""Segments that are cut, flipped, zeroed, scribbled over: what was not hit arrives as it was, and nothing else."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from everyspan.model.ids import Seq
from everyspan.spool import adopt
from everyspan.wire.frame import NUMBERED, Kind, scan, walk
from tests.spool_frames import open_log
from tests.torture.calls import begin, end
from tests.torture.conftest import Report
from tests.torture.scores import Score

_CALLS = 3


@dataclass(frozen=True, slots=True)
class Segment:
    """A dead writer's only segment, and its frames by number: where each lies, and its payload."""

    name: str
    data: bytes
    writer: str
    places: dict[Seq, tuple[int, int]]
    payloads: dict[Seq, bytes]


@pytest.fixture
def segment(quick_disk: Path) -> Segment:
    """A few calls, the last of them unfinished."""
    log = open_log(quick_disk / "whole")
    for number in range(_CALLS):
        begin(log, number)
        end(log, number, text="x" * 40 * number)
    begin(log, _CALLS)
    log.close()
    (path,) = (quick_disk / "whole").glob("*/*.seg")
    data = path.read_bytes()
    frames = scan(data, nonce=int(path.stem[9:], 16)).frames
    numbered = [frame for frame in frames if frame.kind in NUMBERED]
    return Segment(
        path.name,
        data,
        path.parent.name,
        {frame.seq: (frame.start, frame.end) for frame in numbered},
        {frame.seq: data[frame.payload] for frame in numbered},
    )


def recovered(root: Path, segment: Segment, damaged: bytes) -> dict[Seq, tuple[int, bytes]]:
    """Kind and payload by number, of what a successor delivers from the damaged bytes."""
    directory = root / segment.writer
    directory.mkdir(parents=True, mode=0o700)
    (directory / segment.name).write_bytes(damaged)
    found: dict[Seq, tuple[int, bytes]] = {}
    for backlog in adopt(root, living=None):
        while (batch := backlog.peek(limit_bytes=1 << 20)) is not None:
            for frame in walk(batch.body):
                if frame.seq:
                    found[frame.seq] = frame.kind, batch.body[frame.payload]
            backlog.ack(batch)
        backlog.finish()
    shutil.rmtree(root)
    return found


def check(segment: Segment, found: dict[Seq, tuple[int, bytes]], hit: list[tuple[int, int]]) -> int:
    """Every frame that was not hit is there, and all that is there is as it was; returns how many are not there."""
    for seq, (start, end_) in segment.places.items():
        if not any(start < to and since < end_ for since, to in hit):
            assert seq in found, f"{seq} was not hit and is lost; {hit}"
    for seq, (kind, payload) in found.items():
        # A START whose end is not there any more comes out as a span that begins with the same bytes of identity.
        interrupted = kind == Kind.SPAN and b"interrupted" in payload
        assert interrupted or payload == segment.payloads[seq], f"{seq} arrived as something else; {hit}"
    return len(segment.places.keys() - found.keys())


def damages(
    segment: Segment, rng: random.Random, *, at_random: int
) -> Iterator[tuple[bytes, list[tuple[int, int]]]]:
    """Damaged bytes, and the ranges that were hit."""
    data, size = segment.data, len(segment.data)
    for cut in range(size):
        yield data[:cut], [(cut, size)]
    for at in range(size):
        flipped = bytearray(data)
        flipped[at] ^= rng.randrange(1, 256)
        yield bytes(flipped), [(at, at + 1)]
    for _ in range(at_random):
        scribbled, hit = bytearray(data), []
        for _ in range(rng.randrange(1, 5)):
            start = rng.randrange(size)
            stop = min(size, start + rng.choice([1, 8, 100, 512]))
            scribbled[start:stop] = bytes(stop - start) if rng.random() < 0.5 else rng.randbytes(stop - start)
            hit.append((start, stop))
        yield bytes(scribbled), hit


def test_no_damage_costs_more_than_what_it_hits_or_makes_up_anything(
    quick_disk: Path, segment: Segment, report: Report, full: bool
) -> None:
    rng = random.Random()
    count = ok = gone = interrupted = most = 0

    for damaged, hit in damages(segment, rng, at_random=50_000 if full else 500):
        found = recovered(quick_disk / "damaged", segment, damaged)
        missing = check(segment, found, hit)
        if len(hit) == 1 and hit[0][1] - hit[0][0] == 1:
            most = max(most, missing)
        count += 1
        gone += missing
        interrupted += sum(b"interrupted" in payload for _, payload in found.values())
        ok += sum(kind == Kind.SPAN for kind, _ in found.values())

    figures = f"{count} damaged segments, {gone} frames destroyed, at most {most} by a damaged byte"
    report(Score(scenario="damage", ok=ok - interrupted, recovered=interrupted, figures=figures))
    assert most == 1
    assert count > 2 * len(segment.data)
    assert min(ok, gone, interrupted) > 0
