"""The baselines that need no base model: computed beside what does."""

from __future__ import annotations

import numpy as np

from tunesmith.core.events import Emit, ignore
from tunesmith.core.measured import Measured
from tunesmith.data.features import by_column
from tunesmith.data.prepared import PreparedData
from tunesmith.engine.background import BackgroundTask
from tunesmith.engine.modality import Matrix
from tunesmith.engine.protocols import PredictiveTask
from tunesmith.engine.tokens import FEATURES
from tunesmith.evaluate.baselines import of_table
from tunesmith.runs import choose


def in_background(task: PredictiveTask, data: PreparedData, seed: int) -> BackgroundTask[dict[str, Measured]]:
    """The baselines that learn from the training rows alone, on the test rows."""
    return BackgroundTask(lambda emit: of_data(task, data, seed, emit=emit))


def of_data(
    task: PredictiveTask, data: PreparedData, seed: int, *, constant: bool = False, widths: list[int] | None = None,
    emit: Emit = ignore,
) -> dict[str, Measured]:  # fmt: skip
    """The same, now; `constant`: only the one that looks at no input. `widths` is told how many features there are."""
    modality = choose.modality_of(task)
    train, test = (data.rows.select(data.splits[split]) for split in ("train", "test"))

    def features(chosen: np.ndarray, emit: Emit) -> tuple[Matrix, Matrix]:
        found = modality.cheap_features(train if len(chosen) == len(train) else train.select(chosen), test, emit)
        if widths is not None:
            widths.append(found[0].shape[1])
        return found

    truths = task.truth_of(train["target"][:], train), task.truth_of(test["target"][:], test)
    cheap = None if constant else modality.cheap
    found = task.target.baselines((train, test), truths, cheap, features, seed=seed, emit=emit)
    if task.table is None or constant:
        return found
    cells = [by_column(rows[FEATURES][:], [column.name for column in task.table.columns]) for rows in (train, test)]
    beside = task.table.transform(cells[0]), task.table.transform(cells[1])
    return found | of_table(task.kind, truths, task.label_names, beside, seed=seed)
