"""evaluate: the metrics of a finished run on other data."""

from __future__ import annotations

from typing import Any

from tunesmith.core.events import Emit, ignore
from tunesmith.runs.load import loaded
from tunesmith.runs.reading import other_data


def evaluate(run: Any, data: Any, *, seed: int = 0, emit: Emit = ignore, **reading: Any) -> dict[str, Any]:
    """`{"rows": n, "metrics": {name: {"value", "low", "high"}}}` on `data` (anything `train` reads).

    Rows whose text the run was trained or chosen on are counted (`trained_rows`, `validation_rows`), and `new` has rows
    and metrics without them.

    `run`: a path, a Run, or a loaded model. The columns must be named as in training. `reading`: how the file is read
    (encoding, delimiter, decimal, header_row, sheet, ...), as the data of the run was when not given. Raises DataError
    for rows without text or target, for labels that the model does not know, and for missing columns.
    """
    return loaded(run).evaluate(other_data(run, data, reading), seed=seed, emit=emit)
