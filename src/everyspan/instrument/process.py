"""`multiprocessing` and `ProcessPoolExecutor`: children record like their parent, and deliver before they end.

- A forked child has everything already, but ends with `os._exit`: what it should do at its end has to be told to
  `multiprocessing`, which calls it before that.
- A spawned child, or one of the fork server, is a new interpreter that knows nothing of us. What `multiprocessing`
  tells it before anything else (the preparation data) gets one more entry, which starts everyspan when it is unpickled.
- Celery forks with `billiard`, a `multiprocessing` of its own, whose workers end with `os._exit` as well.
- Work that goes to a pool takes the span along under which it was submitted.

No `.pth` file, no `sitecustomize`, no environment variable: programs that did not ask for it stay as they are.
"""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from everyspan.instrument import patch
from everyspan.instrument.carried import CarriedWork, surroundings
from everyspan.instrument.imports import when_imported
from everyspan.record.tally import TALLY

_LAST = -1_000
"""Priority of our finalizer: after the program's own, and after the children were joined (multiprocessing.util)."""


class Beginning:
    """Starts everyspan wherever it is unpickled. It names a file, so that no import can fail in a child without us.

    Args:
        script: run there, with `settings` and `around` as globals.
        settings: pickled, because unpickling them imports everyspan, which the script has to make possible first.
    """

    def __init__(self, script: Path, settings: bytes) -> None:
        self._script = script
        self._settings = settings
        self._around = tuple(surroundings())

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """What pickle writes: a call of `runpy.run_path`."""
        return runpy.run_path, (str(self._script), {"settings": self._settings, "around": self._around})


class ProcessHooks:
    """Installed once per process; keep it alive, `multiprocessing` refers to it weakly.

    Args:
        leave: what the process does at its end.
        settings: the settings of this moment, pickled; for children.
        script: what starts everyspan in a child (`everyspan/spawned.py`).
    """

    def __init__(self, *, leave: Callable[[], None], settings: Callable[[], bytes], script: Path) -> None:
        self._leave = leave
        self._settings = settings
        self._script = script
        self._finalizer: Any = None
        self._finalizer_pid = 0
        self._util: Any = None
        self.had_children = False
        """Whether this process forked, or `multiprocessing` started another one from here."""

    def install(self) -> None:
        """Hook the parts of `multiprocessing` that are loaded, and those that will be."""
        when_imported("multiprocessing.util", self._hook_util)
        when_imported("multiprocessing.spawn", self._hook_spawn)
        when_imported("multiprocessing.pool", _hook_pool)
        when_imported("concurrent.futures.process", _hook_executor)
        when_imported("billiard.pool", self._hook_billiard)

    def forks(self) -> None:
        """After a fork, in the parent."""
        self.had_children = True

    def forked(self) -> None:
        """After a fork, in the child."""
        self.had_children = False

    @property
    def leaves_later(self) -> bool:
        """Whether `multiprocessing` is still to call `leave` in this process, after it has joined the children."""
        return (
            self._finalizer is not None
            and self._finalizer_pid == os.getpid()
            and bool(self._finalizer.still_active())
        )

    def _hook_util(self, module: ModuleType) -> None:
        self._util = module
        self._finish_last()
        self._util.register_after_fork(self, ProcessHooks._finish_last)

    def _finish_last(self) -> None:
        # A child forgets the finalizers of its parent before it comes here (multiprocessing.process, `_after_fork`).
        self._finalizer_pid = os.getpid()
        self._finalizer = self._util.Finalize(None, self._leave, exitpriority=_LAST)

    def _hook_billiard(self, module: ModuleType) -> None:
        # Celery's workers end here, in `os._exit` (billiard 4.3), and its own finalizers are not called.
        patch.exchange(module.Worker._do_exit, self._exit_billiard)

    def _exit_billiard(
        self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        try:
            self._leave()
        except Exception as error:  # noqa: BLE001 - the worker must end
            TALLY.fault("deliver at the end of a worker", error)
        return original(*args, **kwargs)

    def _hook_spawn(self, module: ModuleType) -> None:
        patch.exchange(module.get_preparation_data, self._prepare)

    def _prepare(self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        data = original(*args, **kwargs)
        self.had_children = True
        try:
            # A child of another interpreter, or of a zipped installation, could not run the script.
            if _starts_this_python() and self._script.is_file():
                data["everyspan"] = Beginning(self._script, self._settings())
        except Exception as error:  # noqa: BLE001 - the program's process must start
            TALLY.fault("prepare a child process", error)
        return data


def _starts_this_python() -> bool:
    """False when `multiprocessing` was told to start another interpreter, which may not have everyspan."""
    spawn = sys.modules.get("multiprocessing.spawn")
    return spawn is None or os.fsdecode(spawn.get_executable() or b"") == sys.executable


def _hook_executor(module: ModuleType) -> None:
    patch.exchange(module.ProcessPoolExecutor.submit, _carry)  # `map` submits, too


def _hook_pool(module: ModuleType) -> None:
    for method in ("apply_async", "_map_async", "imap", "imap_unordered"):  # the others call these
        patch.exchange(getattr(module.Pool, method), _carry)


def _carry(original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not _starts_this_python():
        return original(*args, **kwargs)
    if len(args) < 2:  # the function was given by name
        if "func" not in kwargs:
            return original(*args, **kwargs)
        return original(*args, **{**kwargs, "func": CarriedWork(kwargs["func"], surroundings())})
    pool, work, *rest = args
    return original(pool, CarriedWork(work, surroundings()), *rest, **kwargs)
