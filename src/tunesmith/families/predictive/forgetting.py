"""What a run on rows must not forget: earlier runs with their heads, files of labelled rows, general texts."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np

from tunesmith.core.errors import DataError, OptionError, Problem
from tunesmith.core.events import Decided, ignore
from tunesmith.data.prepared import PreparedData
from tunesmith.engine.encoded import EncodedItems
from tunesmith.engine.protocols import PredictiveTask
from tunesmith.engine.retained import ForgettingMonitor
from tunesmith.evaluate import forgetting
from tunesmith.families.predictive.answer_probe import AnswerProbe, check_answers, check_same_task
from tunesmith.families.predictive.context import PredictiveRun
from tunesmith.families.predictive.predictor import Model
from tunesmith.families.predictive.probes import ApartProbe, DriftProbe, HeadProbe, LinearProbe, TaskProbe
from tunesmith.families.predictive.retained import Read
from tunesmith.families.predictive.split import fitted_task
from tunesmith.forgetting import chain
from tunesmith.forgetting.monitor import is_regularised, watch
from tunesmith.models.answers import Answers
from tunesmith.runs import choose


def snapshot(run: PredictiveRun) -> ForgettingMonitor | None:
    """Look at everything that must not be forgotten, before anything is trained; None where there is nothing. Raises
    OptionError where something is asked for that holds on to it."""
    spec = run.plan.spec
    continued = [one.path.resolve() for one in chain.earlier(spec)]
    tasks = [_task(run, one, one.path in continued, number) for number, one in enumerate(run.retained)]
    drift = _general(run)
    if drift is None:
        what = f"general sentences say nothing of a model that reads {run.data.modality.nouns}"
        run.emit(Decided("drift", "not measured", what))
    if not tasks and not drift:
        if is_regularised(spec) or spec.forget_at_most is not None:
            raise OptionError(
                f"What the base knows of {run.data.modality.nouns} can not be looked at without any, and nothing is "
                "retained.", "Give what must not be forgotten: --retain FILE.",
            )  # fmt: skip
        return None
    monitor = watch(run, tasks, [drift] if drift else [])
    monitor.fresh_head = not run.has_probe and run.bundle.zero_shot != "head"
    return monitor


# retained tasks


def _task(run: PredictiveRun, read: Read, with_head: bool, number: int) -> TaskProbe | DriftProbe:
    """A run's data, and its head where this run starts from its body; a file's data, to be probed anew, or its
    texts where it holds nothing else."""
    path, spec, data = read.path, read.spec, read.data
    modality = run.data.modality
    held = "text" if data is None else data.modality.name
    if held != modality.name and not (data is None and modality.in_tokens):
        raise DataError(
            Problem(f"it holds {held} data, and the run reads {modality.nouns}", str(path)),
            fix=f"Retain what the base reads: a file of {modality.nouns}, or a run on them.",
        )
    if data is None:
        return DriftProbe(run, path.stem, read.texts, f"retained-{number}")
    name = choose.task_for(data.columns, spec.task, ignore)
    earlier = Model.load(path) if read.is_run and with_head else None
    cache = run.folder.cache / f"retained-{number}"
    title = path.name if read.is_run else path.stem
    if not run.has_probe:
        return _answers(run, read, data, earlier, (name, title, cache))
    task = fitted_task(name, spec, data, data.splits["train"])
    if task.probe_loss is None:
        raise DataError(
            Problem(f"what must not be forgotten is looked at through a linear head, and {name} has none", str(path)),
            fix="Retain rows with labels or numbers.",
        )
    rows = _encoded(run, task, data, cache)
    if earlier is None:
        return LinearProbe(run, title, task, data, rows)
    if _stands_apart(path):
        return ApartProbe(run, title, task, data, rows, earlier)
    columns = int(chain.additions(path).get("columns", 0))
    return HeadProbe(run, title, task, data, rows, earlier, columns)


def _answers(
    run: PredictiveRun, read: Read, data: PreparedData, earlier: Model | None, what: tuple[str, str, Path]
) -> TaskProbe:
    """Of a task that no linear head answers: a run's data with its own head where this run starts from its body, and
    with that of the network where it has the same answers. `what`: name of the task, name of the probe, cache."""
    name, title, cache = what
    train = data.splits["train"]
    check_same_task(run, name, read.path)
    if earlier is None:
        check_answers(run, data, read.path)
        task = copy.copy(run.plan.task)  # as the network was loaded for it
        task.fit(data.columns.kind, task.label_names, data.targets(train), ignore)
        task.fit_inputs(data.rows.select(train))
    else:
        task = fitted_task(name, read.spec, data, train)
        task.restore(earlier.task.state())
    rows = _encoded(run, task, data, cache)
    if earlier is not None and _stands_apart(read.path):
        return ApartProbe(run, title, task, data, rows, earlier)
    same = run.bundle.zero_shot == "head" and (earlier is None or task.label_names == run.plan.task.label_names)
    if same:
        run.bundle.model.answers_before = True
    if same or earlier is None:
        return AnswerProbe(run, title, task, data, rows, Answers(), None)
    return AnswerProbe(run, title, task, data, rows, Answers.of(earlier.bundle.model, run.device), earlier.thresholds)


def _encoded(run: PredictiveRun, task: PredictiveTask, data: PreparedData, cache: Path) -> EncodedItems:
    task.splits = data.splits
    rows = task.encode(data.rows, run.bundle, cache, ignore, run.stop.check)
    row_ids = np.asarray(data.rows.with_format("numpy")["row_id"][:], dtype=np.int64)
    return rows.with_targets(task.targets(data.rows["target"][:]), row_ids)


def _stands_apart(path: Path) -> bool:
    """Whether what the run learned lies beside a base that this run leaves as it is."""
    return chain.additions(path).get("peft_type") not in (None, "COLUMN")


def _general(run: PredictiveRun) -> DriftProbe | None:
    """General sentences, and as many of the run's own validation texts; None where the model reads no texts."""
    texts = list(forgetting.general_texts())
    held = run.data.rows.select(run.data.splits["validation"][: len(texts)])
    own = run.data.modality.words(held)
    return None if own is None else DriftProbe(run, "drift", texts + own, "probe", len(texts))
