"""One rung of the ladder, started by a launcher.

rung.json in its folder is written last: seconds, peak memory, size; beside it outcome.npz, what the rung said of the
test rows.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from tunesmith.core.events import Emit
from tunesmith.core.files import folder_bytes, new_file, remove, write_json
from tunesmith.evaluate.measured import Measured, RowStatistics, compute, value_of
from tunesmith.evaluate.metrics import higher_is_better
from tunesmith.evaluate.types import Outcome

Words = dict[str, Any]

CHEAP = {"predictive": ("majority", "tfidf", "nearest_neighbours"), "generative": ("base", "few_shot")}
"""Rungs that train no network, for each family of tasks."""
BASE_RUNGS = ("nearest_neighbours", "base", "few_shot")
"""Cheap rungs that look at a base model."""
NEIGHBOURS = (1, 3, 5, 10, 20, 50)
CURVE = (0.125, 0.25, 0.5, 1.0)
"""Shares of the training rows on which the learning curve is measured."""


def read_measured(folder: Path, kind: Any, label_names: list[str] | None) -> Measured:
    """What the rung made of the test rows; `kind` and `label_names` where it answers each."""
    summed = folder / "statistics.npz"
    with np.load(summed if summed.exists() else folder / "outcome.npz") as file:
        if summed.exists():
            return RowStatistics(dict(file))
        return Outcome(kind, file["truth"], file["scores"], label_names, file.get("thresholds"))


def climb(job: Words, emit: Emit) -> None:
    """Do what the job says, and write rung.json into its folder."""
    from tunesmith.engine.hardware import peak_memory_bytes

    folder, started = Path(job["folder"]), time.perf_counter()
    name = job["rung"]
    if name == "learning_curve":
        told = {"points": _learning_curve(job, folder)}
    elif name in ("majority", "tfidf"):
        told = _baseline(job, folder)
    elif name == "nearest_neighbours":
        told = _neighbours(job, folder)
    elif name in CHEAP["generative"]:
        told = _as_it_is(job, folder)
    else:
        told = _trained(job, folder, emit)
    took = round(time.perf_counter() - started, 3)
    write_json(folder / "rung.json", {**told, "seconds": took, "peak_memory_bytes": peak_memory_bytes()})


def _save(folder: Path, measured: Measured) -> None:
    if isinstance(measured, RowStatistics):
        name, arrays = "statistics.npz", dict(measured.sums)
    else:
        outcome = cast(Outcome, measured)
        name, arrays = "outcome.npz", {"truth": outcome.truth, "scores": outcome.scores}
        if outcome.thresholds is not None:
            arrays["thresholds"] = outcome.thresholds
    with new_file(folder / name) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _as_it_is(job: Words, folder: Path) -> Words:
    """The base model on the test rows, as it is or with training examples in its prompt."""
    from tunesmith.core.errors import OptionError
    from tunesmith.core.events import ignore
    from tunesmith.core.run import RunFolder
    from tunesmith.core.spec import RunSpec
    from tunesmith.engine.stop import StopRequest
    from tunesmith.families.generative import baselines
    from tunesmith.families.generative.context import GenerativeRun
    from tunesmith.families.generative.family import Generative
    from tunesmith.runs import spine

    remove(folder / "run")  # of a rung that was cut off
    run = RunFolder.create(folder / "run", "base")
    begun = spine.begin(Generative(), run, RunSpec.make(job["words"]), ignore, StopRequest())
    work = cast(GenerativeRun, begun)
    test = work.items.splits["test"]
    rows: RowStatistics | None
    if job["rung"] == "base":
        work.measure_reference()
        rows = work.statistics(test)
    else:
        _, rows = baselines.few_shot(work, test, test[:0])
        if rows is None:
            raise OptionError(f"few_shot: examples of the form {work.data.form!r} have no prompt to show others in.")
    _save(folder, rows)
    return {"size_bytes": sum(p.numel() * p.element_size() for p in work.bundle.model.network.parameters())}


def _trained(job: Words, folder: Path, emit: Emit) -> Words:
    import pyarrow.parquet as pq

    from tunesmith.runs.train import Run
    from tunesmith.studies.series import saved_measured, train_at

    train_at({"out": str(folder / "run"), "words": job["words"]}, emit)
    run = Run(folder / "run")
    _save(folder, saved_measured(run, pq.read_table(run.folder.predictions)))
    lost = run.document.get("forgetting")
    told = {} if lost is None else {"forgetting": {name: lost[name] for name in ("kept", "lost", "probe")}}
    return {"run": str(run.path), "size_bytes": folder_bytes(run.folder.model), **told}


def _prepared(job: Words, folder: Path) -> tuple[Any, Any]:
    """(prepared data, task fitted to it) of the split that all rungs share."""
    from tunesmith.core import registry
    from tunesmith.core.events import ignore
    from tunesmith.core.spec import RunSpec
    from tunesmith.studies.series import read
    from tunesmith.studies.shared_split import SharedSplit

    split = SharedSplit(**{**job["split"], "folder": Path(job["split"]["folder"])})
    spec = RunSpec.make({**split.with_test(), "near_duplicates": 0})
    prepared = read(spec.data, spec, folder / "cache")
    plugin = registry.get("tasks", spec.task)
    task = plugin(plugin.Options(**{k: v for k, v in spec.options.items() if k in plugin.Options.model_fields}))
    task.fit(prepared.columns.kind, prepared.label_names, prepared.targets(prepared.splits["train"]), ignore)
    return prepared, task


def _baseline(job: Words, folder: Path) -> Words:
    from tunesmith.evaluate.baselines import text_baselines
    from tunesmith.evaluate.features import TfidfFeatures

    prepared, task = _prepared(job, folder)
    texts = {split: _texts(prepared, split) for split in ("train", "test")}
    truth = {split: task.truth(prepared.targets(prepared.splits[split])) for split in texts}
    outputs = len(task.label_names or [0])
    constant = job["rung"] == "majority"
    # the prior needs no text: one row is enough to make it, and keeps the time of the constant its own
    found = text_baselines(
        task.kind, [""] * len(texts["train"]) if constant else texts["train"], truth["train"],
        texts["test"], truth["test"], task.label_names, seed=int(job["split"]["words"]["seed"]),
    )  # fmt: skip
    names = ("majority", "mean") if constant else ("tfidf_logistic_regression", "tfidf_ridge")
    outcome = next((found[name] for name in names if name in found), found[next(iter(found))])
    _save(folder, outcome)
    weights = 1 if constant else TfidfFeatures(texts["train"]).of_training.shape[1] + 1
    return {"size_bytes": 8 * outputs * weights}


def _texts(prepared: Any, split: str) -> list[Any]:
    rows = prepared.rows.select(prepared.splits[split])
    if "text_pair" in rows.column_names:
        return list(zip(rows["text"][:], rows["text_pair"][:], strict=True))
    return list(rows["text"][:])


def _features(job: Words, folder: Path, prepared: Any, task: Any) -> tuple[np.ndarray, int]:
    """(features float32 [rows, hidden] of the frozen base, bytes of the base)."""
    from tunesmith.core.events import ignore
    from tunesmith.engine import hardware
    from tunesmith.engine.inference import frozen_features
    from tunesmith.runs import text_language

    hardware.prepare()
    bundle = task.load(text_language.base_for(job["model"], text_language.sample(prepared), ignore), ignore)
    rows = task.encode(prepared.rows, bundle, folder / "cache" / "tokens", ignore, lambda: None)
    device = hardware.device()
    bundle.model.to(device)
    features = frozen_features(
        bundle.model, rows, np.arange(len(rows)), folder=folder / "cache", fingerprint=bundle.fingerprint,
        precision="fp32", on=device,
    )  # fmt: skip
    return np.asarray(features), sum(p.numel() * p.element_size() for p in bundle.model.parameters())


def _neighbours(job: Words, folder: Path) -> Words:
    """The mean answer of the nearest training rows by cosine; how many is chosen on validation rows."""
    from tunesmith.evaluate.thresholds import tune_thresholds

    prepared, task = _prepared(job, folder)
    features, base = _features(job, folder, prepared, task)
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    splits = {name: unit[positions] for name, positions in prepared.splits.items()}
    truth = {name: task.truth(prepared.targets(prepared.splits[name])) for name in splits}
    answers = truth["train"].astype(np.float64)
    if task.kind == "label":
        answers = np.eye(len(task.label_names))[truth["train"]]
    sign = 1 if higher_is_better(task.metrics[0]) else -1

    def answered(part: str, k: int) -> Outcome:
        cuts = None
        if task.kind == "labels":
            on_validation = Outcome(task.kind, truth["validation"], told["validation"][k], task.label_names)
            cuts = tune_thresholds(on_validation)
        return Outcome(task.kind, truth[part], told[part][k], task.label_names, cuts)

    def quality(k: int) -> float:
        return sign * compute(answered("validation", k), [task.metrics[0]])[task.metrics[0]]

    counts = [k for k in NEIGHBOURS if k <= len(answers)]
    told = {name: nearest(splits["train"], answers, splits[name], counts) for name in ("validation", "test")}
    best = max(counts, key=quality)
    _save(folder, answered("test", best))
    return {"neighbours": best, "size_bytes": base + int(splits["train"].nbytes)}


def nearest(known: np.ndarray, answers: np.ndarray, asked: np.ndarray, counts: list[int]) -> dict[int, np.ndarray]:
    """For each count k, the mean of `answers` [n] or [n, d] over the k rows of `known` [n, h] nearest to each row
    of `asked` [m, h], all of unit length: float64 [m] or [m, d]."""
    most = max(counts)
    parts: dict[int, list[np.ndarray]] = {k: [] for k in counts}
    for start in range(0, len(asked), 512):
        likeness = asked[start : start + 512] @ known.T
        order = np.argsort(-likeness, axis=1, kind="stable")[:, :most]
        for k in counts:
            parts[k].append(answers[order[:, :k]].mean(axis=1))
    return {k: np.concatenate(found) for k, found in parts.items()}


def _learning_curve(job: Words, folder: Path) -> list[Words]:
    """The linear probe on growing parts of the training rows: [{"rows", "value"}] on validation rows."""
    from tunesmith.engine.probe import solve

    prepared, task = _prepared(job, folder)
    features, _ = _features(job, folder, prepared, task)
    train, validation = prepared.splits["train"], prepared.splits["validation"]
    targets = task.targets(prepared.rows["target"][:])
    order = np.random.default_rng(int(job["split"]["words"]["seed"])).permutation(train)
    outputs, first = len(task.label_names or [0]), task.metrics[0]
    points = []
    for share in CURVE:
        some = np.sort(order[: max(8, round(share * len(order)))])
        solution = solve(features[some], targets[some], features[validation], targets[validation],
                         loss=task.probe_loss, outputs=outputs)  # fmt: skip
        outcome = Outcome(task.kind, task.truth(prepared.targets(prepared.splits["validation"])),
                          task.scores(solution.logits(features[validation])), task.label_names)  # fmt: skip
        value = _on_halves(outcome, first) if task.kind == "labels" else value_of(outcome, first)
        if value is not None:
            points.append({"rows": len(some), "value": value})
    return points


def _on_halves(outcome: Outcome, metric: str) -> float | None:
    """A metric of several labels, on either half of the rows with thresholds tuned on the other; the mean of both."""
    from tunesmith.evaluate.thresholds import tune_thresholds

    half = np.arange(len(outcome.truth)) % 2
    parts = [replace(outcome, truth=outcome.truth[half == h], scores=outcome.scores[half == h]) for h in (0, 1)]
    found = [
        value_of(replace(mine, thresholds=tune_thresholds(other)), metric)
        for mine, other in (parts, parts[::-1])
    ]  # fmt: skip
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known else None
