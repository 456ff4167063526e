"""evaluate: the metrics of a finished run on other data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunesmith.core.events import Emit, ignore
from tunesmith.core.files import scratch
from tunesmith.data.prepare import parse_targets, read_rows, refuse_blank
from tunesmith.evaluate import metrics
from tunesmith.workflows import language_use
from tunesmith.workflows.language_model import TextGenerator
from tunesmith.workflows.load import language_folder
from tunesmith.workflows.model import Model
from tunesmith.workflows.reading import read_options_for, read_other


def evaluate(run: Any, data: Any, *, seed: int = 0, emit: Emit = ignore, **reading: Any) -> dict[str, Any]:
    """`{"rows": n, "metrics": {name: {"value", "low", "high"}}}` on `data` (anything `train` reads).

    `run`: a path, a Run, or a loaded model. The columns must be named as in training. `reading`: how the file is read
    (encoding, delimiter, decimal, header_row, sheet, ...), as the data of the run was when not given. Raises DataError
    for rows without text or target, for labels that the model does not know, and for missing columns.
    """
    writes = run if isinstance(run, TextGenerator) else None
    language = writes if writes or isinstance(run, Model) else language_folder(Path(run), wanted=False)
    if language is not None:
        options = read_options_for(run, data, reading)
        return language_use.evaluate(language, data, seed=seed, emit=emit, reading=options)
    model = run if isinstance(run, Model) else Model.load(Path(run))
    with scratch() as folder:
        rows = read_other(
            lambda options: read_rows(data, emit=emit, cache_dir=folder, columns=model.columns, reading=options),
            run, data, reading,
        )  # fmt: skip
        name = str(data) if isinstance(data, str | Path) else type(data).__name__
        refuse_blank(rows, model.columns, name)
        targets = parse_targets(rows, model.columns, model.labels, name)
        outcome = model.outcome(model.scores(model.texts(rows)), targets)
        return {"rows": len(rows), "metrics": metrics.with_intervals(outcome, seed=seed)}
