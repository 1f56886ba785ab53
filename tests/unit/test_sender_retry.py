"""How long a destination is left alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from everyspan.sender.retry import FIRST_WAIT_S, LONGEST_RETRY_AFTER_S, LONGEST_WAIT_S, BackOff, retry_after_s

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def wall_ns() -> int:
    return int(NOW.timestamp()) * 10**9


def back_off(clock: Clock, *, jitter: float = 1.0) -> BackOff:
    return BackOff(clock=clock, wall_ns=wall_ns, jitter=lambda: jitter)


def test_waits_double_up_to_a_limit_and_start_again_after_a_success() -> None:
    waits = back_off(Clock())

    first_ten = [waits.failed() for _ in range(10)]
    waits.succeeded()

    assert first_ten[:4] == [FIRST_WAIT_S, 2 * FIRST_WAIT_S, 4 * FIRST_WAIT_S, 8 * FIRST_WAIT_S]
    assert first_ten[-1] == LONGEST_WAIT_S
    assert waits.wait_s() == 0
    assert waits.failed() == FIRST_WAIT_S


def test_jitter_takes_at_most_half_of_a_wait_away() -> None:
    assert back_off(Clock(), jitter=0.0).failed() == FIRST_WAIT_S / 2


def test_a_wait_is_over_when_the_monotonic_clock_says_so() -> None:
    clock = Clock()
    waits = back_off(clock)

    waits.failed()
    at_first = waits.wait_s()
    clock.now_s += FIRST_WAIT_S

    assert at_first == FIRST_WAIT_S
    assert waits.wait_s() == 0


@pytest.mark.parametrize(
    ("value", "expected_s"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("86400", LONGEST_RETRY_AFTER_S),
        (format_datetime(NOW + timedelta(seconds=40), usegmt=True), 40.0),
        (format_datetime(NOW + timedelta(days=400), usegmt=True), LONGEST_RETRY_AFTER_S),
        (format_datetime(NOW - timedelta(hours=1), usegmt=True), 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
        ("Sun, 99 Foo 2026 99:99:99 GMT", None),
    ],
)
def test_retry_after_takes_seconds_or_a_date_and_five_minutes_at_most(
    value: str, expected_s: float | None
) -> None:
    assert retry_after_s(value, wall_ns=wall_ns) == expected_s


def test_somebody_in_a_hurry_cuts_our_own_wait_short_but_not_the_servers() -> None:
    clock = Clock()
    ours, theirs = back_off(clock), back_off(clock)

    ours.failed()
    theirs.failed(retry_after="60")
    ours.hurry()
    theirs.hurry()

    assert ours.wait_s() == 0
    assert theirs.wait_s() == 60
