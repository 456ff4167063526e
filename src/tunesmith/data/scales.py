"""Ratings: numbers on a short scale of equal steps, such as 1 to 5 stars, half stars, or 0 to 10."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tunesmith.data.numbers import taken_apart, value

_ENDS = (5, 6, 7, 10)
"""Where usual scales end; 6 is that of school marks."""
_FEWEST, _MOST = 3, 21
NAMES = re.compile(
    r"(.*_)?(rating|ratings|stars?|score|grade|note|marks?|bewertung|sterne|punkte|schulnote|zufriedenheit|satisfaction|"
    r"nps|csat|likert|puntuacion|puntaje|calificacion|valoracion|estrellas|evaluation|etoiles|voto|valutazione|stelle|"
    r"nota|avaliacao|estrelas|cijfer|beoordeling|waardering|ocena|betyg|karakter|puan|overall)(_.*)?"
)
"""Names of columns that hold ratings, as `profile.simple` writes them."""


@dataclass(frozen=True)
class Scale:
    """From `low` to `high` in steps of `step` (1 or 0.5)."""

    low: float
    high: float
    step: float

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}" + ("" if self.step == 1 else f" in steps of {self.step:g}")


def scale_of(values: Sequence[float] | np.ndarray) -> Scale | None:
    """The scale that all these values lie on; None for other numbers.

    A scale begins at 0, 0.5 or 1, ends at 5, 6, 7 or 10, and most of its steps come.
    """
    different = np.unique(np.asarray(values, dtype=np.float64))
    if not _FEWEST <= different.size <= _MOST or (different * 2 % 1).any():
        return None
    step = 0.5 if (different % 1).any() else 1.0
    low, high = float(different[0]), float(different[-1])
    if low not in (0.0, 0.5, 1.0) or high not in _ENDS:
        return None
    steps = (high - low) / step + 1
    return Scale(low, high, step) if different.size >= 0.6 * steps else None


def scale_of_labels(names: Iterable[str]) -> Scale | None:
    """The scale that labels are on: all numbers, possibly with what they are out of ('4/5') or stars behind."""
    values = values_of(list(names))
    return None if values is None else scale_of(values)


def values_of(names: Sequence[str]) -> np.ndarray | None:
    """float64 [n]: labels as numbers ('4', '3,5', '4/5', '4 stars', '★★★★☆'); None where one is none."""
    parts = [part for name in names if (part := taken_apart(name)) is not None]
    if not parts or len({(part.unit, part.out_of) for part in parts} - {("", "")}) > 1:
        return None
    found = [(part.sign, value(part.body, "," if "," in part.body else ".")) for part in parts]
    numbers = [sign * number for sign, number in found if number is not None]
    return np.array(numbers) if len(numbers) == len(names) else None
