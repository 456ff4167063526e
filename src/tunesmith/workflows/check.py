"""check: what a run would do with this data, and what is wrong with it. Trains nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.core import registry
from tunesmith.core.errors import ModelError
from tunesmith.core.events import Decided, Event, Warned
from tunesmith.core.files import scratch
from tunesmith.core.options import resolve
from tunesmith.data.prepared import PreparedData
from tunesmith.engine import estimate
from tunesmith.models import catalog
from tunesmith.workflows import choose
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
        targets = prepared.targets(train)
        task = choose.task_for(kind, spec.task, log.append)
        model = choose.model_for(spec.model, log.append)
        pairs = prepared.columns.text_pair is not None
        method = choose.method_for(
            spec.method, kind, len(train), choose.median_per_label(kind, targets), pairs, log.append
        )
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
            "estimate": _estimate(model, method, prepared, spec.options.get("epochs")),
            "seconds": round(time.perf_counter() - started, 3),
        }


def _estimate(model: str, method: str, data: PreparedData, epochs: int | None) -> dict[str, float] | None:
    """Time and memory of the run from the model's size alone; None when its size is not known here."""
    try:
        size = catalog.size_of(catalog.find(model))
    except ModelError:
        return None
    if size is None:
        return None
    some = np.linspace(0, len(data.rows) - 1, min(len(data.rows), 2_000)).astype(int)
    characters = float(np.mean([len(text) for text in data.rows.select(some)["text"]]))
    plugin, train = registry.get("methods", method), len(data.splits["train"])
    return estimate.run_cost(
        size, frozen_body=plugin.frozen_body,
        epochs=choose.epochs_of(method, "rows", train) if epochs is None else epochs,
        rows=len(data.rows), train_rows=train, characters=characters,
    )  # fmt: skip
