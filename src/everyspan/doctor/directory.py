"""Whether the spool's directory can be used, and will be there tomorrow."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from everyspan.doctor.finding import Finding, ok, problem, warning
from everyspan.settings import Fsync
from everyspan.spool.room import default_cap_bytes

_MIB = 1 << 20
_FREE_BYTES = 256 * _MIB
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_LAYERED = frozenset({"overlay", "aufs"})
_BY_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "lustre", "virtiofs", "fuse.sshfs"}
)
_SLOW_SYNC_S = 0.1


def examine_directory(spool_dir: Path, *, fsync: Fsync, cap_bytes: int | None) -> Iterator[Finding]:
    """Whether this process could keep spans in `spool_dir`; a file is written there, synced, locked and removed."""
    existing = _nearest(spool_dir)
    if not existing.exists():
        yield _unusable(spool_dir, f"{existing} is a symlink to nowhere")
        return
    yield from _filesystem(existing)
    yield _room(existing, cap_bytes)
    yield _durability(fsync)
    if existing == spool_dir:
        yield from _permissions(spool_dir)
    yield _written(existing, spool_dir)


def _nearest(directory: Path) -> Path:
    """`directory`, or the nearest of its parents that exists."""
    return next(each for each in (directory, *directory.parents) if os.path.lexists(each))


def _filesystem(directory: Path) -> Iterator[Finding]:
    kind = filesystem_of(directory)
    if kind in _IN_MEMORY:
        yield warning(
            "spool.in_memory",
            f"{directory} is in memory ({kind}): what waits is gone when the machine or container stops",
            "set EVERYSPAN_SPOOL_DIR to a directory on a disk",
        )
    elif kind in _LAYERED:
        yield warning(
            "spool.layered",
            f"{directory} is in the container's own layer ({kind}): what waits is gone with the container",
            "set EVERYSPAN_SPOOL_DIR to a directory on a volume",
        )
    elif kind in _BY_NETWORK:
        yield warning(
            "spool.network",
            f"{directory} is on a network filesystem ({kind}): locks may not hold between machines, and a write can "
            "take long",
            "set EVERYSPAN_SPOOL_DIR to a local directory",
        )
    else:
        yield ok("spool.filesystem", f"{directory} is on {kind or 'a filesystem of unknown kind'}")


def filesystem_of(path: Path) -> str:
    """The type of the filesystem that holds `path`, as Linux calls it; empty where the system does not tell."""
    try:
        lines = (
            Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        )
    except OSError:
        return ""
    real = Path(os.path.realpath(path))
    kind, deepest = "", -1
    for line in lines:
        # "36 35 98:0 /root /mount/point rw,noatime master:1 - ext4 /dev/root rw", spaces in paths as \040
        before, _, after = line.partition(" - ")
        point = before.split()[4].replace("\\040", " ")
        depth = len(Path(point).parts)
        if depth >= deepest and real.is_relative_to(point):  # of two on one point the later one is seen
            kind, deepest = after.split()[0], depth
    return kind


def _room(directory: Path, cap_bytes: int | None) -> Finding:
    volume = os.statvfs(directory)
    free = volume.f_bavail * volume.f_frsize
    cap = cap_bytes or default_cap_bytes(directory, kept_bytes=0)
    says = f"{cap / _MIB:,.0f} MiB may wait for each destination, and {free / _MIB:,.0f} MiB are free"
    if free < _FREE_BYTES:
        return warning("spool.room", f"the disk is nearly full: {says}", "make room, or move the spool")
    return ok("spool.room", says)


def _durability(fsync: Fsync) -> Finding:
    means = {
        Fsync.NONE: "spans survive the death of the process, not a power cut",
        Fsync.INTERVAL: "a power cut costs the last half second",
        Fsync.ALWAYS: "spans survive a power cut",
    }
    return ok("spool.fsync", f"EVERYSPAN_FSYNC={fsync}: {means[fsync]}")


def _permissions(spool_dir: Path) -> Iterator[Finding]:
    for directory in (spool_dir, *(each for each in _entries(spool_dir) if not each.name.startswith("."))):
        found = directory.stat() if directory == spool_dir else directory.lstat()
        if stat.S_ISLNK(found.st_mode):
            yield _unusable(directory, "it is a symlink, which may lead anywhere")
        elif stat.S_ISDIR(found.st_mode) and found.st_uid != os.geteuid():
            yield _unusable(directory, f"it belongs to user {found.st_uid}, and this is user {os.geteuid()}")
        elif found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX:
            yield warning(
                "spool.permissions",
                f"others may write in {directory} (mode {stat.S_IMODE(found.st_mode):o}) and take spans away",
                f"chmod 700 {directory}",
            )


def _entries(spool_dir: Path) -> list[Path]:
    try:
        return sorted(spool_dir.iterdir())
    except OSError:
        return []  # the attempt to write says why


def _written(existing: Path, spool_dir: Path) -> Finding:
    # Trying tells more than asking: root may write everywhere, says access(2), also where the kernel lets nobody.
    probe = existing / f".doctor-{os.getpid()}-{os.urandom(3).hex()}"
    try:
        fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, bytes(4096))
            began = time.monotonic()
            os.fdatasync(fd)
            took_s = time.monotonic() - began
            locks = _can_lock(fd)
        finally:
            os.close(fd)
            os.unlink(probe)
    except OSError as error:
        return _unusable(spool_dir, error.strerror or str(error))
    if not locks:
        return warning(
            "spool.locks",
            f"{spool_dir} is on a filesystem without locks: a process counts as dead there when it has been silent "
            "for long, so what the dead left is delivered late",
            "set EVERYSPAN_SPOOL_DIR to a local directory",
        )
    if existing != spool_dir:
        return ok("spool.absent", f"{spool_dir} will be made at the first span")
    slow = ", which EVERYSPAN_FSYNC=always adds to each span" if took_s > _SLOW_SYNC_S else ""
    return ok("spool.writable", f"{spool_dir} can be written; a sync takes {took_s * 1_000:.1f} ms{slow}")


def _can_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _unusable(directory: Path, why: str) -> Finding:
    return problem(
        "spool.unusable",
        f"spans can not be kept in {directory}: {why}",
        "correct its owner and permissions, or set EVERYSPAN_SPOOL_DIR to a directory of this user",
    )
