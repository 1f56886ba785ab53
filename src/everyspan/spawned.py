"""Run by `runpy` in a child that `multiprocessing` spawns: starts everyspan with the settings of its parent.

Not to be imported. Its globals `settings` and `around` come from `everyspan.instrument.process.Beginning`.
"""

from __future__ import annotations

import logging
import pickle
import sys
from pathlib import Path
from typing import Any


def _begin(settings: bytes, around: tuple[Any, ...]) -> None:
    """Record from here on, below the span that was current where the child was started."""
    root = str(Path(__file__).parents[1])
    if root not in sys.path:
        sys.path.append(root)  # until the parent's own path comes, a moment later
    from opentelemetry import context

    from everyspan import client
    from everyspan.instrument.carried import Surroundings
    from everyspan.record import ambient

    client.start_child(
        pickle.loads(settings)
    )  # our parent's own bytes, through a pipe that only it can write to
    carried = Surroundings(*around)
    context.attach(carried.context())
    ambient.say(carried.said)


_given: dict[str, Any] = globals()
if "settings" in _given:
    try:
        _begin(_given["settings"], _given["around"])
    except Exception as error:  # noqa: BLE001 - the guard of this entry point: the program's child must run
        logging.getLogger("everyspan").warning("everyspan does not record in this process: %r", error)
