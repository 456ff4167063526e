"""Ways to answer each row that train no network: what a comparison has beside what trains."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tunesmith.core import registry
from tunesmith.core.errors import OptionError
from tunesmith.core.events import ignore
from tunesmith.core.files import remove
from tunesmith.core.measured import Measured
from tunesmith.core.run import RunFolder
from tunesmith.core.spec import RunSpec, Words
from tunesmith.data.prepared import PreparedData
from tunesmith.engine import hardware
from tunesmith.engine.inference import frozen_features
from tunesmith.engine.probe import solve
from tunesmith.engine.protocols import PredictiveTask
from tunesmith.engine.stop import StopRequest
from tunesmith.evaluate.measured import compute, value_of
from tunesmith.evaluate.metrics import higher_is_better
from tunesmith.evaluate.words import baseline
from tunesmith.families.predictive import simple_baselines, zero_shot
from tunesmith.families.predictive.context import PredictiveRun
from tunesmith.families.predictive.split import fitted_task
from tunesmith.runs import choose, spine, text_language
from tunesmith.runs.protocols import Contention, Family
from tunesmith.runs.reading import read

LEARNING_CURVE = "learning_curve"
BASE = "base"
_NEIGHBOURS = (1, 3, 5, 10, 20, 50)
_CURVE = (0.125, 0.25, 0.5, 1.0)
"""Shares of the training rows on which the learning curve is measured."""


def all_contenders() -> dict[str, bool]:
    """Those of every modality and target: name -> whether it looks at a base."""
    simple = [kind.cheap for kind in registry.usable("modalities").values()]
    simple += [target.simple for target in registry.usable("evaluate.targets").values()]
    return {"majority": False, **{name: False for name in simple if name}, "nearest_neighbours": True, BASE: True}


def yardsticks(task: str) -> list[str]:
    """See `runs.protocols.Family`."""
    plugin = registry.get("tasks", task)
    targets = [registry.get("evaluate.targets", kind) for kind in plugin.kinds]
    cheap = choose.modality_of(plugin).cheap if all(target.by_cheap for target in targets) else None
    simple = next((target.simple for target in targets if target.simple), cheap)
    return ["majority", *([simple] if simple else [])]


def usual_contenders(kind: str, task: str) -> list[str]:
    """See `runs.protocols.Family`."""
    one = registry.get("evaluate.targets", kind).one_answer
    whole = getattr(registry.get("tasks", task), "probe_loss", None) is None  # a base may be trained for it already
    return [*yardsticks(task), *(["nearest_neighbours"] if one else []), *([BASE] if whole else [])]


def titles(kind: str, task: str) -> dict[str, str]:
    """See `runs.protocols.Family`."""
    found = {"majority": baseline(registry.get("evaluate.targets", kind).constant)}
    linear = getattr(registry.get("tasks", task), "probe_loss", None) is not None
    return found if linear else {**found, "head": "only the last layers (head)"}


def contend(family: Family[PredictiveRun], name: str, words: Words, folder: Path) -> Contention:
    """See `runs.protocols.Family`."""
    if name == LEARNING_CURVE:
        return {"points": _learning_curve(words, folder)}, None
    if name == BASE:
        return _base(family, words, folder)
    return _neighbours(words, folder) if all_contenders()[name] else _baseline(name, words, folder)


def _base(family: Family[PredictiveRun], words: Words, folder: Path) -> Contention:
    """What the base makes of the test rows as it is. Raises OptionError where it was trained for something else."""
    remove(folder / "run")  # of one that was cut off
    begun = RunFolder.create(folder / "run", BASE)
    run = spine.begin(family, begun, RunSpec.make(words), ignore, StopRequest())
    answered = zero_shot.logits(run) if run.bundle.zero_shot == "head" else None
    if answered is None:
        raise OptionError(f"{words['model']} answers nothing of this kind before it is trained.", "Leave it out.")
    size = sum(p.numel() * p.element_size() for p in run.bundle.model.parameters())
    return {"size_bytes": size}, run.measured("test", answered)


def _prepared(words: Words, folder: Path) -> tuple[PreparedData, PredictiveTask]:
    """(prepared data, task fitted to it) of the split that all contenders share."""
    spec = RunSpec.make({**words, "near_duplicates": 0})
    prepared = read(spec.data, spec, folder / "cache")
    return prepared, fitted_task(spec.task, spec, prepared, prepared.splits["train"])


def _baseline(name: str, words: Words, folder: Path) -> Contention:
    """What needs no base model: a constant, or a linear model on features that no network makes."""
    prepared, task = _prepared(words, folder)
    widths: list[int] = []
    constant = name == "majority"
    found = simple_baselines.of_data(task, prepared, int(words["seed"]), constant=constant, widths=widths)
    outcome = next((one for key, one in found.items() if constant or key.startswith(name)), None)
    if outcome is None:
        raise OptionError(f"{name} does not fit these rows: nothing that it could go by is there.", "Leave it out.")
    return {"size_bytes": 8 * len(task.label_names or [0]) * (sum(widths) + 1)}, outcome


def _features(words: Words, folder: Path, prepared: PreparedData, task: PredictiveTask) -> tuple[np.ndarray, int]:
    """(features float32 [rows, hidden] of the frozen base, bytes of the base)."""
    hardware.prepare()
    texts, bases = text_language.sample(prepared), choose.loader_of(task).bases
    bundle = task.loaded(text_language.base_for(words["model"], texts, ignore, bases), ignore)
    rows = task.encode(prepared.rows, bundle, folder / "cache" / "tokens", ignore, lambda: None)
    device = hardware.device()
    bundle.model.to(device)
    features = frozen_features(
        bundle.model, rows, np.arange(len(rows)), folder=folder / "cache", fingerprint=bundle.fingerprint,
        precision="fp32", on=device,
    )  # fmt: skip
    return np.asarray(features), sum(p.numel() * p.element_size() for p in bundle.model.parameters())


def _neighbours(words: Words, folder: Path) -> Contention:
    """The mean answer of the nearest training rows by cosine; how many is chosen on validation rows."""
    prepared, task = _prepared(words, folder)
    features, base = _features(words, folder, prepared, task)
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    splits = {name: unit[positions] for name, positions in prepared.splits.items()}
    truth = {name: task.truth(prepared.targets(prepared.splits[name])) for name in splits}
    answers = task.target.certain(truth["train"])
    sign = 1 if higher_is_better(task.metrics[0]) else -1

    def answered(part: str, k: int) -> Measured:
        on_validation = task.measure(told["validation"][k], truth["validation"])
        return task.measure(told[part][k], truth[part], task.target.tune(on_validation))

    def quality(k: int) -> float:
        return sign * compute(answered("validation", k), [task.metrics[0]]).get(task.metrics[0], -sign * np.inf)

    counts = [k for k in _NEIGHBOURS if k <= len(answers)]
    told = {name: nearest(splits["train"], answers, splits[name], counts) for name in ("validation", "test")}
    best = max(counts, key=quality)
    return {"neighbours": best, "size_bytes": base + int(splits["train"].nbytes)}, answered("test", best)


def nearest(known: np.ndarray, answers: np.ndarray, asked: np.ndarray, counts: list[int]) -> dict[int, np.ndarray]:
    """For each count k, the mean of `answers` [n] or [n, d] over the k rows of `known` [n, h] nearest to each row
    of `asked` [m, h], all of unit length: float64 [m] or [m, d]."""
    most = max(counts)
    parts: dict[int, list[np.ndarray]] = {k: [] for k in counts}
    for start in range(0, len(asked), 512):
        similarity = asked[start : start + 512] @ known.T
        order = np.argsort(-similarity, axis=1, kind="stable")[:, :most]
        for k in counts:
            parts[k].append(answers[order[:, :k]].mean(axis=1))
    return {k: np.concatenate(found) for k, found in parts.items()}


def _learning_curve(words: Words, folder: Path) -> list[Words]:
    """The linear probe on growing parts of the training rows: [{"rows", "value"}] on validation rows."""
    prepared, task = _prepared(words, folder)
    loss = task.probe_loss
    if not task.target.one_answer or loss is None:
        return []
    features, _ = _features(words, folder, prepared, task)
    train, validation = prepared.splits["train"], prepared.splits["validation"]
    targets = task.targets(prepared.rows["target"][:])
    order = np.random.default_rng(int(words["seed"])).permutation(train)
    outputs, first = len(task.label_names or [0]), task.metrics[0]
    points = []
    for size in sorted({min(len(order), max(8, round(share * len(order)))) for share in _CURVE}):
        some = np.sort(order[:size])
        solution = solve(features[some], targets[some], features[validation], targets[validation],
                         loss=loss, outputs=outputs)  # fmt: skip
        answers = task.decode(solution.logits(features[validation]))
        truth = task.truth(prepared.targets(validation))
        value = (
            _on_halves(task, answers, truth, first) if task.target.has_thresholds
            else value_of(task.measure(answers, truth), first)
        )  # fmt: skip
        if value is not None:
            points.append({"rows": len(some), "value": value})
    return points


def _on_halves(task: PredictiveTask, answers: np.ndarray, truth: np.ndarray, metric: str) -> float | None:
    """A metric of several labels, on either half of the rows with thresholds tuned on the other; the mean of both."""
    halves = [np.arange(len(truth)) % 2 == half for half in (0, 1)]
    found = []
    for mine, other in (halves, halves[::-1]):
        thresholds = task.target.tune(task.measure(answers[other], truth[other]))
        found.append(value_of(task.measure(answers[mine], truth[mine], thresholds), metric))
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known else None
