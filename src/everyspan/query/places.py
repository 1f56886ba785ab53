"""Where each span of a trace stands in the tree, whatever their parents say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Protocol


class Placed(Protocol):
    """What the place of a span is found by."""

    @property
    def span_id(self) -> str: ...
    @property
    def parent_id(self) -> str | None: ...


def places(rows: Sequence[Placed]) -> Iterator[tuple[int, int, bool]]:
    """Rows given by start, in the order of a tree printed from top to bottom: each row's index, exactly once, with its
    depth and whether it names a parent that is not among them.

    Of rows that repeat a span id, the first one takes the children. A ring of parents is cut open at the
    earliest span that is in it or hangs from it, which then stands at depth 0.
    """
    first_of: dict[str, int] = {}
    for index, row in enumerate(rows):
        first_of.setdefault(row.span_id, index)
    children: dict[int, list[int]] = defaultdict(list)
    roots = []
    for index, row in enumerate(rows):
        parent = first_of.get(row.parent_id) if row.parent_id else None
        if parent is None or parent == index:
            roots.append(index)
        else:
            children[parent].append(index)
    placed: set[int] = set()
    # The roots, then whatever no root leads to: only members of rings, and what hangs from them.
    for top in (*roots, *range(len(rows))):
        # A stack instead of recursion: an agent's chain of spans may be deeper than Python's stack.
        waiting = [(top, 0)]
        while waiting:
            index, depth = waiting.pop()
            if index in placed:
                continue
            placed.add(index)
            parent_id = rows[index].parent_id
            yield index, depth, parent_id is not None and parent_id not in first_of
            if index in children:
                waiting += ((child, depth + 1) for child in reversed(children[index]))
