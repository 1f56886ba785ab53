"""The examination from outside: everything that can be told without the program itself."""

from __future__ import annotations

from collections.abc import Iterator

from everyspan.doctor.backlog import examine_waiting
from everyspan.doctor.destinations import examine_destinations
from everyspan.doctor.directory import examine_directory
from everyspan.doctor.environment import examine_environment
from everyspan.doctor.finding import Finding
from everyspan.doctor.packages import examine_packages
from everyspan.settings import Settings, Surroundings


def examine(settings: Settings, around: Surroundings) -> Iterator[Finding]:
    """Look at packages, variables, destinations and the spool, in that order; only empty requests are sent."""
    yield from examine_packages(anthropic_traces=around.anthropic_traces)
    yield from examine_environment(around)
    yield from examine_destinations(
        settings.destinations, explicit=settings.explicit, allow_key_in_clear=settings.allow_key_in_clear
    )
    yield from examine_directory(settings.spool_dir, fsync=settings.fsync, cap_bytes=settings.spool_bytes)
    known = {destination.id for destination in settings.destinations}
    yield from examine_waiting(settings.spool_dir, known=known, cap_bytes=settings.spool_bytes)
