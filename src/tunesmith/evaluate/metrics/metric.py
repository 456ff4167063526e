"""What a metric is, whatever it measures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

SHARE = (0.0, 1.0)
PERCENT = (0.0, 100.0)
CORRELATION = (-1.0, 1.0)
ERROR = (0.0, float("inf"))


@dataclass(frozen=True)
class Metric:
    """A line of TABLE.

    `function` gives values float64 [r] under r weightings of the rows, NaN where undefined. It is given a `Sample` of
    an outcome, or the sums [r, d] of row statistics: whichever fits its kinds.
    """

    function: Callable[[Any], np.ndarray]
    higher_is_better: bool | None
    """None where neither is (a length ratio is best at 1)."""
    kinds: tuple[str, ...]
    """What it measures: 'label', 'labels', 'number', 'text', ... (`Measured.kind`)."""
    range: tuple[float, float]
    """Of the best possible implementation."""
    title: str = ""
    """As people read it; made of the name where it is empty (`words.metric`)."""
    hub: str = ""
    """The Hugging Face hub's name for it, where it has one."""
    costly: bool = False
    """Sorting metrics: fewer resamples, and an interval from their standard deviation."""
