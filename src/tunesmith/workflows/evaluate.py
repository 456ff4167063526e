"""evaluate: the metrics of a finished run on other data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from tunesmith.core.events import Emit, Warned, ignore
from tunesmith.core.files import scratch
from tunesmith.data import seen
from tunesmith.data.prepare import parse_targets, read_rows, refuse_blank
from tunesmith.evaluate import words
from tunesmith.evaluate.measured import with_intervals
from tunesmith.evaluate.types import Outcome
from tunesmith.families.generative import use
from tunesmith.families.generative.predictor import TextGenerator
from tunesmith.families.load import language_folder
from tunesmith.families.predictive.predictor import Model
from tunesmith.runs.reading import read_options_for, read_other


def evaluate(run: Any, data: Any, *, seed: int = 0, emit: Emit = ignore, **reading: Any) -> dict[str, Any]:
    """`{"rows": n, "metrics": {name: {"value", "low", "high"}}}` on `data` (anything `train` reads).

    Rows whose text the run was trained or chosen on are counted (`trained_rows`, `validation_rows`), and `new` has rows
    and metrics without them.

    `run`: a path, a Run, or a loaded model. The columns must be named as in training. `reading`: how the file is read
    (encoding, delimiter, decimal, header_row, sheet, ...), as the data of the run was when not given. Raises DataError
    for rows without text or target, for labels that the model does not know, and for missing columns.
    """
    writes = run if isinstance(run, TextGenerator) else None
    language = writes if writes or isinstance(run, Model) else language_folder(Path(run), wanted=False)
    if language is not None:
        options = read_options_for(run, data, reading)
        return use.evaluate(language, data, seed=seed, emit=emit, reading=options)
    model = run if isinstance(run, Model) else Model.load(Path(run))
    with scratch() as folder:
        rows = read_other(
            lambda options: read_rows(data, emit=emit, cache_dir=folder, columns=model.columns, reading=options),
            run, data, reading,
        )  # fmt: skip
        name = str(data) if isinstance(data, str | Path) else type(data).__name__
        refuse_blank(rows, model.columns, name)
        targets = parse_targets(rows, model.columns, model.labels, name)
        texts = model.texts(rows)
        model.cut_rows = 0
        outcome = model.outcome(model.scores(texts), targets)
        model.warn_of_cut(len(rows), emit)
        found: dict[str, Any] = {"rows": len(rows), "metrics": with_intervals(outcome, seed=seed)}
        return found | _without_seen(model, texts, outcome, seed, emit)


def _without_seen(model: Model, texts: Dataset, outcome: Outcome, seed: int, emit: Emit) -> dict[str, Any]:
    """How many of the rows the run has learned from or was chosen on, and the metrics of the others.

    {"trained_rows", "validation_rows"}, and where there are any {"new": {"rows", "metrics"}}; {} where the folder of
    the run does not say it. A row counts when its text is the same but for case, punctuation and spaces.
    """
    known = None if model.folder is None else seen.of_run(model.folder.parent / "data")
    if known is None:
        return {}
    pairs = texts["text_pair"][:] if "text_pair" in texts.column_names else None
    found = seen.hashes(texts["text"][:], pairs)
    trained = np.isin(found, known["train"])
    validated = np.isin(found, known["validation"]) & ~trained
    told: dict[str, Any] = {"trained_rows": int(trained.sum()), "validation_rows": int(validated.sum())}
    new = ~(trained | validated)
    if new.all():
        return told
    left = outcome.take(np.flatnonzero(new))
    told["new"] = {"rows": len(left), "metrics": with_intervals(left, seed=seed) if len(left) else {}}
    chosen = f", {validated.sum():,} were chosen on" if validated.any() else ""
    message = f"{trained.sum():,} of {len(new):,} rows were trained on{chosen}: the text is one of the run's own. "
    first = next(iter(told["new"]["metrics"]), None)
    told_new = f"Without them: {len(left):,} rows"
    if first is not None:
        told_new += f", {words.metric(first)} {words.number(told['new']['metrics'][first]['value'])}"
    emit(Warned("trained rows", f"{message}{told_new if len(left) else 'No row is left that is new to the model'}."))
    return told
