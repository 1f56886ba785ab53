"""Who owns a writer's directory: private directories, and locks that die with their process.

flock and not the pid: pids are reused, and two containers on one volume are both pid 1. fcntl's record locks would be
lost with any close() of the file in the process. A flock belongs to the open file and so to whoever inherits it: a
forked child closes its copies at once (and never unlocks, for that would unlock the parent's too).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import weakref
from pathlib import Path

from everyspan.model.ids import WriterId

LOCK = "lock"
UNDER_CONSTRUCTION = ".new-"

_NO_FLOCK_HERE = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})


class Lease:
    """A lock held on one writer's directory, until `release` or the end of the process."""

    _fd = -1

    def __init__(self, directory: Path, fd: int) -> None:
        self.directory = directory
        self._fd = fd
        _held.add(self)

    def __del__(self) -> None:
        self.release()

    @property
    def intact(self) -> bool:
        """Whether the lock file that we hold is still the one in the directory."""
        try:
            there, ours = os.stat(self.directory / LOCK, follow_symlinks=False), os.fstat(self._fd)
        except OSError:
            return False
        return (there.st_ino, there.st_dev) == (ours.st_ino, ours.st_dev)

    def lock(self) -> None:
        """Take the lock of a directory that nobody else can see yet."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # A network file system without locks: nobody can take it from us, and nobody will adopt it by itself.
            if error.errno not in _NO_FLOCK_HERE:
                raise

    def release(self) -> None:
        """Let others have the directory; safe to repeat."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


_held: weakref.WeakSet[Lease] = weakref.WeakSet()


def _release_in_child() -> None:
    for lease in list(_held):
        lease.release()


os.register_at_fork(after_in_child=_release_in_child)


def make_private(directory: Path) -> None:
    """Make `directory` and its missing parents, for this user alone.

    Raises:
        OSError: it can not be made, is a symlink, or belongs to somebody else.
    """
    if not directory.parent.exists():
        make_private(directory.parent)
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        check_private(directory)


def check_private(directory: Path) -> None:
    """Make sure that `directory` is a real directory of this user, closed to others.

    Raises:
        OSError: it is not.
    """
    found = os.lstat(directory)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "not a directory of this user's own", str(directory))
    if stat.S_IMODE(found.st_mode) & 0o077:
        os.chmod(directory, 0o700)


def new_lease(root: Path, writer: WriterId) -> Lease:
    """A new directory for `writer` under `root`, locked from the moment that others can see it.

    Raises:
        OSError: it can not be made.
    """
    make_private(root)
    # A name of its own for each try: one that a signal handler's exception broke off must not block the next.
    building = root / f"{UNDER_CONSTRUCTION}{writer}-{os.urandom(3).hex()}"
    os.mkdir(building, 0o700)
    try:
        lease = Lease(building, _open_lock(building, os.O_CREAT | os.O_EXCL))
        lease.lock()
        os.rename(building, root / writer)
        lease.directory = root / writer
        return lease
    except BaseException:
        # Its own lock goes with `lease`. What was renamed already can be taken like any other.
        if building.exists():
            (building / LOCK).unlink(missing_ok=True)
            building.rmdir()
        raise


def take_lease(directory: Path) -> Lease | None:
    """The lock of an existing directory, or None when somebody has it, or has just removed it.

    Raises:
        OSError: the directory is not ours or can not be read.
    """
    check_private(directory)
    fd = _open_lock(directory, os.O_CREAT)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        if error.errno in (errno.EWOULDBLOCK, *_NO_FLOCK_HERE):
            return None
        raise
    lease = Lease(directory, fd)
    # Between our open and our flock its last owner may have removed the directory: then we hold a lock on nothing.
    if not lease.intact:
        lease.release()
        return None
    return lease


def _open_lock(directory: Path, how: int) -> int:
    return os.open(directory / LOCK, os.O_RDWR | how | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
