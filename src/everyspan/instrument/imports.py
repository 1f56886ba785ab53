"""Do something when a module has been imported, whether that was before or comes later.

Importing a client library ourselves would cost its users seconds they did not ask for, so hooks wait for the
program's own import.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from everyspan.record.tally import TALLY

Hook = Callable[[ModuleType], None]

_hooks: dict[str, list[Hook]] = {}


def when_imported(name: str, hook: Hook) -> None:
    """Call `hook` with module `name`: now when it is loaded, else right after its code has run. Never raises."""
    module = sys.modules.get(name)
    if module is not None and not _is_loading(module):
        _run(hook, module)
        return
    _hooks.setdefault(name, []).append(hook)
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _is_loading(module: ModuleType) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def _run(hook: Hook, module: ModuleType) -> None:
    try:
        hook(module)
    except Exception as error:  # noqa: BLE001 - an unknown version of a library must still import
        TALLY.fault(f"instrument {module.__name__}", error)


class _Finder:
    """Finds only the modules that somebody waits for, by asking the other finders, and adds the hook to the loader.

    A finder by its shape: the base classes of `importlib.abc` take 5 ms to import, and add nothing.
    """

    def __init__(self) -> None:
        self._asking: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in _hooks or fullname in self._asking:
            return None
        self._asking.add(fullname)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._asking.discard(fullname)
        if spec is not None and spec.loader is not None and hasattr(spec.loader, "exec_module"):
            spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
        return spec


class _Loader:
    """The module's own loader, and then the hooks."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        # From here on the module looks as if we had never been there (`__loader__` is used for resources).
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        for hook in _hooks.pop(module.__name__, []):
            _run(hook, module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)
