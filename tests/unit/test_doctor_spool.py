"""The doctor's look at the spool: whether it can be used, and what waits there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider

from everyspan.doctor.backlog import examine_waiting
from everyspan.doctor.directory import examine_directory, filesystem_of
from everyspan.doctor.finding import Finding, Level
from everyspan.settings import Fsync
from everyspan.spool import waiting
from everyspan.spool.log import Log
from everyspan.wire.encode import encode_span
from everyspan.wire.frame import Kind

HERE, ELSEWHERE = "otlp-0123456789abcdef", "otlp-fedcba9876543210"


def usable(directory: Path) -> dict[str, Finding]:
    found = examine_directory(directory, fsync=Fsync.NONE, cap_bytes=None)
    return {finding.code: finding for finding in found}


@pytest.mark.parametrize(
    ("kind", "code"), [("overlay", "spool.layered"), ("nfs4", "spool.network"), ("tmpfs", "spool.in_memory")]
)
def test_a_place_where_spans_can_go_with_something_else_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, code: str
) -> None:
    monkeypatch.setattr("everyspan.doctor.directory.filesystem_of", lambda _: kind)

    found = usable(tmp_path)

    assert found[code].level is Level.WARNING
    assert "EVERYSPAN_SPOOL_DIR" in found[code].do


def waits(directory: Path, *, cap_bytes: int = 64 << 20) -> dict[str, Level]:
    """What is found of the backlog by somebody whose only destination is HERE."""
    found = examine_waiting(directory, known={HERE}, cap_bytes=cap_bytes)
    return {finding.code: finding.level for finding in found}


def leave(spool: Path, destination: str, *, spans: int, text: str = "", cap_bytes: int = 64 << 20) -> Log:
    """Spans of a writer, as bytes on disk; it lives until its log is closed."""
    about = {"destination": destination, "url": f"http://{destination}.example"}
    log = Log(spool / destination, about=about, fsync=Fsync.NONE, cap_bytes=cap_bytes)
    tracer = TracerProvider().get_tracer("test")
    for _ in range(spans):
        span = tracer.start_span("step", attributes={"text": text})
        span.end()
        encoded = encode_span(span)  # type: ignore[arg-type]
        log.append(Kind.SPAN, encoded.payload, stamp_at=encoded.stamp_at)
    return log


def test_a_directory_that_is_ours_is_written_synced_and_left_as_it_was(tmp_path: Path) -> None:
    found = usable(tmp_path)

    assert {finding.level for finding in found.values()} == {Level.OK}
    assert "can be written" in found["spool.writable"].says
    assert list(tmp_path.iterdir()) == []


def test_one_that_is_not_there_yet_is_not_made(tmp_path: Path) -> None:
    found = usable(tmp_path / "not" / "there")

    assert found["spool.absent"].level is Level.OK
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_its_place_makes_it_unusable(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("not a directory")

    assert usable(tmp_path / "spool")["spool.unusable"].level is Level.PROBLEM


def test_a_place_where_nobody_can_make_it_makes_it_unusable_for_root_too() -> None:
    assert usable(Path("/proc/everyspan/spool"))["spool.unusable"].level is Level.PROBLEM


def test_a_symlink_to_nowhere_makes_it_unusable(tmp_path: Path) -> None:
    (tmp_path / "spool").symlink_to(tmp_path / "gone")

    assert usable(tmp_path / "spool")["spool.unusable"].level is Level.PROBLEM


def test_a_symlink_among_the_destinations_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / HERE).symlink_to(tmp_path)

    found = usable(tmp_path)["spool.unusable"]

    assert (found.level, "symlink" in found.says) == (Level.PROBLEM, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_somebody_elses_directory_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / HERE).mkdir()
    os.chown(tmp_path / HERE, 12345, 12345)

    found = usable(tmp_path)["spool.unusable"]

    assert (found.level, "belongs to user 12345" in found.says) == (Level.PROBLEM, True)


def test_a_directory_that_others_may_write_in_is_a_warning(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)

    found = usable(tmp_path)["spool.permissions"]

    assert (found.level, found.do) == (Level.WARNING, f"chmod 700 {tmp_path}")


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no memory filesystem here")
def test_a_spool_in_memory_is_a_warning() -> None:
    assert filesystem_of(Path("/dev/shm/none/yet")) == "tmpfs"
    assert usable(Path("/dev/shm/none/yet"))["spool.in_memory"].level is Level.WARNING


def test_the_filesystem_is_that_of_the_deepest_mount() -> None:
    assert filesystem_of(Path("/proc/self")) == "proc"


def test_an_empty_spool_is_fine(tmp_path: Path) -> None:
    assert waits(tmp_path) == {"waiting.nothing": Level.OK}


def test_spans_of_the_living_and_of_the_dead_are_told_apart(tmp_path: Path) -> None:
    alive = leave(tmp_path, HERE, spans=2)
    assert waits(tmp_path) == {"waiting.alive": Level.NOTE}

    alive.close()
    assert waits(tmp_path) == {"waiting.dead": Level.NOTE}


def test_spans_for_a_destination_that_nobody_names_any_more_are_a_warning(tmp_path: Path) -> None:
    leave(tmp_path, ELSEWHERE, spans=1).close()

    assert waits(tmp_path) == {"waiting.nobody": Level.WARNING}


def test_a_spool_that_is_nearly_full_is_a_problem(tmp_path: Path) -> None:
    leave(tmp_path, HERE, spans=9, text="x" * 100_000).close()

    assert waits(tmp_path, cap_bytes=1_000_000)["waiting.cap"] is Level.PROBLEM
    assert "waiting.cap" not in waits(tmp_path, cap_bytes=2_000_000)


def test_what_was_refused_is_a_problem_and_its_place_is_named(tmp_path: Path) -> None:
    log = leave(tmp_path, HERE, spans=1)
    backlog = log.backlog()
    batch = backlog.peek(limit_bytes=1 << 20) if backlog else None
    assert backlog is not None
    assert batch is not None
    while batch.frames > 1:
        head, batch = batch.split()
        backlog.ack(head)
    backlog.set_aside(batch, reason="HTTP 400: no")

    (found,) = [
        finding
        for finding in examine_waiting(tmp_path, known={HERE}, cap_bytes=64 << 20)
        if finding.code == "waiting.refused"
    ]

    assert found.level is Level.PROBLEM
    assert f"{HERE}/{backlog.writer}" in found.do


def test_spans_that_could_not_be_kept_are_a_problem_with_their_number(tmp_path: Path) -> None:
    log = leave(tmp_path, HERE, spans=14, text="x" * 1_000_000, cap_bytes=1 << 20)
    log.close()

    (writer,) = waiting(tmp_path)
    assert writer.dropped == sum(log.counts().dropped.values()) > 0
    assert writer.spans == 14 - writer.dropped
    assert waits(tmp_path)["waiting.dropped"] is Level.PROBLEM
