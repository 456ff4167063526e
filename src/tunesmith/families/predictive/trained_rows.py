"""Rows of other data that the run has learned from already, told apart from those that are new to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tunesmith.core.events import Emit, Warned
from tunesmith.core.measured import Measured
from tunesmith.core.spec import Words
from tunesmith.data import text_hashes
from tunesmith.evaluate import words
from tunesmith.evaluate.measured import with_intervals


def without_trained_rows(
    folder: Path | None, found: text_hashes.Hashes, measured: Measured, seed: int, emit: Emit
) -> Words:
    """How many of the rows the run has learned from or was chosen on, and the metrics of the others.

    {"trained_rows", "validation_rows"}, and where there are any {"new": {"rows", "metrics"}}; {} where the folder of
    the run does not say it. found: of the rows, as their modality hashes them: texts are the same but for case,
    punctuation and spaces.
    """
    known = None if folder is None else text_hashes.of_run(folder.parent / "data")
    if known is None:
        return {}
    trained = np.isin(found, known["train"])
    validated = np.isin(found, known["validation"]) & ~trained
    told: Words = {"trained_rows": int(trained.sum()), "validation_rows": int(validated.sum())}
    new = ~(trained | validated)
    if new.all():
        return told
    left = measured.take(np.flatnonzero(new))
    told["new"] = {"rows": len(left), "metrics": with_intervals(left, seed=seed) if len(left) else {}}
    chosen = f", {validated.sum():,} were chosen on" if validated.any() else ""
    message = f"{trained.sum():,} of {len(new):,} rows were trained on{chosen}: they are among the run's own. "
    first = next(iter(told["new"]["metrics"]), None)
    told_new = f"Without them: {len(left):,} rows"
    if first is not None:
        told_new += f", {words.metric(first)} {words.number(told['new']['metrics'][first]['value'])}"
    emit(Warned("trained rows", f"{message}{told_new if len(left) else 'No row is left that is new to the model'}."))
    return told
