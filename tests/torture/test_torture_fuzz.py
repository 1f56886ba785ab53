"""The ways into the collector and the spool, fed with bytes that a fuzzer makes up: see `tests.fuzz.targets`."""

from __future__ import annotations

import random
import re
import subprocess

import pytest

from tests.fuzz.guided import KEPT, ROOT, command, environment
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS
from tests.torture.conftest import Report
from tests.torture.scores import Score

_GUIDED_S = 600
_AT_RANDOM = 150


def changed(content: bytes, rng: random.Random) -> bytes:
    """Some bytes of it flipped, doubled, cut out or replaced by numbers that are seldom right."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) + 1)
        size = min(rng.choice((1, 1, 2, 8, 30)), len(data) - at)
        data[at : at + size] = rng.choice(
            (
                b"",
                rng.randbytes(size),
                data[at : at + size] * 2,
                b"\xff" * size,
                bytes(size),
                b"\x80" * 9 + b"\1",
            )
        )
    return bytes(data)


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_no_bytes_that_are_made_up_break_what_reads_them(report: Report, full: bool, target: str) -> None:
    tried = guided(target) if full else at_random(target, random.Random(2026))

    report(Score(scenario=f"fuzz: {target}", ok=tried, figures="inputs, each taken or refused in order"))
    assert tried > 0


def guided(target: str) -> int:
    """Let Atheris look for an input that fails; how many it tried."""
    asked = command(target, f"-max_total_time={_GUIDED_S}")
    done = subprocess.run(
        asked, env=environment(), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    said = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, f"{said[-6000:]}\nthe input is in {KEPT}"
    return int(re.findall(r"number_of_executed_units:\s*(\d+)", said)[-1])


def at_random(target: str, rng: random.Random) -> int:
    """Change inputs that are right, without looking at what that reaches; the same ones at each run."""
    for _ in range(_AT_RANDOM):
        content = changed(rng.choice(seeds(target)), rng)
        try:
            TARGETS[target](content)
        except Exception as failure:
            raise AssertionError(f"{target} fails at {content!r}") from failure
    return _AT_RANDOM
