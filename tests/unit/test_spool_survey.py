"""Looking at a spool without touching it."""

from __future__ import annotations

from pathlib import Path

from everyspan.spool import Log, adopt, waiting
from tests.spool_frames import die, end, living, open_log, peek, the_dead


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
