"""Documents that are said to be wrong for a query, and read nearly as one that is right."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from tunesmith.core.errors import Problem
from tunesmith.core.events import Emit, Warned
from tunesmith.data.duplicates import normalise

_ALIKE = 0.8
"""Of the different words of both, the share that stands in both."""
_SHOWN = 3


def find(table: pa.Table, targets: np.ndarray) -> list[tuple[int, int]]:
    """(row of the wrong document, row of the right one), by rows. `targets` float64 [n, 4] (`data.pairs`). A document
    that is right for the query by another row is one too."""
    scores, query, document, negative = targets.T
    right: dict[float, list[int]] = defaultdict(list)
    for row in np.flatnonzero(scores > 0).tolist():
        right[float(query[row])].append(row)
    wrong = [(int(row), "text_pair", float(document[row])) for row in np.flatnonzero(scores <= 0)]
    if "text_negative" in table.column_names:
        wrong += [(int(row), "text_negative", float(negative[row])) for row in np.flatnonzero(negative != 0)]
    wrong = [one for one in wrong if float(query[one[0]]) in right]
    if not wrong:
        return []
    known = {side: table.column(side) for side in {"text_pair", *(side for _, side, _ in wrong)}}
    words: dict[tuple[int, str], frozenset[str]] = {}

    def of(row: int, side: str) -> frozenset[str]:
        if (row, side) not in words:
            words[row, side] = frozenset(normalise([known[side][row].as_py() or ""])[0].split())
        return words[row, side]

    found = []
    for row, side, key in sorted(wrong):
        for other in right[float(query[row])]:
            mine, its = of(row, side), of(other, "text_pair")
            same = key == float(document[other]) and (side == "text_negative" or other != row)
            if same or (mine and len(mine & its) >= _ALIKE * len(mine | its)):
                found.append((row, other))
                break
    return found


def tell(table: pa.Table, targets: np.ndarray, place: Callable[[int], Problem], emit: Emit) -> None:
    """Warn of them. `place`: where a row stood."""
    found = find(table, targets)
    if not found:
        return

    def said(row: int) -> str:
        one = place(row)
        return f"line {one.line}" if one.line is not None else f"row {one.row}"

    some = ", ".join(f"{said(row)} (as {said(right)})" for row, right in found[:_SHOWN])
    told = f"{len(found):,} wrong documents read nearly as a right one of their query: {some}"
    emit(Warned("suspected false negatives", f"{told}. They may be right: look at them, and mend their score"))
