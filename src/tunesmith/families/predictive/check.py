"""check for tasks with an answer for each row: read, cleaned and divided as a run would. Loads no weights."""

from __future__ import annotations

import time
from itertools import zip_longest

from tunesmith.core.events import Decided, Event, Warned
from tunesmith.core.files import scratch
from tunesmith.core.spec import RunSpec, Words
from tunesmith.data.prepared import PreparedData
from tunesmith.families.overview import overview
from tunesmith.families.predictive.settle import check_model, forecast_of, settle_plan
from tunesmith.runs.reading import read


def check(spec: RunSpec, source: object) -> Words:
    """See `runs.protocols.Family`."""
    started = time.perf_counter()
    log: list[Event] = []
    with scratch() as folder:
        prepared = read(source, spec, folder, emit=log.append)
        plan = settle_plan(spec, prepared, log.append)
        model, method = plan.spec.model, plan.spec.method
        unchecked = check_model(plan, log.append)
        looked = overview(prepared, model, spec.options.get("max_length"), log.append)
        return {
            "task": plan.spec.task,
            "model": model,
            "method": method,
            "columns": _columns(prepared),
            "splits": {name: len(positions) for name, positions in prepared.splits.items()},
            "audit": prepared.audit(),
            "decisions": [vars(event) for event in log if isinstance(event, Decided)],
            "warnings": [vars(event) for event in log if isinstance(event, Warned)],
            "unchecked": unchecked,
            "estimate": forecast_of(model, prepared, spec)(method),
            **looked,
            "seconds": round(time.perf_counter() - started, 3),
        }


def _columns(prepared: PreparedData) -> Words:
    """All that is known of them; the inputs also by role, None where one is not there."""
    columns, roles = prepared.columns, prepared.modality.roles
    lists = {
        "inputs": list(columns.inputs),
        "target": list(columns.target),
        "features": list(columns.features),
        "noun": prepared.modality.noun,
    }
    return vars(columns) | lists | dict(zip_longest(roles, columns.inputs))
