"""Who owns a writer's directory: private directories, and locks that die with their process.

flock and not the pid: pids are reused, and two containers on one volume are both pid 1. fcntl's record locks would be
lost with any close() of the file in the process. A flock belongs to the open file and so to whoever inherits it: a
forked child closes its copies at once (and never unlocks, for that would unlock the parent's too).

Where there is no flock, as on some network filesystems, the living touch their lock every minute, and a writer is dead
when nothing in its directory was touched for ten minutes and its process is gone, or was of another machine or boot. A
machine that sleeps for longer can be taken for dead then: its spans arrive twice, and their stamps expose the copies.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
import time
import weakref
from pathlib import Path

from everyspan.clock import monotonic_s
from everyspan.model.ids import WriterId
from everyspan.spool.notes import header_of
from everyspan.spool.segment import segments_in

LOCK = "lock"
UNDER_CONSTRUCTION = ".new-"

CLAIM = "claim"
"""Stands in for the lock of an adopted directory where there is no flock."""

DEAD_AFTER_S = 600
TOUCH_EVERY_S = 60

_LOGGER = logging.getLogger("everyspan")
_NO_FLOCK_HERE = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})
_told: set[Path] = set()
"""Where it was said that there is no flock."""


class Lease:
    """A lock held on one writer's directory, until `release` or the end of the process."""

    _fd = -1

    def __init__(self, directory: Path, fd: int, *, by_age: bool = False) -> None:
        self.directory = directory
        self.by_age = by_age
        """There is no flock here: others look at how old our files are."""
        self._fd = fd
        self._claimed = by_age
        self._touched_s = 0.0
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
            self.by_age = True

    def keep_alive(self) -> None:
        """Where there is no flock: show that somebody is here. Call it often; it does something once a minute."""
        if not self.by_age or monotonic_s() < self._touched_s + TOUCH_EVERY_S or self._fd < 0:
            return
        self._touched_s = monotonic_s()
        _tell_once(self.directory.parent)
        try:
            os.utime(self._fd)
        except OSError as error:
            _LOGGER.debug("%s can not be touched: %s", self.directory, error)

    def release(self) -> None:
        """Let others have the directory; safe to repeat."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
            if self._claimed:
                (self.directory / CLAIM).unlink(missing_ok=True)

    def abandon(self) -> None:
        """In a forked child: close our copy and change nothing; the parent still has it."""
        self._claimed = False
        self.release()


_held: weakref.WeakSet[Lease] = weakref.WeakSet()


def _release_in_child() -> None:
    for lease in list(_held):
        lease.abandon()


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
        if error.errno in _NO_FLOCK_HERE and _taken_by_age(directory):
            return Lease(directory, fd, by_age=True)
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


def alive_by_age(directory: Path) -> bool | None:
    """Whether the writer of `directory` counts as alive where there is no flock; None where there is. Takes no lock.

    Raises:
        OSError: the directory can not be read.
    """
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # The directory's own lock, which means nothing to anybody: only whether there are locks.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return not _is_dead(directory) if error.errno in _NO_FLOCK_HERE else None
    finally:
        os.close(fd)
    return None


def _open_lock(directory: Path, how: int) -> int:
    return os.open(directory / LOCK, os.O_RDWR | how | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _taken_by_age(directory: Path) -> bool:
    """Whether the writer of `directory` is dead, and nobody else has claimed it."""
    _tell_once(directory.parent)
    claim = directory / CLAIM
    if not _is_dead(directory):
        return False
    try:
        if time.time() - os.lstat(claim).st_mtime < DEAD_AFTER_S:
            return False
        claim.unlink()
    except FileNotFoundError:
        pass  # nobody ever claimed it, or another one took the old claim away just now: one of us gets the new one
    try:
        os.close(os.open(claim, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    except FileExistsError:
        return False
    return True


def _is_dead(directory: Path) -> bool:
    # The lock file was opened for this look, which does not touch it.
    touched_s = max(
        (entry.stat(follow_symlinks=False).st_mtime for entry in os.scandir(directory)), default=0.0
    )
    if time.time() - touched_s < DEAD_AFTER_S:
        return False
    extents = segments_in(directory)
    about = header_of(extents[-1]) if extents else {}
    pid = about.get("pid")
    if about.get("boot") != boot_id() or not isinstance(pid, int):
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False  # somebody else's process has that number now, and may be another one: better wait
    return False


def _tell_once(root: Path) -> None:
    if root not in _told:
        _told.add(root)
        _LOGGER.warning(
            "everyspan: %s is on a filesystem without flock. A process counts as dead there when it has written "
            "nothing for %d minutes and is gone, or was on another machine.",
            root,
            DEAD_AFTER_S // 60,
        )


def boot_id() -> str:
    """What tells this machine, since it was started, from any other; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
