"""What a run with one answer a row has shown: its metrics beside the baselines', its verdict, its findings."""

from __future__ import annotations

import numpy as np

from tunesmith.core.measured import Measured
from tunesmith.core.spec import Words
from tunesmith.engine.batching import sample
from tunesmith.engine.inference import gather
from tunesmith.engine.probe import MAX_ROWS
from tunesmith.engine.protocols import Method
from tunesmith.evaluate import diagnose, examples, good, linear, metrics_json, noise, verdict
from tunesmith.evaluate.errors import suspects
from tunesmith.evaluate.goal import goal_of
from tunesmith.evaluate.measured import value_of, with_intervals
from tunesmith.families.predictive import columns
from tunesmith.families.predictive.context import PredictiveRun
from tunesmith.families.predictive.looks import looks
from tunesmith.forgetting.monitor import measure
from tunesmith.models import own_types, virtual
from tunesmith.runs.history import read_curves

READ_BACK = 16
"""Test rows that the saved model is asked again."""
_PREVIEWED = 5
"""Training rows that are shown as they were changed, and epochs."""
_PROBE = "linear_probe"
"""With the simple baseline beside the prior, the one that comes to its answers in other ways than the model."""


def judge(run: PredictiveRun) -> None:
    """What the model says of validation and test rows, with thresholds tuned on validation where there are several
    labels; and what it has lost."""
    logits = {split: run.outputs(split) for split in ("validation", "test")}
    task = run.plan.task
    run.thresholds = task.target.tune(run.measured("validation", logits["validation"]))
    run.expected = task.scores(logits["test"][run.rows.own(run.data.splits["test"][:READ_BACK])])
    run.ours = {split: run.measured(split, values, run.thresholds) for split, values in logits.items()}
    run.others = _model_baselines(run)
    run.columns = columns.worth(run, logits["test"])
    first = task.metrics[0]
    run.forgetting = measure(run, first, value_of(run.ours["test"], first))


def _model_baselines(run: PredictiveRun) -> dict[str, Measured]:
    """The frozen base with a linear head, where that can answer, and the base as it is, where that can."""
    found = {}
    if run.has_probe:
        thresholds = run.plan.task.target.tune(run.measured("validation", run.probe_logits["validation"]))
        found["linear_probe"] = run.measured("test", run.probe_logits["test"], thresholds)
        if run.text_logits:
            thresholds = run.plan.task.target.tune(run.measured("validation", run.text_logits["validation"]))
            found["linear_probe_text"] = run.measured("test", run.text_logits["test"], thresholds)
    if run.base is not None:
        found["base"] = run.base
    return found


def document(run: PredictiveRun, cost: Words) -> Words:
    """metrics.json; noise.csv is written beside it where labels are doubtful."""
    task, data, seed = run.plan.task, run.data, run.plan.spec.seed
    first, ours = task.metrics[0], run.ours
    run.others = {**run.simple.result(run.emit), **run.others}
    test = with_intervals(ours["test"], seed=seed)
    of_data = _of_data(run, test)
    baselines = {name: with_intervals(other, task.metrics, seed=seed) for name, other in run.others.items()}
    without = None
    if len(data.leaked_test):
        clean = ~np.isin(data.splits["test"], data.leaked_test)
        if clean.any():
            without = with_intervals(ours["test"].take(clean), seed=seed)
    found = _verdict(run, test)
    made = metrics_json.build(
        task=run.plan.spec.task, model=run.plan.spec.model, method=run.kept_method or run.plan.spec.method,
        first_metric=first, test=test,
        validation=with_intervals(ours["validation"], task.metrics, seed=seed),
        baselines=baselines, verdict=found, test_rows=ours["test"], test_without_leaked=without,
        findings=diagnose.findings(
            curves=read_curves(run.folder.events), outcome=ours["test"], test=test, baselines=baselines,
            first_metric=first, audit=data.audit(), verdict=found, test_without_leaked=without, data=of_data,
            set_aside=None if run.kept_method is None else run.plan.spec.method,
        ),
        cost=cost,
    )  # fmt: skip
    rows = data.rows.select(data.splits["test"])
    if run.columns:
        made["columns"] = run.columns
    made["examples"] = examples.of_rows(ours["test"], rows["target"][:], data.modality.shown(rows), seed)
    return made


def _of_data(run: PredictiveRun, test: diagnose.Metrics) -> list[diagnose.Finding]:
    """Findings about the rows themselves; suspected labels are also listed in noise.csv."""
    cut = [run.cut.finding] if run.cut.much else []
    if run.rows.answers is not None or not run.has_probe:  # what is asked here is asked of one answer a row
        return cut
    frozen = _frozen(run)
    found, suspected = diagnose.of_data(frozen, test)
    found += cut
    if suspected is not None:
        noise.write(suspected, frozen, run.folder.path / "noise.csv")
    return found


def _frozen(run: PredictiveRun) -> linear.Frozen:
    """The rows as the base model saw them before training: features that are still on disk."""
    task, data = run.plan.task, run.data
    features = run.features_of_base
    seed, test = run.plan.spec.seed, data.splits["test"]
    train = sample(sample(data.splits["train"], MAX_ROWS, seed), linear.MOST_ROWS, seed)
    rows = data.rows.select(train)
    return linear.Frozen(
        kind=task.kind, features=gather(features, train), truth=task.truth(rows["target"][:]),
        row_ids=np.asarray(rows["row_id"][:]), texts=data.modality.shown(rows), test=gather(features, test),
        test_ids=np.asarray(data.rows.select(test)["row_id"][:]), label_names=task.label_names,
        rows=len(data.splits["train"]), seed=seed,
    )  # fmt: skip


def _verdict(run: PredictiveRun, test: diagnose.Metrics) -> verdict.Verdict:
    """A run that is nothing but a linear probe is compared with what is simpler still."""
    ours, others = run.ours["test"], run.others
    first, seed = run.plan.task.metrics[0], run.plan.spec.seed
    constant = others.get(run.plan.task.target.constant)
    judged = good.judge(ours, test, constant, first, goal=goal_of(run.plan.spec, ours.kind))
    if run.cut.much:
        judged["words"] += f" {run.cut.evidence}"
    simplest = "linear_probe" if run.is_probe else None
    return verdict.of_rows(ours, others, first, judged, simplest=simplest, seed=seed)


def evidence(run: PredictiveRun) -> Words:
    """What the report shows beside the metrics document."""
    test, rows = run.ours["test"], run.data.rows.select(run.data.splits["test"])
    bundle, modality = run.bundle, run.data.modality
    cheap = (f"{modality.cheap}_logistic_regression", _PROBE)
    return {
        "kind": test.kind, "modality": modality.name,
        "model": {"name": bundle.name, "fingerprint": bundle.fingerprint, "licence": bundle.licence,
                  "parameters": sum(p.numel() for p in bundle.model.parameters()),
                  "below": None if bundle.model.prompted is None else virtual.BASE,
                  "module": own_types.TABLE.get(bundle.model.config.model_type)},
        "test": test, "test_inputs": modality.shown(rows), "nouns": modality.nouns,
        "row": lambda at: rows[int(at)],
        "picture": lambda at: modality.picture(rows[at]), "sizes": (modality.size_name, modality.sizes(rows)),
        "training_pictures": run.rows.preview(sample(run.data.splits["train"], _PREVIEWED, run.plan.spec.seed),
                                              run.plan.spec.seed, _PREVIEWED),
        "looks": looks(run, test),
        "typed": modality.typed(rows[0]),
        "shown": run.plan.task.evidence(rows, test, run.others),
        "test_row_ids": list(rows["row_id"][:]),
        "suspects": suspects(test, [run.others[name] for name in cheap if name in run.others]),
        "losses_differ": type(run.plan.method).objective is not Method.objective, "audit": run.data.audit(),
    }  # fmt: skip
