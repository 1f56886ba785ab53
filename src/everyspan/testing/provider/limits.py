"""How many connections a process may have open."""

from __future__ import annotations

import resource


def raise_open_files_limit() -> int:
    """Allow this process and those it starts as many open files as the system lets it have; returns that number.

    Each concurrent call holds a connection, and many systems allow only 1,024 files unless asked for more.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most
