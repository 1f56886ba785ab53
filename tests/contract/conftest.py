"""The stores that must keep the same promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from everyspan.store.store import Store, open_store


@pytest.fixture(params=["sqlite"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store of each kind may be created."""
    return f"{request.param}:///{tmp_path / 'spans.db'}"


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
            return opened.enter_context(closing(open_store(f"{store_url}.{made}")))

        yield make
