"""The seam of a kind of target that is neither labels nor a number: how its column is found and read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from tunesmith.core import registry
from tunesmith.core.errors import Problem
from tunesmith.core.events import Emit
from tunesmith.data.profile import Profile
from tunesmith.data.types import Columns


class TargetKind(ABC):
    """It has no state. Targets hold labels, whose names a run learns from all rows, or none. What `read` made of a cell
    can be read once more."""

    arrow: ClassVar[pa.DataType] = pa.list_(pa.string())
    labelled: ClassVar[bool] = True
    """Whether targets hold labels; else no row is set apart by its target, nor refused for it."""
    sure: ClassVar[float] = 10.0
    """What is claimed, at the least, of a column that can be no other kind of target, and no input."""

    def gather(self, table: pa.Table, target: Sequence[str], sure: bool) -> pa.Table:
        """A table as it is read, where several of its columns are one target, with these as one. `target`: what was
        asked for; `sure`: whether the task can learn no other kind."""
        return table

    @abstractmethod
    def claims(self, profile: Profile) -> float:
        """How much a column looks like such a target; 0: not at all."""

    @abstractmethod
    def why(self, profile: Profile) -> str:
        """How its cells were understood."""

    def labels(self, profile: Profile) -> set[str]:
        """The labels in its cells as they are written; none where it is not `labelled`."""
        return set()

    def meaning(self, columns: Columns, profile: Profile) -> tuple[Columns, str | None]:
        """The columns with what their cells mean, where nobody said it: names of labels, each written some way; and how
        that was found out. None: as they are."""
        return columns, None

    def anchored(self, column: pa.ChunkedArray, folder: Path) -> pa.ChunkedArray:
        """The cells as they mean the same in another folder; relative paths begin at `folder`."""
        return column

    def keeps(self, kind: pa.DataType) -> bool:
        """Whether cells of a type are such targets as they are, so that its fields make no columns of their own."""
        return bool(kind == self.arrow)

    def odd(
        self, column: pa.ChunkedArray, inputs: Sequence[pa.ChunkedArray], columns: Columns,
        place: Callable[[int, str], Problem],
    ) -> list[str]:  # fmt: skip
        """What is learned of cells that is not what stands there, with its `place` (of a row and a message)."""
        return []

    def warn(self, column: pa.ChunkedArray, place: Callable[[int], Problem], emit: Emit) -> None:  # noqa: B027
        """Say what is odd in the targets that were read; `place`: where a row stood."""

    def labels_of(self, target: Any) -> Sequence[str]:
        """The labels in a target that was read."""
        found: Sequence[str] = target
        return found

    def identity(self, target: Any) -> Hashable:
        """What equal targets have in common, and no others."""
        return tuple(target)

    def shown(self, target: Any) -> Any:
        """A target that was read, for people."""
        return target

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
