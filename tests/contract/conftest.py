"""The stores that must keep the same promises."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from everyspan.store.store import Store, open_store

CLICKHOUSE = os.environ.get("EVERYSPAN_TEST_CLICKHOUSE", "")
"""`chdb`, or a server without a database, such as `clickhouse://user:password@host:8123`; empty for SQLite."""

_databases = itertools.count(1)


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Makes the address of a database. The embedded engine takes one directory for each process."""
    if CLICKHOUSE != "chdb":
        yield f"{CLICKHOUSE}/{{}}".format
        return
    address = f"chdb:///{tmp_path_factory.mktemp('chdb')}?database={{}}".format
    # The engine starts with its first store and ends with its last one, which takes seconds each time.
    with closing(open_store(address("kept_open"))):
        yield address


@pytest.fixture(scope="module")
def module_store_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """As `store_url`, for tests that only read what all of them share."""
    if not CLICKHOUSE:
        return f"sqlite:///{tmp_path_factory.mktemp('shared') / 'spans.db'}"
    address: Callable[[str], str] = request.getfixturevalue("clickhouse")
    return address(f"test_{os.getpid()}_{next(_databases)}")


@pytest.fixture(params=["clickhouse" if CLICKHOUSE else "sqlite"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store of the kind under test may be created; with `_1` and so on behind it there is another one."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'spans.db'}"
    address: Callable[[str], str] = request.getfixturevalue("clickhouse")
    return address(f"test_{os.getpid()}_{next(_databases)}")


@pytest.fixture
def shared_store_url(tmp_path: Path) -> str:
    """Where a store may be created that several processes of this machine open at once."""
    return f"sqlite:///{tmp_path / 'spans.db'}"


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty store of each kind."""
    with closing(open_store(store_url)) as opened:
        yield opened


@pytest.fixture
def fresh_store(store_url: str) -> Iterator[Callable[[], Store]]:
    """Makes as many empty stores as a test asks for."""
    made = 0
    with ExitStack() as opened:

        def make() -> Store:
            nonlocal made
            made += 1
            return opened.enter_context(closing(open_store(f"{store_url}_{made}")))

        yield make
