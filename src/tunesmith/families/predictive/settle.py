"""What a run with one answer a row would be, by its data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tunesmith.core import registry
from tunesmith.core.errors import ModelError, OptionError
from tunesmith.core.events import Decided, Emit
from tunesmith.core.run import is_run
from tunesmith.core.spec import RunSpec
from tunesmith.data.prepared import PreparedData
from tunesmith.engine import speed
from tunesmith.engine.protocols import PredictiveTask
from tunesmith.engine.tokens import check_length
from tunesmith.evaluate import metrics
from tunesmith.evaluate.goal import parse_goal
from tunesmith.families.predictive import continued
from tunesmith.models import catalog, vision_rates
from tunesmith.models.lengths import CHARACTERS_PER_TOKEN, USUAL, longest_row
from tunesmith.models.safety import config_alone
from tunesmith.models.virtual import room
from tunesmith.runs import choose, settle, text_language
from tunesmith.runs.settle import Plan


def settle_plan(spec: RunSpec, data: PreparedData, emit: Emit) -> Plan:
    """Settle what was left to us, and write every default out; without the callbacks, which need a run's folder.

    Raises OptionError for what the task, the method or the data do not allow.
    """
    kind = data.columns.kind
    task_name = choose.task_for(data.columns, spec.task, emit)
    if spec.goal is not None:
        metrics.get(parse_goal(spec.goal, "--goal", kind).metric, kind)  # must be one of this task
    train = data.splits["train"]
    model_name = continued.base_name(spec, text_language.sample(data), emit, task_name)
    forecast = forecast_of(model_name, data, spec)
    method_name = choose.method_for(spec, choose.training_rows(data, train, model_name, task_name), emit, forecast)
    chosen = {
        "task": task_name, "model": model_name, "method": method_name, "effort": choose.effort_of(spec),
        "target": list(data.columns.target), "text": list(data.columns.inputs),
    }  # fmt: skip
    if data.columns.features and not choose.fits_modality(method_name, "table"):
        raise OptionError(f"--method {method_name} is for texts alone, without --features.", "Use full, lora or head.")
    rate, epochs = choose.rate_and_epochs(method_name, task_name, len(train))
    own = registry.get("tasks", task_name)
    if method_name in own.method_defaults and (width := own.rate_width) is not None:
        rate *= min(1.0, width / (_width(model_name) or width))
    if own.loader == "vision" and method_name in own.method_defaults and method_name != "scratch":
        rate *= vision_rates.factor(model_name)
    factor, why = _rate_factor(own, model_name)
    usual = dict(own.method_options.get(method_name, {}))
    if factor != 1:
        usual.pop("head_learning_rate", None)  # a head that is all new may learn so fast, that of such a base not
        if spec.options.get("learning_rate") is None:
            emit(Decided("rate_factor", factor, why))
    rate *= factor
    spec = spec.model_copy(update={"options": {**usual, **_beside(own, data, emit), **spec.options}})
    plan = settle.settle(spec, chosen, epochs, rate)
    if plan.task.usual_patience is not None and "patience" not in spec.options:
        plan.settle(patience=plan.task.usual_patience)
    plan.task.fit(kind, data.label_names, data.targets(train), emit)
    plan.task.fit_inputs(data.rows.select(train))
    if data.columns.features:
        plan.settle(features=list(data.columns.features))
    return plan


def _beside(task: type[PredictiveTask], data: PreparedData, emit: Emit) -> dict[str, str]:
    """The option of a task for a file that came with the data."""
    corpus = next((part.corpus for part in data.origins.parts if part.corpus is not None), None)
    if corpus is None or "corpus" not in task.Options.model_fields:
        return {}
    emit(Decided("corpus", str(corpus), "it came with the data: test queries look for their documents in all of it"))
    return {"corpus": str(corpus)}


def _width(model: str) -> int | None:
    """The hidden size of a base; None where it is not known here."""
    try:
        size = catalog.size_of(catalog.find(model))
    except ModelError:
        return None
    return None if size is None else size.hidden_size


def _rate_factor(task: type[PredictiveTask], model: str) -> tuple[float, str]:
    """Of the usual learning rate, for a base that is on this machine and of which its loader knows better; and why."""
    factor_of = getattr(choose.loader_of(task), "rate_factor", None)
    try:
        folder = None if factor_of is None else catalog.find(model).folder
    except ModelError:  # told when it is loaded
        folder = None
    found: tuple[float, str] = (1.0, "") if factor_of is None or folder is None else factor_of(folder)
    return found


def check_model(plan: Plan, emit: Emit, *, weights: bool = True) -> list[str]:
    """What can be told of the model without its weights, as a run would refuse it; what could not be checked.

    With `weights` false they need not be there.
    """
    name = plan.spec.model
    if is_run(Path(name).expanduser()):
        return ["the earlier run that it begins with"]
    folder = (catalog.fetch if catalog.is_made_here(name) else catalog.find)(name).folder
    if folder is None:
        return [f"the model: {name} is not on this machine"]
    if not weights and config_alone(folder):
        return [f"the weights of the model: {name} has none yet"]
    choose.loader_of(plan.task).fits(folder, name, emit)
    if plan.engine.freeze:
        from tunesmith.engine.meta_model import check_blocks

        check_blocks(name, plan.engine.freeze)
    if not choose.modality_of(plan.task).in_tokens:
        return []
    left = room(name, longest_row(folder), plan.method.virtual_tokens)
    check_length(plan.spec.options.get("max_length"), left, name)
    return []


def forecast_of(model: str, data: PreparedData, spec: RunSpec) -> Callable[[str], dict[str, float] | None]:
    """Time, memory and disk of a run of a method, by its name, from the model's size alone; None when that is not
    known here. What lies beyond the limit of `spec` is not read, and costs nothing."""
    epochs = spec.options.get("epochs")
    if not data.modality.in_tokens:
        return lambda method: None
    try:
        size = catalog.size_of(catalog.find(model))
    except ModelError:
        size = None
    most = (spec.options.get("max_length") or USUAL) * CHARACTERS_PER_TOKEN
    characters = choose.letters(data, slice(None), most)[1]
    train = len(data.splits["train"])

    def of(method: str) -> dict[str, float] | None:
        if size is None:
            return None
        return speed.run_cost(
            size, frozen_body=registry.get("methods", method).frozen_body,
            epochs=choose.epochs_of(method, train) if epochs is None else epochs,
            rows=len(data.rows), train_rows=train, characters=characters,
        )  # fmt: skip

    return of
