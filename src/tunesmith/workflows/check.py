"""check: what a run would do with this data, and what is wrong with it. Trains nothing."""

from __future__ import annotations

import time
from typing import Any, Unpack

from tunesmith.core.events import Decided, Event, Warned
from tunesmith.core.files import scratch
from tunesmith.core.words import TrainWords
from tunesmith.display.results import Check
from tunesmith.families.predictive.forecast import forecast_of
from tunesmith.families.predictive.glance import glance
from tunesmith.families.predictive.settle import check_model, settled
from tunesmith.runs.family import family_of
from tunesmith.runs.reading import read
from tunesmith.runs.train import specified


def check(data: Any = None, **words: Unpack[TrainWords]) -> Check:
    """What `train` would do with the same arguments, and what is wrong with the data; nothing is trained.

    Returns a dict with "task", "model", "method", "columns", "splits", "audit", "decisions", "warnings", "estimate":
    {"seconds", "memory_bytes", "disk_bytes"}, "samples", "lengths" (see `glance`) and "seconds" (for text that is
    written: "form", "format", "problems", "advice"). Raises the errors that `train` would raise before its first step.
    """
    started = time.perf_counter()
    spec, source = specified(data, {**words})
    if family_of(spec, source) == "generative":
        from tunesmith.families.generative import check as language_check

        return Check(language_check.check(spec.model_copy(update={"data": source})))
    log: list[Event] = []
    with scratch() as folder:
        prepared = read(source, spec, folder, emit=log.append)
        plan = settled(spec, prepared, log.append)
        model, method = plan.spec.model, plan.spec.method
        unchecked = check_model(plan, log.append)
        looked = glance(prepared, model, spec.options.get("max_length"), log.append)
        return Check(
            {
                "task": plan.spec.task,
                "model": model,
                "method": method,
                "columns": vars(prepared.columns) | {"target": list(prepared.columns.target)},
                "splits": {name: len(positions) for name, positions in prepared.splits.items()},
                "audit": prepared.audit(),
                "decisions": [vars(event) for event in log if isinstance(event, Decided)],
                "warnings": [vars(event) for event in log if isinstance(event, Warned)],
                "unchecked": unchecked,
                "estimate": forecast_of(model, prepared, spec)(method),
                **looked,
                "seconds": round(time.perf_counter() - started, 3),
            }
        )
