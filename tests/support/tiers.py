"""Which cases of a test every change is tested with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def repeats(cases: Iterable[Any], first: int = 1) -> list[Any]:
    """The first cases as they are; the others tell the same story once more, and are left to `make test-all`."""
    every = [one if isinstance(one, tuple) else (one,) for one in cases]
    return [pytest.param(*one, marks=[pytest.mark.slow] if at >= first else []) for at, one in enumerate(every)]
