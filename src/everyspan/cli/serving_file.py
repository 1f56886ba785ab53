"""The settings file of `everyspan serve`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from everyspan.errors import SettingsError

_KINDS: dict[str, type] = {
    "host": str,
    "port": int,
    "grpc_port": int,
    "data_dir": str,
    "store": str,
    "keys": list,
    "retain": list,
    "log": str,
}
_WORDS = {str: "a text", int: "a whole number from 0 to 65535", list: "a list of texts"}


def read_settings(path: Path) -> dict[str, Any]:
    """What the file sets, as the options of the command are called; paths of it are from its own directory.

    Raises:
        SettingsError: it cannot be read, or a key is unknown or of another type; the message names both.
    """
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as unusable:
        raise SettingsError(f"the settings in {path} cannot be read: {unusable}") from None
    for name, value in said.items():
        if name not in _KINDS:
            raise SettingsError(f"{path}: {name!r} is no setting; known: {', '.join(_KINDS)}")
        if not _fits(value, _KINDS[name]):
            raise SettingsError(f"{path}: {name} is {value!r}; it takes {_WORDS[_KINDS[name]]}")
    found = {name: tuple(value) if isinstance(value, list) else value for name, value in said.items()}
    if "data_dir" in found:
        found["data_dir"] = path.parent / str(found["data_dir"])
    return found


def _fits(value: object, kind: type) -> bool:
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 65535
    if kind is list:
        return isinstance(value, list) and all(isinstance(each, str) for each in value)
    return isinstance(value, kind)
