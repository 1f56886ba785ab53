"""Which numbers are set aside: short enough for a header, and read back as they were written."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from everyspan.spool.aside import Aside
from everyspan.wire.ranges import MOST_RANGES, read_ranges
from tests.spool_frames import die, end, living, open_log, peek, the_dead


@given(st.sets(st.integers(1, 120), min_size=1, max_size=MOST_RANGES), st.integers(0, MOST_RANGES))
def test_numbers_are_told_as_ranges_however_they_came(numbers: set[int], known_before: int) -> None:
    ordered = sorted(numbers)
    aside = Aside(ordered[:known_before])
    for number in reversed(ordered[known_before:]):
        aside.add(number)

    told = {number for first, last in read_ranges(aside.text) for number in range(first, last + 1)}

    assert told == numbers
    assert aside.highest == max(numbers)


def test_of_many_ranges_the_highest_are_told_and_the_header_stays_short() -> None:
    aside = Aside(range(10**18, 10**18 + 1000, 2))
    aside.add(10**18 + 1001)

    ranges = read_ranges(aside.text)

    assert len(ranges) == MOST_RANGES
    assert ranges[-1] == (10**18 + 1001, 10**18 + 1001)
    assert len(aside.text) <= 2048


def test_a_frame_without_a_number_and_nothing_at_all_are_not_told() -> None:
    aside = Aside()
    aside.add(0)

    assert (aside.text, aside.highest) == ("", 0)


def test_whoever_adopts_a_writer_knows_from_the_names_of_the_files_what_it_set_aside(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for number in range(4):
        end(log, number)
    living(log).ack(peek(living(log), limit_bytes=1))  # the HEADER
    for _ in range(2):
        living(log).set_aside(peek(living(log), limit_bytes=1), reason="HTTP 413")
    (tmp_path / log.counts().writer / "refused" / "somebody's.frame").touch()  # type: ignore[operator]
    told_alive = living(log).aside.text
    die(log)

    assert told_alive == "1-2"
    assert the_dead(tmp_path).aside.text == "1-2"
