"""Values in a row, that Jupyter shows as a table and that become Arrow, pandas or polars where these are installed."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from html import escape
from typing import Any, Generic, TypeVar, overload

from everyspan.errors import SettingsError

Item = TypeVar("Item")

_SHOWN = 100
_INSIDE = frozenset({"usage", "totals", "duration", "first_token"})
"""Values in values whose fields become columns of their own."""


class Table(Sequence[Item], Generic[Item]):
    """A list of typed values, all of one kind."""

    def __init__(self, items: Sequence[Item], *, columns: Sequence[str] = ()) -> None:
        self._items = tuple(items)
        self._columns = tuple(columns)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Table[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | Table[Item]:
        if isinstance(index, slice):
            return Table(self._items[index], columns=self._columns)
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def __repr__(self) -> str:
        return f"<{len(self)} of {type(self._items[0]).__name__}>" if self._items else "<nothing>"

    def records(self) -> list[dict[str, Any]]:
        """One plain dictionary for each: money is `Decimal`, times are whole nanoseconds, lists are lists."""
        return [record(item) for item in self._items]

    def arrow(self) -> Any:
        """A `pyarrow.Table`; money as exact decimals.

        Raises:
            SettingsError: pyarrow is not installed.
        """
        return installed("pyarrow").Table.from_pylist(self.records())

    def df(self) -> Any:
        """A `pandas.DataFrame`; money as `Decimal` objects.

        Raises:
            SettingsError: pandas is not installed.
        """
        return installed("pandas").DataFrame.from_records(self.records())

    def pl(self) -> Any:
        """A `polars.DataFrame`; money as exact decimals.

        Raises:
            SettingsError: polars is not installed.
        """
        return installed("polars").DataFrame(self.records(), infer_schema_length=None)

    def _repr_html_(self) -> str:
        rows = [record(item) for item in self._items[:_SHOWN]]
        names = self._columns or (tuple(rows[0]) if rows else ())
        head = "".join(f"<th>{escape(name)}</th>" for name in names)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(_cell(row.get(name)))}</td>" for name in names) + "</tr>"
            for row in rows
        )
        more = f"<p>and {len(self) - _SHOWN:,} more</p>" if len(self) > _SHOWN else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def installed(name: str) -> Any:
    """The module of that name.

    Raises:
        SettingsError: it is not installed; the message says how to get it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise SettingsError(f"this needs {name}, which is not installed: pip install {name}") from None


def record(item: Any) -> dict[str, Any]:
    """The fields of a value, those of values inside it with its name in front."""
    found: dict[str, Any] = {}
    for field in fields(item):
        value = getattr(item, field.name)
        if field.name in _INSIDE and is_dataclass(value):
            plain = field.name in ("usage", "totals")
            inner = record(value)
            found |= {name if plain else f"{field.name}_{name}": each for name, each in inner.items()}
        else:
            found[field.name] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        # Arrow makes columns of the keys it meets; a list of pairs keeps its shape whatever the keys.
        return [{"state": str(_plain(name)), "calls": count} for name, count in value.items()]
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(
            " ".join(str(part) for part in each.values()) if isinstance(each, dict) else str(each)
            for each in value
        )
    text = str(value)
    return text if len(text) <= 120 else text[:119] + "…"
