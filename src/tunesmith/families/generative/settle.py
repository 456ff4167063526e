"""What a generative run would be: every name of its spec turned into a thing, and the base made to fit them.

The run and `check` both begin with it, so that what one refuses the other does.
"""

from __future__ import annotations

import datetime
from pathlib import Path

from tunesmith.core import registry
from tunesmith.core.errors import OptionError
from tunesmith.core.events import Decided, Emit
from tunesmith.core.spec import RunSpec
from tunesmith.data.conversations import Examples
from tunesmith.engine.options import LONGEST_EXAMPLE, ConversationOptions, template_of
from tunesmith.engine.protocols import GenerativeTask
from tunesmith.evaluate import metrics
from tunesmith.evaluate.goal import parse_goal
from tunesmith.forgetting import chain
from tunesmith.models.blocks import freeze, frozen_names
from tunesmith.models.bundle import LanguageBundle
from tunesmith.models.codec import Codec
from tunesmith.models.loaders.language import add_tokens
from tunesmith.models.virtual import room
from tunesmith.runs import choose, settle, text_language
from tunesmith.runs.settle import Plan

_RATED_WIDTH = 1_024
"""Hidden size of the base models that the methods' rates are meant for."""
_HIGHEST_RATE = 1e-3
_MOST_EPOCHS = 3


def settle_plan(spec: RunSpec, data: Examples, emit: Emit) -> Plan:
    """Settle what was left to us, and write every default out; without the callbacks, which need a run's folder.

    Raises OptionError for what the task, the method or the data do not allow.
    """
    name = choose.task_of(spec.task, data.form, data.format, data.files[0])
    if spec.task == "auto":
        emit(Decided("task", name, f"the data is of the form {data.form!r} ({data.format})"))
    if spec.goal is not None:
        metrics.get(parse_goal(spec.goal, "--goal", "text").metric, "text")  # must be one of this task
    kind = registry.get("tasks", name).network
    method_name = spec.method
    if method_name == "auto":
        method_name = "lora"
        emit(Decided("method", method_name, "measured best for language models at little memory and forgetting"))
    chain.check(spec, "generative")
    _check_continued(spec)
    texts = text_language.sample_of(data)
    model_name = text_language.base_for(chain.base_name(spec), texts, emit, kind, method_name)
    epochs = _epochs(spec, method_name)
    chosen = {"task": name, "model": model_name, "method": method_name}
    plan = settle.settle(spec, chosen, epochs, learning_rate=None)
    if plan.task.options.packing and not packs(plan.task):
        raise OptionError(f"packing=true: --task {name} can not pack its examples.", "Leave it out.")
    return plan


def _check_continued(spec: RunSpec) -> None:
    """Raises OptionError where the method would move what an earlier run's adapter lies beside."""
    path = None if spec.continue_from is None else Path(spec.continue_from)
    methods = [name for name in choose.methods_of("generative") if registry.get("methods", name).adds]
    if path and chain.stands_apart(path) and spec.method not in methods:
        raise chain.beside_only(path, spec.method, methods)


def _epochs(spec: RunSpec, method: str) -> int:
    """Raises OptionError for `effort` best, which is a choice among methods for rows."""
    if spec.effort == "best":
        raise OptionError(
            "--effort best tries methods for tasks with one answer per row, and this one writes text.",
            "Use better, or try settings with: tunesmith search",
        )
    return 1 if spec.effort == "quick" else epochs_of(method)


def epochs_of(method: str, rows: int | None = None) -> int:
    """How often a run of this method sees each of its `rows` training rows when nothing is asked: text is soon learned
    by heart."""
    return min(choose.epochs_of(method, rows), _MOST_EPOCHS)


def packs(task: GenerativeTask) -> bool:
    """Whether several examples of the task can stand in one row."""
    return task.network != "seq2seq" and task.sequences_per_item == 1


def rate_of(method: str, task: str, width: int | None = None) -> float:
    """The highest learning rate of a run of this method on this task when nothing is asked.

    `width` (hidden size) of the base: where all its weights learn to write, the rate is by its inverse
    (Adam: Yang et al. 2022, table 8), as rates from 5e-5 for GPT-2 to 1e-5 for 7B are. Preferences need small steps
    at any width.
    """
    plugin, what = registry.get("methods", method), registry.get("tasks", task)
    rate = float((plugin.language_learning_rate or plugin.learning_rate) * what.rate_factor)
    if width is None or what.needs_reference or not plugin.rate_by_width:
        return rate
    return float(f"{min(_HIGHEST_RATE, rate * _RATED_WIDTH / width):.2g}")


def settle_rate(plan: Plan, bundle: LanguageBundle, emit: Emit) -> None:
    """The learning rate when none is asked; in some methods it depends on the model's size."""
    if plan.engine.learning_rate:
        return
    names, width = (plan.spec.method, plan.spec.task), bundle.model.network.config.get_text_config().hidden_size
    rate = rate_of(*names, width)
    if rate != rate_of(*names):
        emit(Decided("learning_rate", rate, f"the wider a model, the smaller the steps it takes; this one has {width}"))
    plan.settle(learning_rate=rate)


def adapt_base(plan: Plan, bundle: LanguageBundle, emit: Emit) -> None:
    """The base with the words, the template and the frozen blocks that are asked for. Raises OptionError where it does
    not have them, or where new words would stay unlearned."""
    options = plan.task.options
    add_tokens(bundle, options.new_tokens, template_of(options), emit)
    _check_new_tokens(plan, bundle)
    freeze(bundle.model, plan.engine.freeze)
    bundle.position_limit = room(bundle.name, bundle.position_limit, plan.method.virtual_tokens)


def reader(plan: Plan, bundle: LanguageBundle, emit: Emit) -> tuple[Codec, int]:
    """How rows become tokens: the task's codec, and the most tokens of an example."""
    _settle_date(plan, bundle, emit)
    codec = plan.task.codec(bundle.tokenizer)
    if codec.languages:
        emit(Decided("languages", list(codec.languages), "as asked for with source_language and target_language, or "
                                                         "else the tokenizer's own"))  # fmt: skip
    return codec, _limit(plan, bundle, emit)


def _settle_date(plan: Plan, bundle: LanguageBundle, emit: Emit) -> None:
    """The day that the chat template writes, where it asks for today's: a resumed or repeated run reads the same."""
    options = plan.task.options
    asks = "strftime_now" in str(bundle.tokenizer.chat_template or "")
    if not asks or not isinstance(options, ConversationOptions) or options.date is not None:
        return
    today = datetime.date.today().isoformat()
    emit(Decided("date", today, "the chat template writes today's; a resumed or repeated run writes this one again"))
    plan.task.options = options.model_copy(update={"date": today})
    plan.spec = plan.spec.model_copy(update={"options": {**plan.spec.options, "date": today}})


def _check_new_tokens(plan: Plan, bundle: LanguageBundle) -> None:
    """Raises OptionError where the vocabulary has got words whose embeddings would stay as they are."""
    if not bundle.new_token_ids:
        return
    words = bundle.model.network.get_input_embeddings().weight
    frozen = not plan.method.adds and any(
        bundle.model.get_parameter(name) is words for name in frozen_names(bundle.model, plan.engine.freeze)
    )
    if not frozen and plan.method.learns_new_tokens:
        return
    some = ", ".join(bundle.tokenizer.convert_ids_to_tokens(bundle.new_token_ids)[:5])
    who = "--freeze embeddings" if frozen else f"--method {plan.spec.method}"
    raise OptionError(
        f"{who} leaves the embeddings as they are, so the new tokens ({some}) would stay unlearned.",
        "Use method=lora, or method=full with nothing frozen, or a base whose vocabulary has them.",
    )


def _limit(plan: Plan, bundle: LanguageBundle, emit: Emit) -> int:
    asked = plan.task.options.max_length
    if asked is not None and asked > bundle.position_limit:
        virtual = plan.method.virtual_tokens  # the bundle's limit is without them
        beside = f" beside {virtual} virtual tokens" if virtual else ""
        raise OptionError(
            f"max_length={asked} is more than the model {bundle.name!r} can read{beside}.",
            f"Set max_length to at most {bundle.position_limit}.",
        )
    limit = int(asked or min(bundle.position_limit, LONGEST_EXAMPLE))
    emit(Decided("max_length", limit, "asked for" if asked else f"the model reads {bundle.position_limit} tokens"))
    return limit
