"""The baselines on texts, which need no model: computed beside what does."""

from __future__ import annotations

from typing import Any

from tunesmith.data.prepared import PreparedData
from tunesmith.engine.background import BackgroundTask
from tunesmith.engine.protocols import PredictiveTask
from tunesmith.evaluate.baselines import text_baselines
from tunesmith.evaluate.types import Outcome


def baselines_on_texts(task: PredictiveTask, data: PreparedData, seed: int) -> BackgroundTask[dict[str, Outcome]]:
    """The baselines that learn from the training texts alone, on the test rows."""
    train, test = (data.rows.select(data.splits[split]) for split in ("train", "test"))
    given = texts_of(train), task.truth(train["target"][:]), texts_of(test), task.truth(test["target"][:])
    kind, names = task.kind, task.label_names
    return BackgroundTask(lambda emit: text_baselines(kind, *given, names, seed=seed, emit=emit))


def texts_of(rows: Any) -> list[Any]:
    """The text of each row, or its pair of texts."""
    if "text_pair" in rows.column_names:
        return list(zip(rows["text"][:], rows["text_pair"][:], strict=True))
    return list(rows["text"][:])
