"""check: what a run would do with this data, and what is wrong with it. Trains nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tunesmith.core.events import Decided, Event, Warned
from tunesmith.core.files import scratch
from tunesmith.core.options import resolve
from tunesmith.workflows import choose, effort, spoken
from tunesmith.workflows.reading import read
from tunesmith.workflows.train import _spec


def check(data: Any = None, **words: Any) -> dict[str, Any]:
    """Reads, cleans and splits `data` as `train` would, without loading any model.

    Returns {"task", "model", "method", "columns", "splits", "audit", "decisions", "warnings",
    "estimate": {"seconds", "memory_bytes", "disk_bytes"}, "seconds"}. Raises the same errors as
    `train` would before its first step.
    """
    started = time.perf_counter()
    held = data if data is not None and not isinstance(data, str | Path) else None
    spec = _spec(None if held is not None else data, {**words, **({"data": "(in memory)"} if held is not None else {})})
    choose.check_words(spec)
    if choose.family(spec, held) == "language":
        from tunesmith.workflows import language_use

        return language_use.check(spec if held is None else spec.model_copy(update={"data": held}))
    log: list[Event] = []
    with scratch() as folder:
        prepared = read(held if held is not None else spec.data, spec, folder, emit=log.append)
        kind = prepared.columns.kind
        train = prepared.splits["train"]
        task = choose.task_for(kind, spec.task, log.append)
        model = spoken.base_for(spec.model, spoken.sample(prepared), log.append)
        forecast = effort.forecast(model, prepared, spec.options.get("epochs"))
        method = choose.method_for(spec, choose.training_rows(prepared, train), log.append, forecast)
        resolve(spec.options, choose.option_models(spec.model_copy(update={"task": task, "method": method})))
        return {
            "task": task,
            "model": model,
            "method": method,
            "columns": vars(prepared.columns) | {"target": list(prepared.columns.target)},
            "splits": {name: len(positions) for name, positions in prepared.splits.items()},
            "audit": prepared.audit(),
            "decisions": [vars(event) for event in log if isinstance(event, Decided)],
            "warnings": [vars(event) for event in log if isinstance(event, Warned)],
            "estimate": forecast(method),
            "seconds": round(time.perf_counter() - started, 3),
        }
