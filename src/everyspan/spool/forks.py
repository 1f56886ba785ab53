"""fork(2) among threads: no child begins with half a frame, a lock that nobody releases, or its parent's files."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Protocol


class Forks(Protocol):
    """Something that must be at rest while the process forks."""

    def before_fork(self) -> None:
        """Come to rest: called in the thread that forks."""

    def after_fork_in_parent(self) -> None:
        """Go on."""

    def after_fork_in_child(self) -> None:
        """Begin anew. There is one thread now, the one that forked."""


# Handlers can not be unregistered, so there is one set of them for all, with weak references. The list is replaced
# and never changed: a thread may fork while another one registers.
_all: list[weakref.ref[Forks]] = []
_registering = threading.Lock()

# What the forking thread holds. Per thread, because two threads may be about to fork at once.
_held = threading.local()


def register(what: Forks) -> None:
    """Call `what` around every fork from now on, for as long as somebody else refers to it."""
    global _all
    with _registering:
        _all = [*(ref for ref in _all if ref() is not None), weakref.ref(what)]


def _before() -> None:
    # Always in order of registration: two threads that fork can not wait for each other.
    held: list[Forks] = []
    _held.forks = held
    for ref in _all:
        what = ref()
        if what is not None:
            what.before_fork()
            held.append(what)


def _in_parent() -> None:
    for what in reversed(_taken()):
        what.after_fork_in_parent()


def _in_child() -> None:
    global _registering
    _registering = threading.Lock()
    for what in _taken():
        what.after_fork_in_child()


def _taken() -> list[Forks]:
    held: list[Forks] = getattr(_held, "forks", [])
    _held.forks = []
    return held


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
