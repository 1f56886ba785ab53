"""What a block of code says about every span inside it: user, session, tags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token

from opentelemetry.util.types import AttributeValue

from everyspan.record import names

_ambient: ContextVar[Mapping[str, AttributeValue] | None] = ContextVar("everyspan_ambient", default=None)


@contextmanager
def context(
    *, user: str | None = None, session: str | None = None, tags: Sequence[str] | None = None
) -> Iterator[None]:
    """Put a user, a session and tags on every span that starts inside, third-party spans included.

    Follows the context: `asyncio` tasks and threads of an executor that are started inside inherit it. Nested
    blocks add to each other; the inner one wins where both speak.
    """
    said: dict[str, AttributeValue] = {}
    if user is not None:
        said[names.USER] = user
    if session is not None:
        said[names.SESSION] = session
    if tags is not None:
        said[names.LANGFUSE_TAGS] = tuple(tags)
    token = _ambient.set({**(_ambient.get() or {}), **said})
    try:
        yield
    finally:
        _ambient.reset(token)


def attributes() -> Mapping[str, AttributeValue] | None:
    """What the surrounding blocks said, or None when there are none."""
    return _ambient.get()


def say(said: Mapping[str, AttributeValue] | None) -> Token[Mapping[str, AttributeValue] | None]:
    """Take over what was said around the work elsewhere, in another process; `unsay` ends it."""
    return _ambient.set(said)


def unsay(token: Token[Mapping[str, AttributeValue] | None]) -> None:
    """Go back to what was said before `say`."""
    _ambient.reset(token)
