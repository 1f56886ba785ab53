"""The examination from outside: everything that can be told without the program itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from everyspan.doctor.backlog import examine_waiting
from everyspan.doctor.destinations import examine_destinations
from everyspan.doctor.directory import examine_directory
from everyspan.doctor.environment import examine_environment
from everyspan.doctor.finding import Finding
from everyspan.doctor.packages import examine_packages
from everyspan.model.destination import Destination
from everyspan.settings import Settings, Surroundings


def examine(
    settings: Settings,
    around: Surroundings,
    *,
    destinations: tuple[Destination, ...] | None = None,
    spool_dir: Path | None = None,
) -> Iterator[Finding]:
    """Look at packages, variables, destinations and the spool, in that order; nothing is changed by it.

    Args:
        destinations: those to try instead of the settings', such as what a program has configured in its code.
        spool_dir: the spool to look at instead of the settings'.
    """
    chosen = settings.destinations if destinations is None else destinations
    directory = spool_dir or settings.spool_dir
    yield from examine_packages(anthropic_traces=around.anthropic_traces)
    yield from examine_environment(around)
    yield from examine_destinations(
        chosen,
        explicit=settings.explicit or destinations is not None,
        allow_key_in_clear=settings.allow_key_in_clear,
    )
    yield from examine_directory(directory, fsync=settings.fsync, cap_bytes=settings.spool_bytes)
    known = {destination.id for destination in chosen}
    yield from examine_waiting(directory, known=known, cap_bytes=settings.spool_bytes)
