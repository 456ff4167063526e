"""One model from several runs by averaging their weights, where that helps on validation rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from datasets import Dataset
from safetensors import safe_open
from safetensors.torch import save_file

from tunesmith.core import registry
from tunesmith.core.errors import OptionError
from tunesmith.core.events import ignore
from tunesmith.core.files import copy_folder, new_folder, read_json, remove, scratch, write_json
from tunesmith.data.conversations import Examples, read_examples
from tunesmith.data.prepare import parse_targets, read_rows
from tunesmith.evaluate.measured import Measured, RowStatistics, compute, paired_difference, with_intervals
from tunesmith.evaluate.thresholds import tune_thresholds
from tunesmith.evaluate.types import Outcome
from tunesmith.families.export import export
from tunesmith.families.generative import use
from tunesmith.families.generative.predictor import TextGenerator
from tunesmith.families.predictive.predictor import MARK, Model
from tunesmith.models.additions import ADAPTER
from tunesmith.models.manifest import MANIFEST, write_manifest
from tunesmith.models.virtual import can_merge
from tunesmith.runs.train import Run
from tunesmith.studies.shared_split import SharedSplit

Words = dict[str, Any]


def check_soup(split: SharedSplit) -> None:
    """Raises OptionError for a task whose models can not be compared by themselves."""
    if getattr(registry.get("tasks", split.words["task"]), "needs_reference", False):
        raise OptionError(
            "--soup: what has learned preferences is measured beside its base, and an average of weights has none.",
            "Leave --soup out; --seeds alone says how much of the result is chance.",
        )


def greedy_soup(folder: Path, runs: Sequence[Run], split: SharedSplit) -> Words:
    """Greedy soup (Wortsman et al. 2022, algorithm 1), written to `folder` where it is better than each run alone.

    In the order of their validation metric, each run joins only if the average gains there. Returns {"of",
    "validation", "best_single", "kept"} and, of one that is kept, {"test", "difference"}.
    """
    with scratch() as place:
        judge: _Judge = _Rows(split, place) if split.family == "predictive" else _Texts(split)
        ordered = [
            _whole(run, place)
            for run in sorted(runs, key=lambda run: _rank(run.document["validation"], split), reverse=True)
        ]
        taken = ordered[:1]
        best = alone = _score(judge, folder, taken)
        for part in ordered[1:]:
            found = _score(judge, folder, [*taken, part])
            if found > best:
                taken, best = [*taken, part], found
        sign = _sign(split)
        names = [part.parent.name for part in taken]
        told = {"of": names, "validation": sign * best[0], "best_single": sign * alone[0], "kept": len(taken) > 1}
        if len(taken) == 1:
            remove(folder)
            return told
        _write(folder, taken)
        judge.finish(folder)
        write_manifest(folder)
        ours, theirs = (judge.found(one, "test") for one in (folder, ordered[0]))
        test = with_intervals(ours, [split.metric])[split.metric]
        return {**told, "test": test, "difference": dict(paired_difference(ours, theirs, split.metric))}


def mean(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Of one weight in several models (summed in float64, kept in its own type); what is no float as in the first."""
    if not parts[0].is_floating_point():
        return parts[0]
    return torch.stack([part.double() for part in parts]).mean(0).to(parts[0].dtype)


def _whole(run: Run, place: Path) -> Path:
    """A folder whose weights may be averaged: the run's model, or where it has a factored change beside its base
    (LoRA: the mean of factors is not that of their products) the two merged."""
    model = run.folder.model
    if not (model / ADAPTER).exists() or not can_merge(model):
        return model
    return Path(export(run.path, out=place / run.path.name / "model")["out"])


def _sign(split: SharedSplit) -> int:
    return 1 if split.higher_is_better else -1


def _rank(found: Mapping[str, Any], split: SharedSplit) -> tuple[float, float]:
    """Larger is better: the metric, then the log loss where there is one."""
    loss = found.get("log_loss", 0.0)
    value, loss = (part["value"] if isinstance(part, Mapping) else part for part in (found[split.metric], loss))
    return _sign(split) * float(value), -float(loss)


def _score(judge: _Judge, folder: Path, parts: Sequence[Path]) -> tuple[float, float]:
    _write(folder, parts)
    return _rank(compute(judge.choosing(folder)), judge.split)


def _write(folder: Path, parts: Sequence[Path]) -> None:
    """The first model folder with the mean of all weights; of each model one weight at a time is in memory."""
    with new_folder(folder, replace=True) as aside:
        weights = sorted(parts[0].glob("*.safetensors"))  # of this folder alone: a base below it stays as it is
        copy_folder(parts[0], aside, "adapter", "README.md", MANIFEST, *(file.name for file in weights))
        for file in weights:
            with ExitStack() as stack:
                models = [stack.enter_context(safe_open(part / file.name, framework="pt")) for part in parts]
                found = {name: mean([model.get_tensor(name) for model in models]) for name in models[0].keys()}  # noqa: SIM118
            save_file(found, aside / file.name, metadata={"format": "pt"})


class _Judge(Protocol):
    """What a model folder is worth on a split."""

    split: SharedSplit

    def found(self, folder: Path, part: str) -> Measured: ...
    def choosing(self, folder: Path) -> Measured:
        """The validation rows, as runs are chosen by them."""

    def finish(self, folder: Path) -> None:
        """Settle on validation rows what belongs to the model beside its weights."""


class _Rows:
    """Models that answer each row."""

    def __init__(self, split: SharedSplit, cache: Path):
        self.split, self.cache = split, cache

    def found(self, folder: Path, part: str) -> Outcome:
        model = Model.load(folder)
        rows, targets = self._read(model, part)
        return model.outcome(model.scores(rows), targets)

    def choosing(self, folder: Path) -> Outcome:
        return _tuned(self.found(folder, "validation"))

    def _read(self, model: Model, part: str) -> tuple[Dataset, list[Any]]:
        rows = read_rows(self.split.file(part), emit=ignore, cache_dir=self.cache, columns=model.columns)
        return model.texts(rows), parse_targets(rows, model.columns, model.labels)

    def finish(self, folder: Path) -> None:
        tuned = self.choosing(folder).thresholds
        if tuned is not None:
            mark = read_json(folder / MARK)
            write_json(folder / MARK, {**mark, "thresholds": [float(value) for value in tuned]})


class _Texts:
    """Models that write, by what they make of the wanted answers."""

    def __init__(self, split: SharedSplit):
        self.split = split
        self._examples: dict[str, Examples] = {}

    def found(self, folder: Path, part: str) -> RowStatistics:
        if part not in self._examples:
            self._examples[part] = read_examples(self.split.file(part), emit=ignore, form=self.split.form)
        return use.statistics(TextGenerator.load(folder), self._examples[part])

    def choosing(self, folder: Path) -> RowStatistics:
        return self.found(folder, "validation")

    def finish(self, folder: Path) -> None:
        """Nothing: its weights are all that it is."""


def _tuned(outcome: Outcome) -> Outcome:
    """With the thresholds that are best on these rows, where there are several labels."""
    if outcome.kind != "labels":
        return outcome
    return replace(outcome, thresholds=tune_thresholds(outcome))
