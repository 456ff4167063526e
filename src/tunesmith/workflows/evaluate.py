"""evaluate: the metrics of a finished run on other data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunesmith.core.events import Emit, ignore
from tunesmith.core.files import scratch
from tunesmith.data.prepare import parse_targets, read_rows, refuse_blank
from tunesmith.evaluate import metrics
from tunesmith.workflows import language_use
from tunesmith.workflows.load import language_folder
from tunesmith.workflows.model import Model


def evaluate(run: str | Path, data: Any, *, seed: int = 0, emit: Emit = ignore) -> dict[str, Any]:
    """`{"rows": n, "metrics": {name: {"value", "low", "high"}}}` on `data` (anything `train` reads).

    The columns must be named as in training. Raises DataError for rows without text or target, for
    labels that the model does not know, and for missing columns.
    """
    language = language_folder(run, wanted=False)
    if language is not None:
        return language_use.evaluate(language, data, seed=seed, emit=emit)
    model = Model.load(run)
    with scratch() as folder:
        rows = read_rows(data, emit=emit, cache_dir=folder, columns=model.columns)
        name = str(data) if isinstance(data, str | Path) else type(data).__name__
        refuse_blank(rows, model.columns, name)
        targets = parse_targets(rows, model.columns, model.labels, name)
        outcome = model.outcome(model.scores(model.texts(rows)), targets)
        return {"rows": len(rows), "metrics": metrics.with_intervals(outcome, seed=seed)}
