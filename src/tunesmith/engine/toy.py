"""What a task brings so that it can be tested."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith.models import tiny


@dataclass
class Toy:
    """What the conformance tests learn a task on: a few rows, and a base that is as small."""

    rows: list[dict[str, Any]]
    """JSON values, written as JSON Lines."""
    words: dict[str, Any]
    """Options that suit them."""
    base: Callable[[Path], object] = tiny.encoder
    """Writes a tiny model of random weights into an empty folder."""
    reaches: float | None = None
    """What the first metric is to be on the rows that were learned; None: better than before."""
    rate: float = 3e-3
    """A learning rate for random weights, before the method's own `toy_rate`."""
    files: dict[str, bytes] = field(default_factory=dict)
    """What rows name by a path: laid beside them."""
