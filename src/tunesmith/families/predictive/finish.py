"""After training: measure on the untouched test rows, compare, save, explain, and only then succeed."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from tunesmith.core import events
from tunesmith.core.errors import RunFailed
from tunesmith.core.files import (
    fsync_folder,
    full_disk_as_oserror,
    new_folder,
    remove,
    write_json,
    write_table,
    write_text,
)
from tunesmith.engine.batching import sample
from tunesmith.engine.hardware import peak_memory_bytes
from tunesmith.engine.inference import gathered
from tunesmith.evaluate import card, diagnose, examples, good, linear, metrics, metrics_json, noise, report, verdict
from tunesmith.evaluate.errors import suspects
from tunesmith.evaluate.evidence import Evidence
from tunesmith.evaluate.goal import goal_of
from tunesmith.evaluate.thresholds import tune_thresholds
from tunesmith.evaluate.types import Outcome
from tunesmith.families.predictive.context import Work
from tunesmith.families.predictive.pipeline import MAX_ROWS, _features
from tunesmith.families.predictive.predictor import Model, write_mark
from tunesmith.families.predictive.text_baselines import texts_of
from tunesmith.forgetting import retain
from tunesmith.models import virtual
from tunesmith.models.lengths import USUAL
from tunesmith.models.load import save_text_model
from tunesmith.models.manifest import write_manifest
from tunesmith.runs import next_step
from tunesmith.runs.clock import Clock
from tunesmith.runs.history import latest, read_curves, versions

_TOLERANCE = 1e-3
"""Largest difference of a score between the model trained and the model read back (float32)."""


_INDEPENDENT = ("tfidf_logistic_regression", "linear_probe")
"""Baselines that come to their answers in other ways than the model, and than each other."""


def finish(work: Work, started: float) -> dict[str, Any]:
    """Evaluate, save, report; `result.json` is written last. Returns the metrics document."""
    clock = Clock(work.emit)
    clock.phase("evaluate", f"{len(work.data.splits['test'])} test rows")
    thresholds, ours = _outcomes(work)
    of_model = _model_baselines(work)
    first = work.plan.task.metrics[0]
    own = metrics.compute(ours["test"], [first]).get(first)
    work.forgetting = retain.measured(work, first, own, metrics.higher_is_better)
    work.stop.check()

    clock.phase("save", str(work.folder.model))
    _save_model(work, thresholds, ours["test"])

    clock.phase("report", str(work.folder.report))
    test = metrics.with_intervals(ours["test"], seed=work.plan.spec.seed)
    of_data = _of_data(work, test)
    others = {**work.of_texts.result(work.emit), **of_model}
    document = _document(work, ours, test, others, of_data, started)
    evidence = _evidence(work, document, ours["test"], others)
    write_json(work.folder.metrics, document)
    _save_predictions(work, ours["test"])
    report.write_report(evidence, work.folder.report)
    write_text(work.folder.model / "README.md", card.model_card(evidence))
    if not work.plan.engine.keep_cache:
        remove(work.folder.cache)
    fsync_folder(work.folder.path)
    headline = {name: document["test"][name]["value"] for name in work.plan.task.metrics if name in document["test"]}
    write_json(work.folder.result, {
        "status": "finished", "metrics": headline, "verdict": document["verdict"],
        "seconds": round(time.monotonic() - started, 3),
    })  # fmt: skip
    clock.end()
    work.emit(events.Finished(round(time.monotonic() - started, 3), headline))
    return document


def _outcomes(work: Work) -> tuple[np.ndarray | None, dict[str, Outcome]]:
    """Thresholds (tuned on validation, several labels only) and what the model says of both splits."""
    logits = {split: work.logits(work.data.splits[split]) for split in ("validation", "test")}
    thresholds = None
    if work.plan.task.kind == "labels":
        thresholds = tune_thresholds(work.outcome("validation", logits["validation"]))
    return thresholds, {split: work.outcome(split, values, thresholds) for split, values in logits.items()}


def _model_baselines(work: Work) -> dict[str, Outcome]:
    """The frozen base with a linear head and, where it can answer, the base as it is."""
    thresholds = None
    if work.plan.task.kind == "labels":
        thresholds = tune_thresholds(work.outcome("validation", work.probe_logits["validation"]))
    found = {"linear_probe": work.outcome("test", work.probe_logits["test"], thresholds)}
    if work.base_logits is not None:
        found["base"] = work.outcome("test", work.base_logits)
    return found


def _save_model(work: Work, thresholds: np.ndarray | None, expected: Outcome) -> None:
    """Save aside, read back, compare the answers, then give the folder its name."""
    task, folder = work.plan.task, work.folder
    task.finish(work.bundle)
    with new_folder(folder.model, replace=True) as aside:
        with full_disk_as_oserror():
            if work.kept_method is None:
                work.plan.method.merge(work.bundle, aside)
            longest = max(8, int(work.rows.lengths.max()), _limit(work))
            save_text_model(work.bundle, aside, max_length=longest, place=folder.model)
        write_mark(aside, work.plan.spec.task, task, work.data.columns, thresholds)
        _smoke_test(work, Model.load(aside), expected)
        write_manifest(aside)


def _limit(work: Work) -> int:
    return int(work.plan.spec.options.get("max_length") or min(work.bundle.max_length, USUAL))


def _smoke_test(work: Work, model: Model, expected: Outcome) -> None:
    """The saved model, read back, must answer like the one in memory. Raises RunFailed."""
    some = work.data.splits["test"][:16]
    again = model.scores(work.data.rows.select(some))
    scale = 1.0 if model.task.kind != "number" else float(np.abs(expected.truth).max() or 1.0)
    allowed = (_TOLERANCE if work.precision == "fp32" else 0.1) * scale
    worst = float(np.abs(again - expected.scores[: len(some)]).max())
    if not worst <= allowed:
        raise RunFailed(
            f"The saved model answers differently from the trained one (by {worst:.4g}, allowed {allowed:.4g})."
        )


def _of_data(work: Work, test: diagnose.Metrics) -> list[diagnose.Finding]:
    """Findings about the rows themselves; suspected labels are also listed in noise.csv."""
    frozen = _frozen(work)
    found, suspected = diagnose.of_data(frozen, test)
    found += [work.cut.finding] if work.cut.much else []
    if suspected is not None:
        noise.write(suspected, frozen, work.folder.path / "noise.csv")
    return found


def _document(
    work: Work, ours: dict[str, Outcome], test: diagnose.Metrics, others: dict[str, Outcome],
    of_data: list[diagnose.Finding], started: float,
) -> dict[str, Any]:  # fmt: skip
    task, data, seed = work.plan.task, work.data, work.plan.spec.seed
    first = task.metrics[0]
    ladder = {name: metrics.with_intervals(outcome, task.metrics, seed=seed) for name, outcome in others.items()}
    without = None
    if len(data.leaked_test):
        clean = ~np.isin(data.splits["test"], data.leaked_test)
        if clean.any():
            without = metrics.with_intervals(_subset(ours["test"], clean), seed=seed)
    found = _verdict(work, ours["test"], test, others)
    curves = read_curves(work.folder.events)
    document = metrics_json.build(
        task=work.plan.spec.task, model=work.plan.spec.model, method=work.kept_method or work.plan.spec.method,
        first_metric=first, test=test,
        validation=metrics.with_intervals(ours["validation"], task.metrics, seed=seed),
        baselines=ladder, verdict=found, outcome=ours["test"], test_without_leaked=without,
        findings=diagnose.findings(
            curves=curves, outcome=ours["test"], test=test, baselines=ladder, first_metric=first,
            audit=data.audit(), verdict=found, test_without_leaked=without, data=of_data,
            set_aside=None if work.kept_method is None else work.plan.spec.method,
        ),
        cost={
            "wall_seconds": round(time.monotonic() - started, 3),
            "peak_memory_bytes": peak_memory_bytes(),
            "tokens": work.state.tokens, "trainable_parameters": work.trainable_parameters,
        },
    )  # fmt: skip
    if work.forgetting is not None:
        document["forgetting"] = work.forgetting
    rows = data.rows.select(data.splits["test"])
    document["examples"] = examples.of_rows(ours["test"], _shown(rows), seed)
    sizes = {name: len(rows) for name, rows in data.splits.items()}
    more = work.cut.ways if work.cut.worst else ()
    document["verdict"]["next_step"] = next_step.for_rows(work.plan.spec, document, work.folder.path, sizes, more)
    metrics_json.check(document)
    return document


def _frozen(work: Work) -> linear.Frozen:
    """The rows as the base model saw them before training: features that are still on disk."""
    task, data = work.plan.task, work.data
    features = _features(
        work.folder, work.plan, data, work.bundle, work.rows, work.device, work.precision, work.stop
    )  # fmt: skip
    seed, test = work.plan.spec.seed, data.splits["test"]
    train = sample(sample(data.splits["train"], MAX_ROWS, seed), linear.MOST_ROWS, seed)
    rows = data.rows.select(train)
    return linear.Frozen(
        kind=task.kind, features=gathered(features, train), truth=task.truth(rows["target"][:]),
        row_ids=np.asarray(rows["row_id"][:]), texts=_shown(rows), test=gathered(features, test),
        test_ids=np.asarray(data.rows.select(test)["row_id"][:]), label_names=task.label_names,
        rows=len(data.splits["train"]), seed=seed,
    )  # fmt: skip


def _verdict(work: Work, ours: Outcome, test: diagnose.Metrics, others: dict[str, Outcome]) -> verdict.Verdict:
    """A run that is nothing but a linear probe is compared with what is simpler still."""
    first, seed = work.plan.task.metrics[0], work.plan.spec.seed
    constant = others.get("mean" if ours.kind == "number" else "majority")
    judged = good.judge(ours, test, constant, first, goal=goal_of(work.plan.spec))
    if work.cut.much:
        judged["words"] += f" {work.cut.evidence}"
    simplest = "linear_probe" if work.is_probe else None
    return verdict.of_rows(ours, others, first, judged, simplest=simplest, seed=seed)


def _subset(outcome: Outcome, mask: np.ndarray) -> Outcome:
    return Outcome(outcome.kind, outcome.truth[mask], outcome.scores[mask], outcome.label_names, outcome.thresholds)


def _evidence(work: Work, document: dict[str, Any], test: Outcome, others: dict[str, Outcome]) -> Evidence:
    rows = work.data.rows.select(work.data.splits["test"])
    log = events.read(work.folder.events)
    parameters = sum(p.numel() for p in work.bundle.model.parameters())
    return Evidence(
        name=work.folder.name, created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        task=work.plan.spec.task, kind=work.plan.task.kind, method=document["method"],
        model={"name": work.bundle.name, "fingerprint": work.bundle.fingerprint,
               "licence": work.bundle.licence, "parameters": parameters,
               "below": None if work.bundle.model.prompted is None else virtual.BASE},
        metrics=document, test=test, test_texts=_shown(rows), test_row_ids=list(rows["row_id"][:]),
        suspects=suspects(test, [others[name] for name in _INDEPENDENT if name in others]),
        losses_differ=hasattr(work.plan.method, "lesson"), path=str(work.folder.path),
        curves=read_curves(work.folder.events), audit=work.data.audit(),
        decisions=latest(log, "decided", ("what", "value", "why")),
        warnings=latest(log, "warned", ("what", "message")),
        spec=work.plan.spec.words(), data_fingerprint=work.data.fingerprint, versions=versions(),
        cost=document["cost"],
    )  # fmt: skip


def _shown(rows: Any) -> list[str]:
    return [text if isinstance(text, str) else " ⟷ ".join(text) for text in texts_of(rows)]


def _save_predictions(work: Work, test: Outcome) -> None:
    """predictions.parquet: row_id, truth, predicted and scores of every test row."""
    rows = work.data.rows.select(work.data.splits["test"])
    table = pa.table({
        "row_id": pa.array(rows["row_id"][:], pa.int64()),
        "truth": pa.array(rows["target"][:]),
        "predicted": pa.array(_named(test)),
        "scores": pa.array(list(np.atleast_2d(test.scores.T).T)),
    })  # fmt: skip
    write_table(table, work.folder.predictions)


def _named(outcome: Outcome) -> list[Any]:
    """What was predicted, in the words of the data."""
    predicted, names = outcome.predicted(), outcome.label_names or []
    if outcome.kind == "label":
        return [names[index] for index in predicted]
    if outcome.kind == "labels":
        return [[name for name, on in zip(names, row, strict=True) if on] for row in predicted]
    return [float(value) for value in predicted]
