"""The seam of a kind of target that is neither labels nor a number: how its column is found and read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import pyarrow as pa

from tunesmith.core import registry
from tunesmith.data.profile import Profile
from tunesmith.data.types import Columns


class TargetKind(ABC):
    """It has no state. Targets are lists of labels, whose names a run learns from all rows, or of the type `arrow`."""

    arrow: ClassVar[pa.DataType] = pa.list_(pa.string())
    labelled: ClassVar[bool] = True
    """Whether targets are lists of labels; else no row is set apart by its target, nor refused for it."""

    @abstractmethod
    def claims(self, profile: Profile) -> float:
        """How much a column looks like such a target; 0: not at all."""

    @abstractmethod
    def why(self, profile: Profile) -> str:
        """How its cells were understood."""

    def labels(self, profile: Profile) -> set[str]:
        """The labels in its cells as they are written; none where it is not `labelled`."""
        return set()

    @abstractmethod
    def read(
        self, column: pa.ChunkedArray, inputs: Sequence[pa.ChunkedArray], columns: Columns
    ) -> tuple[pa.Array, list[tuple[int, str]]]:
        """Targets of some rows as `arrow`, null where there is none, and faults as (row from 0, message). `inputs`:
        the input columns of the same rows, where they are there."""


def kind_named(name: str) -> TargetKind | None:
    """None for labels and numbers."""
    if name not in registry.names("data.target_kinds"):
        return None
    found: TargetKind = registry.get("data.target_kinds", name)()
    return found
