"""The base of a run on rows that continues an earlier one: its network without its head."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

from tunesmith.core import registry
from tunesmith.core.errors import ModelError, OptionError
from tunesmith.core.events import Emit
from tunesmith.core.files import (
    copy_file,
    copy_folder,
    full_disk_as_oserror,
    new_folder,
    own_folder,
    scratch,
    write_json,
)
from tunesmith.core.run import RunFolder
from tunesmith.core.spec import RunSpec
from tunesmith.forgetting import chain
from tunesmith.models import virtual
from tunesmith.models.additions import ADAPTER, adapter_config
from tunesmith.models.bundle import Bundle
from tunesmith.models.manifest import MANIFEST
from tunesmith.models.pretrained import quiet_transformers
from tunesmith.runs import choose, text_language


def base_name(spec: RunSpec, texts: Sequence[str], emit: Emit, task: str) -> str:
    """The name of the base model: the run that is continued, what was asked for, or what speaks the language of the
    texts; `task`: of this run. Raises what `check` does."""
    chain.check(spec, "predictive")
    if spec.options.get("sampled_texts"):
        raise OptionError(
            "sampled_texts: a model with one answer per row writes no text that could be retained.",
            "Give what it must not forget with --retain.",
        )
    if spec.continue_from:
        _check_task(Path(spec.continue_from), task)
        _check_additions(Path(spec.continue_from), spec.method)
    kind = choose.loader_of(registry.get("tasks", task)).bases
    name = text_language.base_for(chain.base_name(spec), texts, emit, kind, spec.method)
    if spec.continue_from is None and adapter_config(Path(name)):
        raise ModelError(
            f"The model folder {name} holds a base and, beside it, what a run added to it.",
            "Give the base that it was added to.",
        )
    return name


def _has_linear_head(task: str) -> bool:
    return registry.get("tasks", task).probe_loss is not None


def _check_task(path: Path, task: str) -> None:
    """A network whose answers no linear head gives goes on with the same task. Raises OptionError."""
    before = RunFolder.open(path).load_spec().task
    if before == task or (_has_linear_head(before) and _has_linear_head(task)):
        return
    raise OptionError(
        f"The run {path} has learned {before}, whose network does not fit {task}.",
        f"Continue a run of {task}, or begin with a base: --model NAME.",
    )


def _check_additions(path: Path, method: str) -> None:
    """Of runs whose body is more than one network, those with columns can be continued: by another column."""
    kind = chain.additions(path).get("peft_type")
    if kind == "COLUMN" and method != "progressive":
        raise OptionError(
            f"The run {path} is a progressive network, whose columns stay as they are.",
            "Learn the next task in a column of its own: --method progressive.",
        )
    intact = [name for name, method in registry.usable("methods").items() if method.keeps_base_intact]
    if kind not in (None, "COLUMN") and method not in intact:
        raise chain.beside_only(path, method, intact)


def base_source(folder: RunFolder, spec: RunSpec) -> str:
    """What the loader loads: for a continued run, a folder in the cache with its network without its head; where no
    linear head gives the answers, its whole model, as there is no linear solution that a new head could begin with."""
    if spec.continue_from is None:
        return spec.model
    if not _has_linear_head(spec.task) and not chain.additions(Path(spec.continue_from)):
        return str(chain.finished_run(Path(spec.continue_from), "predictive").model)
    path = folder.cache / "base"
    if not path.exists():
        _save_body(chain.finished_run(Path(spec.continue_from), "predictive"), path)
    return str(path)


def _save_body(run: RunFolder, path: Path) -> None:
    """Written aside and renamed; the pooling goes along in the way of sentence encoders, and columns of
    earlier tasks as they lie beside the body."""
    added = chain.additions(run.path).get("peft_type")
    columns = added == "COLUMN"
    finished = registry.get("models.loaders", registry.get("tasks", run.load_spec().task).loader).finished
    bundle = finished(run.model) if columns or added is None else _without_adapter(run.model, path, finished)
    if columns:
        from tunesmith.models.column import take_out

        take_out(bundle.model.network)
    model = bundle.model
    body = model.network.base_model
    # what stands between body and head, in families that have something there, belongs to what the old head reads
    whole = model.network if model.pooling == "own" else body
    whole.config = copy.deepcopy(whole.config)
    for mark in ("tunesmith", "problem_type"):
        if hasattr(whole.config, mark):
            delattr(whole.config, mark)
    weights = {name: one for name, one in whole.state_dict().items() if not name.startswith(f"{model.head_name}.")}
    with new_folder(path) as aside:
        with full_disk_as_oserror(), quiet_transformers():
            whole.save_pretrained(aside, state_dict=weights)
            whole.config.architectures = [type(body).__name__]  # which has no head that could answer
            whole.config.save_pretrained(aside)
            if bundle.processor is not None:
                bundle.processor.save(aside)
            else:
                bundle.tokenizer.save_pretrained(aside)
        if model.pooling != "own":
            own_folder(aside / "1_Pooling")
            write_json(aside / "1_Pooling" / "config.json", {"pooling_mode_cls_token": model.pooling == "cls"})
        for name in (ADAPTER, "adapter_model.safetensors") if columns else ():
            copy_file(run.model / name, aside / name)
        if bundle.max_length:
            write_json(aside / "sentence_bert_config.json", {"max_seq_length": bundle.max_length})


def _without_adapter(model: Path, beside: Path, finished: Callable[[Path], Bundle]) -> Bundle:
    """The base of the folder `model` as it is without the adapter: below it, or in it, as a copy that lacks that."""
    if virtual.stands_beside(model):
        return finished(model / virtual.BASE)
    with scratch(own_folder(beside.parent)) as bare:
        copy_folder(model, bare, "adapter_*", MANIFEST)
        return finished(bare)
