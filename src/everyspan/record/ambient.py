"""What a block of code says about every span inside it: user, session, tags."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token

from opentelemetry import context as otel_context
from opentelemetry.util.types import AttributeValue

from everyspan.record import names
from everyspan.record.headers import context_of

_ambient: ContextVar[Mapping[str, AttributeValue] | None] = ContextVar("everyspan_ambient", default=None)


@contextmanager
def context(
    *,
    user: str | None = None,
    session: str | None = None,
    tags: Sequence[str] | None = None,
    environment: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Put a user, a session, tags and an environment on every span that starts inside, third-party spans included.

    Follows the context: `asyncio` tasks and threads of an executor that are started inside inherit it. Nested
    blocks add to each other; the inner one wins where both speak.

    Args:
        environment: such as `production`.
        headers: of a request that came in; spans inside continue the trace that its `traceparent` names, if any.
    """
    said: dict[str, AttributeValue] = {}
    if user is not None:
        said[names.USER] = user
    if session is not None:
        said[names.SESSION] = session
    if tags is not None:
        said[names.LANGFUSE_TAGS] = tuple(tags)
    if environment is not None:
        said[names.ENVIRONMENT] = said[names.LANGFUSE_ENVIRONMENT] = environment
    continued = otel_context.attach(context_of(headers)) if headers is not None else None
    token = _ambient.set({**(_ambient.get() or {}), **said})
    try:
        yield
    finally:
        _ambient.reset(token)
        if continued is not None:
            otel_context.detach(continued)


def attributes() -> Mapping[str, AttributeValue] | None:
    """What the surrounding blocks said, or None when there are none."""
    return _ambient.get()


def say(said: Mapping[str, AttributeValue] | None) -> Token[Mapping[str, AttributeValue] | None]:
    """Take over what was said around the work elsewhere, in another process; `unsay` ends it."""
    return _ambient.set(said)


def unsay(token: Token[Mapping[str, AttributeValue] | None]) -> None:
    """Go back to what was said before `say`."""
    _ambient.reset(token)
