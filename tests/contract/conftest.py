"""The stores that must keep the same promises."""

from __future__ import annotations

import importlib.util
import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from everyspan.store.store import Store, open_store

HAVE_CHDB = importlib.util.find_spec("chdb") is not None
SERVER = os.environ.get("EVERYSPAN_TEST_CLICKHOUSE", "")
"""The address of a real server, without a database: `clickhouse://user:password@host:8123`."""

KINDS = ["sqlite", *(["chdb"] if HAVE_CHDB else []), *(["clickhouse"] if SERVER else [])]
_databases = itertools.count(1)


@pytest.fixture(scope="session")
def engine_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The embedded engine takes one directory for each process, and any number of databases in it."""
    directory = tmp_path_factory.mktemp("chdb")
    with ExitStack() as opened:
        if HAVE_CHDB:
            # The engine starts with its first store and ends with its last one, which takes seconds each time.
            opened.enter_context(closing(open_store(f"chdb:///{directory}?database=kept_open")))
        yield directory


@pytest.fixture(params=KINDS)
def store_url(request: pytest.FixtureRequest, tmp_path: Path, engine_directory: Path) -> str:
    """Where a store of each kind may be created; with `_1` and so on behind it there is another one."""
    database = f"test_{os.getpid()}_{next(_databases)}"
    return {
        "sqlite": f"sqlite:///{tmp_path / 'spans.db'}",
        "chdb": f"chdb:///{engine_directory}?database={database}",
        "clickhouse": f"{SERVER}/{database}",
    }[request.param]


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
