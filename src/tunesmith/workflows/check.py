"""check: what a run would do with this data, and what is wrong with it. Trains nothing."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tunesmith.core.events import Decided, Emit, Event, Warned
from tunesmith.core.files import scratch
from tunesmith.core.run import is_run
from tunesmith.engine.tokens import check_length
from tunesmith.models import catalog
from tunesmith.models.virtual import room
from tunesmith.workflows import choose, effort
from tunesmith.workflows.glance import glance
from tunesmith.workflows.reading import read
from tunesmith.workflows.row_plan import Plan, settled
from tunesmith.workflows.train import _spec


def check(data: Any = None, **words: Any) -> dict[str, Any]:
    """Reads, cleans and splits `data` as `train` would, without loading any model.

    Returns {"task", "model", "method", "columns", "splits", "audit", "decisions", "warnings",
    "estimate": {"seconds", "memory_bytes", "disk_bytes"}, "samples", "lengths" (see `glance`), "seconds"}. Raises the
    same errors as `train` would before its first step.
    """
    started = time.perf_counter()
    held = data if data is not None and not isinstance(data, str | Path) else None
    spec = _spec(None if held is not None else data, {**words, **({"data": "(in memory)"} if held is not None else {})})
    choose.check_words(spec)
    if choose.family(spec, held) == "language":
        from tunesmith.workflows import language_check

        return language_check.check(spec if held is None else spec.model_copy(update={"data": held}))
    log: list[Event] = []
    with scratch() as folder:
        prepared = read(held if held is not None else spec.data, spec, folder, emit=log.append)
        plan = settled(spec, prepared, log.append)
        model, method = plan.spec.model, plan.spec.method
        unchecked = _check_model(plan, log.append)
        looked = glance(prepared, model, spec.options.get("max_length"), log.append)
        return {
            "task": plan.spec.task,
            "model": model,
            "method": method,
            "columns": vars(prepared.columns) | {"target": list(prepared.columns.target)},
            "splits": {name: len(positions) for name, positions in prepared.splits.items()},
            "audit": prepared.audit(),
            "decisions": [vars(event) for event in log if isinstance(event, Decided)],
            "warnings": [vars(event) for event in log if isinstance(event, Warned)],
            "unchecked": unchecked,
            "estimate": effort.forecast(model, prepared, spec)(method),
            **looked,
            "seconds": round(time.perf_counter() - started, 3),
        }


def _check_model(plan: Plan, emit: Emit) -> list[str]:
    """What can be told of the model without its weights, as a run would refuse it; what could not be checked."""
    from tunesmith.models.lengths import longest_row
    from tunesmith.models.load import check_text_model

    name = plan.spec.model
    if is_run(Path(name).expanduser()):
        return ["the earlier run that it begins with"]
    folder = catalog.find(name).folder
    if folder is None:
        return [f"the model: {name} is not on this machine"]
    check_text_model(folder, name, emit)
    bundle = SimpleNamespace(name=name, position_limit=longest_row(folder))
    check_length(plan.spec.options.get("max_length"), room(bundle, getattr(plan.method, "virtual_tokens", 0)), name)
    return []
