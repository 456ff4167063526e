"""What a run with one answer a row would be: every name of its spec turned into a thing.

The run and `check` both begin with it, so that what one refuses the other does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from tunesmith.core import registry
from tunesmith.core.events import Emit
from tunesmith.core.options import resolve
from tunesmith.core.run import is_run
from tunesmith.core.spec import RunSpec
from tunesmith.data.prepared import PreparedData
from tunesmith.engine.options import EngineOptions
from tunesmith.engine.protocols import Method, Task
from tunesmith.engine.tokens import check_length
from tunesmith.evaluate import metrics
from tunesmith.evaluate.goal import parse_goal
from tunesmith.families.predictive import continued
from tunesmith.families.predictive.forecast import forecast_of
from tunesmith.models import catalog
from tunesmith.models.safety import config_alone
from tunesmith.models.virtual import room
from tunesmith.runs import choose, text_language


@dataclass
class Plan:
    """The spec with every name turned into a thing."""

    spec: RunSpec
    task: Task
    method: Method
    engine: EngineOptions
    callbacks: list[Any]


def settled(spec: RunSpec, data: PreparedData, emit: Emit) -> Plan:
    """Settle what was left to us, and write every default out; without the callbacks, which need a run's folder.

    Raises OptionError for what the task, the method or the data do not allow.
    """
    kind = data.columns.kind
    task_name = choose.task_for(kind, spec.task, emit)
    if spec.goal is not None:
        metrics.get(parse_goal(spec.goal, "--goal").metric, kind)  # must be one of this task
    train = data.splits["train"]
    targets = data.targets(train)
    model_name = continued.base_name(spec, text_language.sample(data), emit)
    forecast = forecast_of(model_name, data, spec)
    method_name = choose.method_for(spec, choose.training_rows(data, train), emit, forecast)
    options = resolve(spec.options, choose.parts_of(task_name, method_name, spec.callbacks))
    choose.check_family(method_name, "rows")
    task = registry.get("tasks", task_name)(options["task"])
    method = registry.get("methods", method_name)(options["method"])
    if hasattr(method, "check"):
        method.check({word: value for part in options.values() for word, value in part.model_dump().items()})
    engine = cast(EngineOptions, options["engine"])
    engine = engine.model_copy(update={
        "epochs": choose.epochs_of(method_name, "rows", len(train)) if engine.epochs is None else engine.epochs,
        "learning_rate": engine.learning_rate or method.learning_rate,
    })  # fmt: skip
    task.fit(kind, data.label_names, targets, emit)
    written = {name: value for part in options.values() for name, value in part.model_dump().items()}
    written_out = spec.model_copy(update={
        "task": task_name, "method": method_name, "model": model_name, "effort": choose.effort_of(spec),
        "text": [c for c in (data.columns.text, data.columns.text_pair) if c],
        "target": list(data.columns.target),
        "options": {**written, **engine.model_dump()},
    })  # fmt: skip
    return Plan(written_out, task, method, engine, [])


def check_model(plan: Plan, emit: Emit, *, weights: bool = True) -> list[str]:
    """What can be told of the model without its weights, as a run would refuse it; what could not be checked.

    With `weights` false they need not be there.
    """
    from tunesmith.models.lengths import longest_row
    from tunesmith.models.load import check_text_model

    name = plan.spec.model
    if is_run(Path(name).expanduser()):
        return ["the earlier run that it begins with"]
    folder = catalog.find(name).folder
    if folder is None:
        return [f"the model: {name} is not on this machine"]
    if not weights and config_alone(folder):
        return [f"the weights of the model: {name} has none yet"]
    check_text_model(folder, name, emit)
    if plan.engine.freeze:
        from tunesmith.engine.skeleton import check_blocks

        check_blocks(name, plan.engine.freeze)
    bundle = SimpleNamespace(name=name, position_limit=longest_row(folder))
    check_length(plan.spec.options.get("max_length"), room(bundle, getattr(plan.method, "virtual_tokens", 0)), name)
    return []
