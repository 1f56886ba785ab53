"""Which collector a command asks."""

from __future__ import annotations

from everyspan.reading.asking import Answer, Collector, Parameter
from everyspan.settings import collector

__all__ = ["Answer", "Collector", "Parameter", "find"]


def find(url: str | None, api_key: str | None) -> Collector:
    """The collector to ask: the one named, else the one that spans are sent to.

    Raises:
        SettingsError: the name is no URL.
    """
    base, key = collector(url, api_key=api_key)
    return Collector(url=base, api_key=key)
