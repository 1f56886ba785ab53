"""Looking at a spool without touching it."""

from __future__ import annotations

from pathlib import Path

import pytest

from everyspan.spool import Log, adopt, waiting
from everyspan.spool.survey import count_cargo
from tests.spool_frames import die, end, living, opaque, open_log, peek, segments, start, the_dead


def test_a_survey_tells_the_living_from_the_dead_and_takes_no_lock(tmp_path: Path) -> None:
    root = tmp_path / "otlp-test"
    alive, dead = open_log(root), open_log(root)
    end(alive, 1)
    for number in range(3):
        end(dead, number)
    living(dead).ack(peek(living(dead), limit_bytes=700))
    die(dead)

    found = {look.writer: look for look in waiting(tmp_path)}

    assert found[alive.counts().writer].alive  # type: ignore[index]
    look = found[dead.counts().writer]  # type: ignore[index]
    assert not look.alive
    assert look.spans == living_spans(dead)
    assert (look.destination, look.url) == ("otlp-test", "http://127.0.0.1:1/v1/traces")
    assert the_dead(root).pending() == look.spans


def living_spans(log: Log) -> int:
    counts = log.counts()
    return counts.spans - counts.acknowledged


def test_a_spool_that_does_not_exist_holds_nothing(tmp_path: Path) -> None:
    assert waiting(tmp_path / "nowhere") == []
    assert list(adopt(tmp_path / "nowhere", living=None)) == []


def test_what_waits_is_counted_by_headers_alone_from_the_cursor_on(tmp_path: Path) -> None:
    log = open_log(tmp_path, segment_bytes=3000)
    for number in range(40):
        opaque(log, b"x" * 10 * number)
    backlog = living(log)
    for _ in range(5):
        backlog.ack(peek(backlog, limit_bytes=1))
    die(log)

    counted = count_cargo(segments(tmp_path)[0].parent)

    assert len(segments(tmp_path)) > 2
    assert counted == the_dead(tmp_path).pending()
    assert counted is not None
    assert 30 < counted < 40


@pytest.mark.parametrize("what", ["an open call", "a torn end", "a hole of zeros"])
def test_what_only_reading_can_tell_is_not_counted_by_headers(tmp_path: Path, what: str) -> None:
    log = open_log(tmp_path)
    end(log, 1)
    if what == "an open call":
        start(log, 2)
    die(log)
    (segment,) = segments(tmp_path)
    whole = segment.read_bytes()
    if what != "an open call":
        segment.write_bytes(whole[:-1] if what == "a torn end" else whole + bytes(100))

    assert count_cargo(segment.parent) is None
