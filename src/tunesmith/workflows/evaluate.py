"""evaluate: the metrics of a finished run on other data."""

from __future__ import annotations

from contextlib import nullcontext

from tunesmith.core.events import Emit
from tunesmith.data.predict_inputs import as_warning
from tunesmith.display.notebook import silence
from tunesmith.display.results import Evaluation
from tunesmith.runs.load import as_model
from tunesmith.runs.reading import other_data


def evaluate(
    run: object, data: object, *, seed: int = 0, verbose: bool = True, emit: Emit = as_warning, **reading: object
) -> Evaluation:
    """Metrics of a run (or model) on other data, each with its interval: {"rows", "metrics"}.

    `data` is anything that `train` reads, its columns named as in training. Rows whose text the run was trained or
    chosen on are counted (`trained_rows`, `validation_rows`), and `new` has rows and metrics without them. `reading`:
    how the file is read (encoding, delimiter, decimal, header_row, sheet, ...), as the data of the run was when not
    given. What else is to be known is a Python warning, or goes to `emit`; without `verbose` nothing is said.

    Raises DataError for rows without text or target, for labels that the model does not know, and for missing columns;
    FolderError.
    """
    with nullcontext() if verbose else silence():
        return Evaluation(as_model(run).evaluate(other_data(run, data, reading), seed=seed, emit=emit))
