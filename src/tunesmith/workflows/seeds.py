"""several_seeds: how much of a result is chance, and one model from several by averaging their weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from datasets import Dataset
from safetensors.torch import load_file, save_file

from tunesmith.core.errors import OptionError
from tunesmith.core.events import ignore
from tunesmith.core.files import write_json, write_text
from tunesmith.data.prepare import parse_targets, read_rows
from tunesmith.evaluate import compare, metrics, refine_report
from tunesmith.evaluate.thresholds import tune_thresholds
from tunesmith.evaluate.types import Outcome
from tunesmith.evaluate.words import metric as named
from tunesmith.evaluate.words import number
from tunesmith.workflows import choose
from tunesmith.workflows.folds import forgotten, forgotten_sentence, mean_and_spread
from tunesmith.workflows.held import Held
from tunesmith.workflows.model import MARK, Model
from tunesmith.workflows.refine import Series, fitting, hold_out, named_source, opened, run_once, specified
from tunesmith.workflows.train import Run

Words = dict[str, Any]
Weights = Mapping[str, torch.Tensor]


class Seeds(Series):
    """What several seeds found: seeds.json as `document`, and a finished run a seed."""

    @property
    def soup(self) -> Model | None:
        """The averaged model, where it was asked for and helped on validation."""
        folder = self.path / "soup"
        return Model.load(folder) if (folder / MARK).exists() else None


def several_seeds(
    data: Any, *, out: str | Path, seeds: int | Sequence[int] = 3, soup: bool = False, **words: Any
) -> Seeds:
    """One run for each seed on one and the same split; metrics on the test rows with mean and spread.

    `seeds`: how many, counted up from the word `seed`, or which; the split is always that of the word
    `seed`. `soup`: average the runs' weights greedily (Wortsman et al. 2022, algorithm 1) in the order of
    their validation metric; a run joins only if validation gains, and the average is kept only if it is
    better there than the best single run. Its test result is read once, after that. Killed, it goes on
    when it is asked for again. Writes seeds.json, report.html and, with a soup, the folder `soup`.
    Raises UsageError, RunFailed, Stopped.
    """
    first = int(words.get("seed") or 0)
    chosen = list(range(first, first + seeds)) if isinstance(seeds, int) else [int(seed) for seed in seeds]
    if len(set(chosen)) != len(chosen) or len(chosen) < 2:
        raise OptionError(f"--seeds {seeds}: expected at least two different seeds.")
    clean = {name: value for name, value in words.items() if value is not None}
    request = {"verb": "series of seeds", "data": named_source(data), "words": clean, "seeds": chosen, "soup": soup}
    if soup and choose.family(*specified(data, clean)) == "language":
        raise OptionError("--soup: weights are averaged of models that answer each row, not of those that write.")
    with opened(out, request) as path:
        held = hold_out(data, path / "data", clean)
        base = fitting(held.with_test(), held.method)
        runs = [run_once(path / f"seed-{seed}", {**base, "seed": seed}) for seed in chosen]
        document: Words = {
            "metric": held.metric,
            "runs": [{"name": f"seed {seed}", "run": str(run.path), "metrics": run.metrics,
                      "validation": run.document["validation"][held.metric]["value"]}
                     for seed, run in zip(chosen, runs, strict=True)],
            **mean_and_spread([run.metrics for run in runs]),
            "forgetting": forgotten(runs),
            "soup": _soup(path / "soup", runs, held) if soup else None,
        }  # fmt: skip
        document["words"] = _sentences(document)
        write_json(path / "seeds.json", document)
        write_text(path / "report.html", refine_report.repeated("Seeds", document))
        return Seeds(path, document, runs)


def average(parts: Sequence[Weights]) -> dict[str, torch.Tensor]:
    """The mean of each float tensor over `parts` (summed in float64, kept in its own type); others as in the first."""
    found = {}
    for name, tensor in parts[0].items():
        if tensor.is_floating_point():
            total = torch.stack([part[name].double() for part in parts]).mean(0)
            found[name] = total.to(tensor.dtype)
        else:
            found[name] = tensor
    return found


def _soup(folder: Path, runs: Sequence[Run], held: Held) -> Words:
    """Greedy soup: {"of", "validation", "best_single", "kept", "test", "difference"}."""
    sign = 1 if held.higher_is_better else -1

    def ranked(run: Run) -> tuple[float, float]:
        return _rank(run.document["validation"], held.metric, sign)

    ordered = sorted(runs, key=ranked, reverse=True)
    weights = {run.path: {f.name: load_file(f) for f in run.folder.model.glob("*.safetensors")} for run in runs}
    with TemporaryDirectory(prefix="tunesmith-") as cache:
        rows, targets = _rows(held, "validation", ordered[0].model, Path(cache))
        taken = [ordered[0]]
        best = alone = _score(folder, taken, weights, rows, targets, held.metric, sign)
        for run in ordered[1:]:
            found = _score(folder, [*taken, run], weights, rows, targets, held.metric, sign)
            if found > best:
                taken, best = [*taken, run], found
    names = [run.path.name for run in taken]
    told = {"of": names, "validation": sign * best[0], "best_single": sign * alone[0], "kept": len(taken) > 1}
    if len(taken) == 1:
        shutil.rmtree(folder)
        return told
    _write(folder, taken, weights)
    with TemporaryDirectory(prefix="tunesmith-") as cache:
        model = _with_thresholds(folder, *_rows(held, "validation", Model.load(folder), Path(cache)))
        rows, targets = _rows(held, "test", model, Path(cache))
        ours = model.outcome(model.scores(rows), targets)
        theirs = ordered[0].model.outcome(ordered[0].model.scores(rows), targets)
    difference = compare.paired_bootstrap(ours, theirs, held.metric)
    return {**told, "test": metrics.with_intervals(ours, [held.metric])[held.metric], "difference": dict(difference)}


def _rank(found: Mapping[str, Any], metric: str, sign: int) -> tuple[float, float]:
    """Larger is better: the metric, then the log loss where there is one."""
    loss = found.get("log_loss", 0.0)
    value, loss = (part["value"] if isinstance(part, Mapping) else part for part in (found[metric], loss))
    return sign * float(value), -float(loss)


def _score(
    folder: Path, runs: Sequence[Run], weights: Mapping[Path, Mapping[str, Weights]], rows: Dataset, targets: list[Any],
    metric: str, sign: int,
) -> tuple[float, float]:  # fmt: skip
    _write(folder, runs, weights)
    model = Model.load(folder)
    outcome = model.outcome(model.scores(rows), targets)
    return _rank(metrics.compute(_tuned(outcome)), metric, sign)


def _write(folder: Path, runs: Sequence[Run], weights: Mapping[Path, Mapping[str, Weights]]) -> None:
    """The first run's model folder with the mean of all weights."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(runs[0].folder.model, folder, ignore=shutil.ignore_patterns("adapter", "README.md"))
    for name in weights[runs[0].path]:
        mean = average([weights[run.path][name] for run in runs])
        save_file(mean, folder / name, metadata={"format": "pt"})


def _tuned(outcome: Outcome) -> Outcome:
    """With the thresholds that are best on these rows, where there are several labels."""
    if outcome.kind != "labels":
        return outcome
    thresholds = tune_thresholds(outcome)
    return Outcome(outcome.kind, outcome.truth, outcome.scores, outcome.label_names, thresholds)


def _with_thresholds(folder: Path, rows: Dataset, targets: list[Any]) -> Model:
    """The averaged model, its thresholds tuned on the validation rows and written down."""
    model = Model.load(folder)
    tuned = _tuned(model.outcome(model.scores(rows), targets)).thresholds
    if tuned is not None:
        mark = json.loads((folder / MARK).read_text(encoding="utf-8"))
        write_json(folder / MARK, {**mark, "thresholds": [float(value) for value in tuned]})
        model = Model.load(folder)
    return model


def _rows(held: Held, split: str, model: Model, cache: Path) -> tuple[Dataset, list[Any]]:
    rows = read_rows(held.file(split), emit=ignore, cache_dir=cache, columns=model.columns)
    return model.texts(rows), parse_targets(rows, model.columns, model.labels)


def _sentences(document: Words) -> list[str]:
    metric, runs = document["metric"], document["runs"]
    values = [run["metrics"][metric] for run in runs]
    mean, spread = document["mean"][metric], document["spread"][metric]
    found = [
        f"{named(metric)} on the test rows over {len(runs)} seeds: {number(mean)} on average, standard deviation "
        f"{number(spread)} (from {number(min(values))} to {number(max(values))}).",
        "A difference between two settings that is smaller than this spread may be chance.",
    ]
    if document["forgetting"]:
        found.append(forgotten_sentence(document["forgetting"]))
    soup = document["soup"]
    if soup and soup["kept"]:
        gap = soup["difference"]
        found.append(
            f"The average of the weights of {', '.join(soup['of'])} is kept: validation {number(soup['validation'])} "
            f"against {number(soup['best_single'])} of the best single run. On test it has "
            f"{number(soup['test']['value'])}, {number(gap['difference'], True)} against that run "
            f"(95 % interval {number(gap['low'], True)} to {number(gap['high'], True)})."
        )
    elif soup:
        found.append("No average of weights was better on validation than the best single run, so none is kept.")
    return found
