"""Small outcomes and a whole made-up run for the tests of `evaluate`."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from tunesmith.data.types import Kind
from tunesmith.evaluate import diagnose, good, metrics_json, verdict
from tunesmith.evaluate.evidence import Evidence
from tunesmith.evaluate.measured import with_intervals
from tunesmith.evaluate.types import Outcome

FIRST = {"label": "accuracy", "labels": "f1_micro", "number": "rmse"}

EVIL = "<script>alert('x')</script>"


def label(rows: int = 200, classes: int = 4, skill: float = 2.0, seed: int = 0, ties: bool = False) -> Outcome:
    rng = np.random.default_rng(seed)
    truth = np.r_[np.arange(classes), np.random.default_rng(99).integers(0, classes, rows - classes)]
    logits = rng.normal(size=(rows, classes))
    logits[np.arange(rows), truth] += skill
    if ties:
        logits = np.round(logits)
    scores = np.exp(logits)
    names = [f"class {index}" for index in range(classes)]
    return Outcome("label", truth, scores / scores.sum(axis=1, keepdims=True), names)


def labels(rows: int = 200, classes: int = 5, skill: float = 2.0, seed: int = 0) -> Outcome:
    rng = np.random.default_rng(seed)
    truth = (np.random.default_rng(99).random((rows, classes)) < 0.3).astype(np.int8)
    truth[truth.sum(axis=1) == 0, 0] = 1
    scores = 1 / (1 + np.exp(-(rng.normal(size=truth.shape) + skill * (2 * truth - 1))))
    return Outcome("labels", truth, scores, [f"label {index}" for index in range(classes)])


def number(rows: int = 200, noise: float = 0.5, seed: int = 0) -> Outcome:
    truth = np.round(np.random.default_rng(99).normal(3, 2, rows), 1)
    scores = truth + noise * np.random.default_rng(seed).normal(size=rows)
    return Outcome("number", truth, np.round(scores, 2), None)


MAKERS: dict[Kind, Any] = {"label": label, "labels": labels, "number": number}


def perfect(kind: Kind) -> Outcome:
    outcome = MAKERS[kind]()
    scores = outcome.truth.astype(float)
    if kind == "label":
        scores = np.eye(4)[outcome.truth]
    return Outcome(kind, outcome.truth, scores, outcome.label_names)


def healthy_curves(first: str = "accuracy") -> dict[str, list[dict[str, Any]]]:
    rng = np.random.default_rng(0)
    losses = 1.2 * np.exp(-np.arange(300) / 60) + 0.3 + 0.1 * rng.normal(size=300)
    train = [
        {"step": step + 1, "epoch": step / 100, "loss": float(loss), "learning_rate": 1e-4}
        for step, loss in enumerate(losses)
    ]
    points = ((100, 0.62, 0.90), (200, 0.42, 0.925), (300, 0.40, 0.93))
    validation = [{"step": step, "epoch": step / 100, "loss": loss, first: value} for step, loss, value in points]
    return {"train": train, "validation": validation}


AUDIT: dict[str, Any] = {
    "rows": 1010,
    "splits": {"train": 600, "validation": 200, "test": 200},
    "labels": {f"class {index}": {"train": 150, "validation": 50, "test": 50} for index in range(4)},
    "ledger": {
        "rows": 1010, "used": 990, "cut": 10, "dropped": 10,
        "reasons": {"cut": {"longer than 64 tokens": 10}, "dropped": {"no text": 10}},
    },
    "leakage": {"identical_rows": 0, "moved_rows": 0, "remaining_rows": 0, "examples": []},
    "conflicts": {"texts": 0, "rows": 0},
    "something_new": {"deep": {"deeper": {"deepest": [1, 2, EVIL]}}},
}  # fmt: skip


def evidence(kind: Kind = "label", evil: bool = True) -> Evidence:
    """A finished run of the given kind, with hostile text in every place that data reaches."""
    ours, theirs = (
        MAKERS[kind](),
        MAKERS[kind](seed=1, **({"noise": 1.5} if kind == "number" else {"skill": 0.5})),
    )
    if evil and kind != "number":
        names = [EVIL, *(ours.label_names or [])[1:]]
        ours, theirs = (Outcome(kind, one.truth, one.scores, names) for one in (ours, theirs))
    first = FIRST[kind]
    baselines = {"tfidf_logistic_regression": theirs}
    test = with_intervals(ours, resamples=50)
    ladder = {name: with_intervals(outcome, resamples=50) for name, outcome in baselines.items()}
    decided = verdict.of_rows(ours, baselines, first, good.judge(ours, test, None, first), simplest=None)
    curves = healthy_curves(first)
    found = diagnose.findings(
        curves=curves,
        outcome=ours,
        test=test,
        baselines=ladder,
        first_metric=first,
        audit=copy.deepcopy(AUDIT),
        verdict=decided,
    )
    document = metrics_json.build(
        task="text-classification", model="minilm", method="full", first_metric=first,
        test_rows=ours, test=test, baselines=ladder, verdict=decided, validation=test, findings=found,
        cost={"wall_seconds": 12.0},
    )  # fmt: skip
    return Evidence(
        name=f"run {EVIL}", created="2026-01-01", task="text-classification", kind=kind, modality="text", method="full",
        model={"name": "owner/model", "fingerprint": "abc", "licence": "Apache-2.0", "parameters": 22_000},
        metrics=document, test=ours, test_inputs=[f"text {row} {EVIL}" for row in range(len(ours))],
        sizes=("characters", np.array([8.0 + len(str(row)) for row in range(len(ours))])),
        test_row_ids=list(range(1000, 1000 + len(ours))), curves=curves, audit=copy.deepcopy(AUDIT),
        decisions=[{"what": "precision", "value": EVIL, "why": EVIL}],
        warnings=[{"what": "w", "message": EVIL}],
        spec={"data": EVIL}, data_fingerprint="f" * 64, versions={"tunesmith": "0.1.0"},
        cost={"wall_seconds": 12.0, "peak_memory_bytes": 1e9, "tokens": 1000},
    )  # fmt: skip
