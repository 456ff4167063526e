"""search: the best settings within a budget."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Unpack

from tunesmith.core.events import to_each
from tunesmith.core.run import results_folder
from tunesmith.core.words import TrainWords
from tunesmith.display.notebook import progress_listeners
from tunesmith.studies import search as searching
from tunesmith.studies.search import SearchResult
from tunesmith.studies.series import Budget, listed


def search(
    data: object, *, out: str | os.PathLike[str] | None = None, budget: str | Budget = "20 trials",
    space: Mapping[str, object] | None = None, models: Sequence[str] | None = None,
    methods: Sequence[str] | None = None, pruning: bool = True, launcher: str = "here", verbose: bool = True,
    **words: Unpack[TrainWords],
) -> SearchResult:  # fmt: skip
    """The best settings within a budget ('30m', '2h', '20 trials'); the test rows are read once, at the end.

    `space`: option -> values or {"low", "high"}. `out` and `launcher` as for `compare`.
    Raises UsageError, RunFailed, Stopped.
    """
    with progress_listeners(verbose) as more:
        return searching.search(
            data, out=results_folder(out, data, "search"), budget=budget, space=space, models=listed(models),
            methods=listed(methods), pruning=pruning, launcher=launcher, emit=to_each(more), **words,
        )  # fmt: skip
