"""The seam of a kind of input: what a network makes of it, what is simple enough to compare with, how it is shown."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np
import pyarrow as pa
import scipy.sparse as sparse
from datasets import Dataset

from tunesmith.core.events import Emit
from tunesmith.data.modality import DataModality
from tunesmith.data.types import Columns
from tunesmith.engine.encoded import EncodedItems
from tunesmith.models.bundle import Bundle

Matrix: TypeAlias = "np.ndarray | sparse.csr_matrix"
"""Features by row, dense or sparse."""


class Modality(DataModality, ABC):
    """One kind of input, in all that it differs in. What has a default may be left out, and so is what needs it."""

    in_tokens: ClassVar[bool] = False
    """Whether rows are read as tokens, of which a base reads so many, and whose number a plan counts."""
    in_pixels: ClassVar[bool] = False
    """Whether rows are read as pictures of one size, by networks whose bundle has a processor."""
    in_windows: ClassVar[bool] = False
    """Whether rows that are longer than what a base reads are read in several pieces, so that nothing is left out."""
    cheap: ClassVar[str | None] = None
    """What `cheap_features` are called in the names of baselines and contenders; None where there are none."""
    size_name: ClassVar[str | None] = None
    """What `sizes` counts; None where rows are not told apart by size."""

    @abstractmethod
    def encode(
        self, rows: Dataset, bundle: Bundle, limit: int, folder: Path, check: Callable[[], None] = lambda: None
    ) -> EncodedItems:
        """Rows with the columns of `read` as tensors on disk, below `folder`, of at most `limit` tokens each. `check`
        is called now and then, and may raise."""

    @abstractmethod
    def inputs(self, items: Sequence[Any], columns: Columns) -> dict[str, list[Any]]:
        """What is asked in Python (inputs, or rows by column), as columns by role. Raises DataError for what is none,
        with its row."""

    def from_columns(self, rows: Dataset, columns: Columns) -> Dataset:
        """The input columns of a file's rows, as a run keeps them."""
        table = rows.with_format("arrow")[:]
        kept: dict[str, pa.Array] = {}
        for role, name in zip(self.roles, columns.inputs, strict=False):
            kept |= self.read(role, table.column(name), Path()).columns
        return Dataset(pa.table(kept))

    def blanks(self, inputs: Mapping[str, Sequence[Any]]) -> list[int]:
        """Positions of what `inputs` gave that holds nothing to go by."""
        return []

    def cheap_features(self, train: Dataset, test: Dataset, emit: Emit) -> tuple[Matrix, Matrix]:
        """Features [rows, n] that need no network, fitted on `train` alone. Raises ValueError with why there are none.
        Asked where `cheap` names them."""
        raise NotImplementedError

    def words(self, rows: Dataset) -> list[str] | None:
        """One text a row, whose language a base should speak; None where inputs hold no language."""
        return None

    def of_texts(self, texts: Sequence[str]) -> Dataset:
        """Texts as inputs. Asked where `words` gives some."""
        raise NotImplementedError

    @abstractmethod
    def shown(self, rows: Dataset) -> list[str]:
        """Each row in one line, for lists of examples and mistakes."""

    def picture(self, row: Mapping[str, Any]) -> str | None:
        """A data URI of a small picture of the row, for the report."""
        return None

    def typed(self, row: Mapping[str, Any]) -> str | None:
        """A row as it is given to `predict`; None: as it is shown."""
        return None

    def sizes(self, rows: Dataset) -> np.ndarray | None:
        """float64 [rows], by which the report slices; None where `size_name` is."""
        return None
