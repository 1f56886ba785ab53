"""One everyspan for the tests that call litellm in their own process, and one fake provider."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import everyspan
from everyspan.testing import FakeProvider
from everyspan.testing.sink import Sink
from tests.recording import Recording, recording


@pytest.fixture(scope="session")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sink]:
    """Where this process delivers its spans."""
    spool: Path = tmp_path_factory.mktemp("spool")
    for name in [name for name in os.environ if name.startswith(("LANGFUSE_", "OTEL_", "EVERYSPAN_"))]:
        del os.environ[name]
    os.environ["EVERYSPAN_SPOOL_DIR"] = str(spool)
    with Sink() as opened:
        everyspan.init(opened.url)
        yield opened


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    """A provider with empty books."""
    with FakeProvider() as opened:
        yield opened


@pytest.fixture
def recorded(sink: Sink) -> Iterator[Recording]:
    """The spans of this test."""
    with recording(sink) as found:
        yield found
