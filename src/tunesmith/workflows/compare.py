"""compare: should I fine-tune at all?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Unpack

from tunesmith.core.events import to_each
from tunesmith.core.run import results_folder
from tunesmith.core.words import TrainWords
from tunesmith.display.notebook import progress_listeners
from tunesmith.display.results import Comparison
from tunesmith.studies import comparison
from tunesmith.studies.series import listed


def compare(
    data: object, *, out: str | os.PathLike[str] | None = None, models: Sequence[str] | None = None,
    methods: Sequence[str] | None = None, launcher: str = "process", verbose: bool = True,
    **words: Unpack[TrainWords],
) -> Comparison:  # fmt: skip
    """Should I fine-tune at all? From a constant answer to full fine-tuning, on one split.

    `out`: the folder of the results, `runs/<name>-compare` when not given; the same one goes on where it stopped.
    `launcher`: where each way is tried, in a process of its own with its own memory, or `here`.
    Returns a dict with "rungs" and "recommendation". Raises UsageError, RunFailed, Stopped.
    """
    with progress_listeners(verbose) as more:
        found = comparison.compare(
            data, out=results_folder(out, data, "compare"), models=listed(models), methods=listed(methods),
            launcher=launcher, emit=to_each(more), **words,
        )  # fmt: skip
    return Comparison(found)
