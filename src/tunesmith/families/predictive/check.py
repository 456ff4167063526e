"""check for tasks with an answer for each row: read, cleaned and divided as a run would. Loads no weights."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from itertools import zip_longest

from tunesmith.core.events import Decided, Event, Warned
from tunesmith.core.files import scratch
from tunesmith.core.spec import RunSpec, Words
from tunesmith.data.prepared import PreparedData
from tunesmith.families import plan_pictures
from tunesmith.families.overview import overview
from tunesmith.families.plan_pictures import Pictures
from tunesmith.families.predictive.plan import summary_of
from tunesmith.families.predictive.settle import check_model, forecast_of, settle_plan
from tunesmith.runs.reading import read
from tunesmith.runs.settle import Plan


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
            "estimate": _estimate(prepared, plan, spec, unchecked),
            **looked,
            "seconds": round(time.perf_counter() - started, 3),
        }


def _estimate(
    prepared: PreparedData, plan: Plan, spec: RunSpec, unchecked: list[str]
) -> Mapping[str, float | None] | None:
    """Of texts from the model's size alone; of what is not read as tokens as `tunesmith plan` reckons it, which runs
    the network for a moment. None where the model is not here, and of
    other things."""
    if prepared.modality.in_tokens:
        return forecast_of(plan.spec.model, prepared, spec)(plan.spec.method)
    if unchecked or not prepared.modality.in_pixels:
        return None
    found = summary_of(prepared, plan, unchecked)
    assert isinstance(found, Pictures)
    return plan_pictures.forecast(found, math.inf).estimate


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
