"""Whether targets stay what they are when rows are changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from tunesmith.engine.encoded import EncodedItems

_KEPT = 0.95
"""Share of what a head is better than one answer for all that must be left when rows are changed, for their targets to
be the same."""


class Invariance(NamedTuple):
    """What a linear head on the frozen base, fitted to some training rows, scores on others: as they are, and changed;
    and what one answer for all of them scores."""

    metric: str
    plain: float
    changed: float
    constant: float
    rows: int
    higher_is_better: bool

    @property
    def holds(self) -> bool:
        """A head that knows next to nothing can not say so."""
        sign = 1 if self.higher_is_better else -1
        plain, changed = sign * (self.plain - self.constant), sign * (self.changed - self.constant)
        noise = (1.0 if self.higher_is_better else self.constant) / self.rows**0.5  # of a share two standard errors
        return plain > noise and changed >= _KEPT * plain


Ask: TypeAlias = Callable[[EncodedItems], Invariance]
"""What is made of rows that were changed, when the same ones in the same order are asked for."""
