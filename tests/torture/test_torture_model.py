"""A spool under everything that can happen to it, in any order, against a list of what was said about each frame."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import random
import shutil
import tempfile
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from everyspan.errors import SpoolError
from everyspan.model.ids import Seq, WriterId
from everyspan.settings import Fsync
from everyspan.spool import Backlog, Batch, Kept, Log, adopt, keeper, writer
from everyspan.wire.decode import unwrap
from everyspan.wire.encode import encode_span, encode_started
from everyspan.wire.frame import Kind, walk
from tests.spool_frames import open_log
from tests.torture.calls import call
from tests.torture.conftest import Report
from tests.torture.platters import Platters
from tests.torture.scores import Score

Place = tuple[WriterId | None, Seq]

_AT_ONCE = 500

TOTALS: Counter[str] = Counter()
"""Over all examples, for the table."""


@dataclass(slots=True)
class Fate:
    """A frame that was appended, and what was said of it."""

    kind: Kind
    number: int
    payload: bytes
    kept: Kept
    sure: bool
    """It has to arrive."""
    safe: bool
    """It is on stable storage."""


class SpoolMachine(RuleBasedStateMachine):
    """One destination's directory; a living log and its dead predecessors."""

    @initialize(
        level=st.sampled_from([Fsync.NONE, Fsync.ALWAYS]),
        cap_bytes=st.sampled_from([1 << 30, 12_000]),
        seed=st.integers(0, 2**32),
    )
    def begin_spool(self, level: Fsync, cap_bytes: int, seed: int) -> None:
        memory = Path("/dev/shm")
        self.root = Path(tempfile.mkdtemp(prefix="everyspan-model-", dir=memory if memory.is_dir() else None))
        self.rng = random.Random(seed)
        self.level, self.cap_bytes = level, cap_bytes
        self.platters = Platters()
        self.platters.install()
        keeper.monotonic_s = writer.monotonic_s = itertools.count(1, 0.03).__next__  # type: ignore[attr-defined]
        self.log = self.new_log()
        self.numbers = itertools.count()
        self.open: list[int] = []
        self.fates: dict[Place, Fate] = {}
        self.arrived: defaultdict[Place, list[tuple[int, bytes]]] = defaultdict(list)
        self.told: set[Place] = set()
        self.unanswered: set[Place] = set()
        """Frames that arrived, and nobody was told."""
        self.adopted: list[Backlog] = []
        self.power_was_cut = False

    def new_log(self) -> Log:
        return open_log(self.root, fsync=self.level, cap_bytes=self.cap_bytes, segment_bytes=5000)

    # --- the program ---

    @rule(size=st.sampled_from([0, 300, 3000, 9000]), count=st.integers(1, 4))
    def begin_and_end(self, size: int, count: int) -> None:
        for number in itertools.islice(self.numbers, count):
            self.append(Kind.START, number)
            self.append(Kind.SPAN, number, size=size)

    @rule()
    def begin(self) -> None:
        self.open.append(next(self.numbers))
        self.append(Kind.START, self.open[-1])

    @precondition(lambda self: self.open)
    @rule(at=st.integers(0, 100))
    def end(self, at: int) -> None:
        self.append(Kind.SPAN, self.open.pop(at % len(self.open)))

    @rule()
    def end_alone(self) -> None:
        self.append(Kind.SPAN, next(self.numbers), size=1000)

    @rule(count=st.integers(1, 4))
    def fork(self, count: int) -> None:
        """The child records some calls and ends as `os._exit` does; the last one it leaves open."""
        numbers = [next(self.numbers) for _ in range(count)]
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                known = set(self.fates)
                for number in numbers:
                    self.append(Kind.START, number)
                    if number != numbers[-1]:
                        self.append(Kind.SPAN, number)
                said = {place: fate for place, fate in self.fates.items() if place not in known}
                with open(write, "wb") as pipe:
                    pickle.dump(said, pipe)
            finally:
                os._exit(0)
        os.close(write)
        with open(read, "rb") as pipe:
            said = pickle.load(pipe)
        os.waitpid(child, 0)
        for (writer_id, _), fate in said.items():
            fate.sure = fate.sure and fate.kept is Kept.DISK
            if self.level is Fsync.ALWAYS and (self.root / str(writer_id)).is_dir():
                self.platters.sync_tree(self.root / str(writer_id))
        self.fates |= said

    @rule()
    def sync(self) -> None:
        try:
            self.log.sync()
        except SpoolError:
            return  # memory holds some of it
        living = self.log.counts().writer
        for (writer_id, _), fate in self.fates.items():
            fate.safe = fate.safe or writer_id == living

    # --- the destination ---

    @rule(lost=st.booleans(), limit_bytes=st.sampled_from([500, 4000, 100_000]))
    def ship(self, lost: bool, limit_bytes: int) -> None:
        """One batch; `lost` when the answer is."""
        self.offer(self.log.backlog(), lost=lost, limit_bytes=limit_bytes)

    @rule()
    def ship_everything(self) -> None:
        while self.offer(self.log.backlog(), lost=False, limit_bytes=100_000):
            pass

    @rule()
    def refuse(self) -> None:
        backlog = self.log.backlog()
        batch = backlog.peek(limit_bytes=1) if backlog is not None else None
        if backlog is not None and batch is not None and batch.frames == 1 and batch.spans:
            backlog.set_aside(batch, reason="400")
            self.note(backlog, batch)

    @rule()
    def adopt(self) -> None:
        self.adopted += adopt(self.root, living=self.log.counts().writer)

    @precondition(lambda self: self.adopted)
    @rule(lost=st.booleans(), limit_bytes=st.sampled_from([500, 100_000]))
    def ship_of_the_dead(self, lost: bool, limit_bytes: int) -> None:
        if not self.offer(self.adopted[0], lost=lost, limit_bytes=limit_bytes):
            self.adopted.pop(0).finish()

    @rule()
    def successor_dies(self) -> None:
        self.adopted.clear()

    # --- the end of a process ---

    @rule()
    def close(self) -> None:
        self.log.close()
        self.open.clear()

    @rule(torn=st.booleans())
    def crash(self, torn: bool) -> None:
        """SIGKILL; `torn` when it came in the middle of a write."""
        TOTALS["crashes"] += 1
        living = self.log._keeper.writer
        if living is not None:
            segment = living.segment
            if torn and segment is not None:
                with segment.path.open("ab") as file:
                    file.write(b"\xc2\x3e\x18" + b"\x01" * self.rng.randrange(20))
            living.close()
        for fate in self.fates.values():
            fate.sure = fate.sure and fate.kept is Kept.DISK
        self.log, self.open = self.new_log(), []
        self.adopted.clear()

    @rule()
    def cut_power(self) -> None:
        TOTALS["power cuts"] += 1
        self.crash(torn=False)
        self.platters.cut_power(self.root, self.rng) if self.root.is_dir() else None
        self.power_was_cut = True
        for fate in self.fates.values():
            fate.sure = fate.sure and fate.safe

    @invariant()
    def the_counts_add_up(self) -> None:
        counts = self.log.counts()
        assert counts.spans == counts.on_disk + counts.in_memory + sum(counts.dropped.values())

    def teardown(self) -> None:
        if not hasattr(self, "root"):
            return
        try:
            self.log.close()
            self.adopted.clear()
            for backlog in adopt(self.root, living=None):
                while self.offer(backlog, lost=False, limit_bytes=50_000):
                    pass
                backlog.finish()
            self.check()
        finally:
            self.platters.remove()
            shutil.rmtree(self.root, ignore_errors=True)

    # --- what the rules share ---

    def append(self, kind: Kind, number: int, *, size: int = 0) -> None:
        encode = encode_span if kind is Kind.SPAN else encode_started
        encoded = encode(call(number, text="x" * size))
        kept = self.log.append(kind, encoded.payload, stamp_at=encoded.stamp_at)
        counts = self.log.counts()
        sure = kept is not Kept.DROPPED
        safe = self.level is Fsync.ALWAYS and kept is Kept.DISK
        self.fates[counts.writer, counts.last_seq] = Fate(
            kind, number, bytes(encoded.payload), kept, sure, safe
        )

    def offer(self, backlog: Backlog | None, *, lost: bool, limit_bytes: int) -> bool:
        batch = backlog.peek(limit_bytes=limit_bytes) if backlog is not None else None
        if backlog is None or batch is None:
            return False
        self.note(backlog, batch)
        places = {(backlog.writer, frame.seq) for frame in walk(batch.body)}
        if lost:
            self.unanswered |= places
        else:
            backlog.ack(batch)
            self.unanswered -= places
        return True

    def rows(self, arrived: set[Place]) -> set[Place]:
        """What a receiver makes of the spans of one call."""
        ended = {place for place in arrived if self.fates[place].kind is Kind.SPAN}
        return ended | {
            (writer, seq)
            for writer, seq in arrived - ended
            if not any(by == writer and end > seq for by, end in ended)
        }

    def note(self, backlog: Backlog, batch: Batch) -> None:
        for frame in walk(batch.body):
            payload = batch.body[frame.payload]
            if frame.kind == Kind.DROP:
                for first, last in json.loads(unwrap(payload))["ranges"]:
                    self.told |= {(backlog.writer, Seq(seq)) for seq in range(first, last + 1)}
            elif frame.seq:
                self.arrived[backlog.writer, frame.seq].append((frame.kind, payload))

    def check(self) -> None:
        """Everything that was said is true."""
        spans_of: defaultdict[int, set[Place]] = defaultdict(set)
        for place, copies in self.arrived.items():
            fate = self.fates[place]
            spans = {payload for kind, payload in copies if kind == Kind.SPAN}
            assert all(payload == fate.payload for kind, payload in copies if kind == Kind.START)
            if fate.kind is Kind.SPAN:
                assert spans == {fate.payload}, f"{place} arrived as something else"
            assert len(spans) <= 1 or self.power_was_cut, f"the copies of {place} differ"
            if spans:
                spans_of[fate.number].add(place)
            TOTALS["copies"] += len(copies) - len({kind for kind, _ in copies})
        for place, fate in self.fates.items():
            explained = place in self.arrived or place in self.told
            assert explained or not fate.sure, (
                f"{place}, {fate.kind.name} of call {fate.number}, {fate.kept}, is lost"
            )
            if fate.kind is Kind.START and fate.sure and fate.kept is Kept.DISK:
                arrived = spans_of[fate.number]
                assert arrived, f"call {fate.number} began and is no span"
                # What only memory held leaves nothing on disk when its answer is lost, and nothing safe when the power
                # goes: then it is for the receiver to see that a call which has an end was not interrupted.
                unsure = self.power_was_cut or arrived & self.unanswered
                rows = self.rows(arrived) if unsure else arrived
                assert len(rows) == 1, f"call {fate.number} is several spans: {rows}"
        complete = {
            fate.number
            for place, fate in self.fates.items()
            if fate.kind is Kind.SPAN and place in self.arrived
        }
        TOTALS["ok"] += len(complete)
        TOTALS["recovered"] += len({number for number, places in spans_of.items() if places} - complete)
        TOTALS["spools"] += 1


@pytest.fixture
def untouched_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts the clocks back that the machine replaces."""
    monkeypatch.setattr(keeper, "monotonic_s", keeper.monotonic_s)  # type: ignore[attr-defined]
    monkeypatch.setattr(writer, "monotonic_s", writer.monotonic_s)  # type: ignore[attr-defined]
    monkeypatch.setattr("everyspan.spool.ring.RING_BYTES", 6000)


@pytest.mark.usefixtures("untouched_clocks")
def test_whatever_happens_in_whatever_order_what_was_said_of_each_frame_stays_true(
    report: Report, full: bool
) -> None:
    TOTALS.clear()
    histories = 20_000 if full else 80

    # In parts, for Hypothesis remembers every history of a run, and takes longer for each the more there were.
    for done in range(0, histories, _AT_ONCE):
        run_state_machine_as_test(
            SpoolMachine,
            settings=settings(
                max_examples=min(_AT_ONCE, histories - done),
                stateful_step_count=60 if full else 40,
                deadline=None,
                database=None,
                derandomize=False,
                suppress_health_check=list(HealthCheck),
            ),
        )
        figures = f"{TOTALS['spools']} spools, {TOTALS['crashes']} crashes, {TOTALS['power cuts']} power cuts"
        print(figures, flush=True)  # for `-s`: the full size takes hours

    report(
        Score(
            scenario="model",
            ok=TOTALS["ok"],
            recovered=TOTALS["recovered"],
            duplicated=TOTALS["copies"],
            figures=figures,
        )
    )
    assert min(TOTALS["ok"], TOTALS["recovered"], TOTALS["crashes"], TOTALS["power cuts"]) > 0
