"""What was measured of some rows, of any kind: the one thing that intervals, comparisons and verdicts are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, Protocol, Self, TypedDict, runtime_checkable

import numpy as np


class LabelRow(TypedDict):
    """A label of the test rows: `support` have it, `predicted` were given it, from the probability `threshold` on. Of
    boxes `ap` and `ap50`, their average precision."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    predicted: int
    threshold: NotRequired[float]
    iou: NotRequired[float]
    """Of masks: intersection over union, with its interval over pictures, that of F1 (Dice), and how many pixels have
    the class."""
    iou_low: NotRequired[float]
    iou_high: NotRequired[float]
    f1_low: NotRequired[float]
    f1_high: NotRequired[float]
    pixels: NotRequired[int]
    ap: NotRequired[float]
    ap50: NotRequired[float]
    ap_low: NotRequired[float]
    ap_high: NotRequired[float]


class Measured(Protocol):
    """Rows that metrics can be taken of, under any weights of the rows."""

    @property
    def kind(self) -> str:
        """Which metrics fit it (`evaluate.metrics`), and which sections of a report."""

    @property
    def size(self) -> int:
        """How many numbers a costly metric sorts: the more, the fewer resamples."""

    def __len__(self) -> int: ...

    def names(self) -> list[str]:
        """The metrics that it has, in the order in which they are shown."""

    def values(self, names: Sequence[str], weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Each metric under r weightings of the rows, float64 [n, r]: float64 [r], NaN where undefined. Without
        weights every row counts once, and r is 1."""

    def take(self, rows: np.ndarray) -> Self:
        """The same for some rows only: indices or a boolean mask [n]."""

    def same_rows(self, other: object) -> bool:
        """Whether each row of the other is the same row, so that they can be compared in pairs."""

    def arrays(self) -> Mapping[str, np.ndarray]:
        """All of it, for a file (`evaluate.measured.from_arrays` reads it)."""

    def columns(self) -> dict[str, list[Any]]:
        """What a table of predictions holds of each row, by name."""

    def per_class(self) -> list[LabelRow]:
        """What it makes of each label; [] of what has none."""


@runtime_checkable
class Counted(Protocol):
    """Measured rows whose answers are no single label or number, but can be told in a few words."""

    def counted(self) -> tuple[list[str], list[str]]:
        """What each row was given, and what is true of it."""
