"""The two sizes of the torture suite, and the table that it ends with."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.torture.scores import Score, table

_SCORES = pytest.StashKey[list[Score]]()

Report = Callable[[Score], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make torture` asks for the full size."""
    parser.addoption(
        "--full", action="store_true", help="the torture suite in its full size: hours, not seconds"
    )


@pytest.fixture
def full(request: pytest.FixtureRequest) -> bool:
    """Whether this is `make torture` and not `make test`."""
    return bool(request.config.getoption("--full", default=False))


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """Takes the row of a scenario, before the test asserts anything of it."""
    return request.config.stash.setdefault(_SCORES, []).append


@pytest.fixture
def quick_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory where there is one: what is tested is what the calls do, not how long a disk takes."""
    memory = Path("/dev/shm")
    found = Path(tempfile.mkdtemp(prefix="everyspan-torture-", dir=memory if memory.is_dir() else tmp_path))
    yield found
    shutil.rmtree(found, ignore_errors=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what became of everything."""
    scores = config.stash.get(_SCORES, [])
    if scores:
        terminalreporter.section("torture")
        for line in table(scores):
            terminalreporter.write_line(line)
