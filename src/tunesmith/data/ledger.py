"""The ledger: what became of every input row. Knows row ids and reasons, nothing of texts or files."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

STATUSES = ("used", "cut", "dropped")
_USED, _CUT, _DROPPED = range(3)


class Ledger:
    """Every input row ends as used, cut (truncated) or dropped, with its reason.

    Two small arrays hold it all (one status byte and one reason byte a row), so that a million rows
    cost two megabytes.

    **Usage**:
    ledger = Ledger(rows_in=3)
    ledger.drop([0], "no text")             # row 0 is gone
    ledger.cut([2], "longer than 256 tokens")
    ledger.counts()                          # {"rows": 3, "used": 1, "cut": 1, "dropped": 1, ...}
    """

    def __init__(self, rows_in: int):
        self.rows_in = rows_in
        self.status: npt.NDArray[np.uint8] = np.zeros(rows_in, dtype=np.uint8)
        self.reason: npt.NDArray[np.uint8] = np.zeros(rows_in, dtype=np.uint8)
        self.reasons: list[str] = [""]

    def drop(self, row_ids: npt.ArrayLike, reason: str) -> None:
        """Mark rows as dropped. A row that is already dropped keeps its first reason."""
        self._mark(row_ids, reason, _DROPPED)

    def cut(self, row_ids: npt.ArrayLike, reason: str) -> None:
        """Mark rows as used but truncated. Dropped rows stay dropped; the first reason is kept."""
        self._mark(row_ids, reason, _CUT)

    def note(self, row_ids: npt.ArrayLike, reason: str) -> None:
        """Say of rows that are used what was done to them; one that is cut or dropped keeps its reason."""
        self._mark(row_ids, reason, _USED)

    def counts(self) -> dict[str, Any]:
        """`{"rows", "used", "cut", "dropped", "reasons": {"cut": {reason: n}, "dropped": {...}}}`; where rows that are
        used have a reason too, `reasons` has them under "used".

        `used + cut + dropped == rows`, always.
        """
        counts: dict[str, Any] = {"rows": self.rows_in}
        reasons = {}
        for code, status in enumerate(STATUSES):
            rows = self.status == code
            counts[status] = int(rows.sum())
            numbers = np.bincount(self.reason[rows], minlength=len(self.reasons)).tolist()
            given = {reason: n for reason, n in zip(self.reasons, numbers, strict=True) if n and reason}
            if given or status != "used":
                reasons[status] = given
        return {**counts, "reasons": reasons}

    def statuses(self) -> list[str]:
        """The status of every row, in the order of row ids."""
        return [STATUSES[code] for code in self.status]

    def kept(self) -> npt.NDArray[np.int64]:
        """Row ids that are not dropped, ascending."""
        return np.flatnonzero(self.status != _DROPPED).astype(np.int64)

    def _mark(self, row_ids: npt.ArrayLike, reason: str, status: int) -> None:
        ids = np.asarray(row_ids, dtype=np.int64)
        if ids.size == 0:
            return
        if ids.min() < 0 or ids.max() >= self.rows_in:
            raise IndexError(f"row ids must lie in 0..{self.rows_in - 1}, got {ids.min()}..{ids.max()}")
        free = ids[self.status[ids] == _USED] if status != _DROPPED else ids[self.status[ids] != _DROPPED]
        self.status[free] = status
        self.reason[free] = self._code(reason)

    def _code(self, reason: str) -> int:
        if reason not in self.reasons:
            if len(self.reasons) > np.iinfo(np.uint8).max:
                raise ValueError("a ledger holds at most 255 reasons: put numbers elsewhere")
            self.reasons.append(reason)
        return self.reasons.index(reason)
