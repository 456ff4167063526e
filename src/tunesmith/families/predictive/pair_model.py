"""What finished models of pairs of texts share: files that are asked have no scores, and perhaps but one side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from datasets import Dataset

from tunesmith.core.errors import DataError
from tunesmith.core.events import Emit
from tunesmith.data.predict_inputs import FileRows
from tunesmith.data.prepare import read_rows
from tunesmith.families.predictive.predictor import Model
from tunesmith.runs.reading import OtherData


class PairModel(Model):
    """See `predictor.Model`."""

    _one_side = False
    """Whether queries or documents alone can be asked."""

    def rows(self, other: OtherData, cache: Path, emit: Emit) -> Iterator[FileRows]:
        """See `runs.protocols.Predictor`. Where only one of the two columns is there, its texts alone."""
        whole = self.columns
        try:
            self.columns = replace(whole, inputs=self._sides(other, cache, emit), target=())
            yield from super().rows(other, cache, emit)
        finally:
            self.columns = whole

    def _sides(self, other: OtherData, cache: Path, emit: Emit) -> tuple[str, ...]:
        """The columns of queries and documents that the file has."""
        both = self.columns.inputs[:2]
        if not self._one_side:
            return both

        def reads(names: tuple[str, ...]) -> bool:
            columns = replace(self.columns, inputs=names, target=())
            try:
                found: Dataset = other.read(lambda how: read_rows(
                    other.data, emit=lambda _: None, cache_dir=cache, columns=columns, reading=how,
                    modality=self.modality,
                ))  # fmt: skip
            except DataError as error:
                if any("no such column" in problem.message for problem in error.problems):
                    return False
                raise
            return bool(len(found))

        return next((names for names in (both, both[:1], both[1:]) if reads(names)), both)
