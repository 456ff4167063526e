"""One model from several runs by averaging their weights, where that helps on validation rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tunesmith.core import registry
from tunesmith.core.errors import OptionError
from tunesmith.core.events import ignore
from tunesmith.core.files import copy_folder, new_folder, remove, scratch
from tunesmith.core.measured import Measured
from tunesmith.core.spec import Words
from tunesmith.evaluate.measured import compute, paired_difference, with_intervals
from tunesmith.families.predictive.predictor import Model
from tunesmith.models.additions import ADAPTER
from tunesmith.models.manifest import MANIFEST, write_manifest
from tunesmith.models.virtual import can_merge
from tunesmith.runs.load import load
from tunesmith.runs.protocols import Exports
from tunesmith.runs.reading import other_data
from tunesmith.runs.shared_split import SharedSplit
from tunesmith.runs.train import Run


def check_soup(split: SharedSplit) -> None:
    """Raises OptionError for a task whose models can not be compared by themselves."""
    if registry.get("tasks", split.words["task"]).needs_reference:
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
        ordered = [
            _whole(run, place)
            for run in sorted(runs, key=lambda run: _rank(run.document["validation"], split), reverse=True)
        ]
        taken = ordered[:1]
        best = alone = _score(split, folder, taken)
        for part in ordered[1:]:
            found = _score(split, folder, [*taken, part])
            if found > best:
                taken, best = [*taken, part], found
        sign = _sign(split)
        names = [part.parent.name for part in taken]
        told = {"of": names, "validation": sign * best[0], "best_single": sign * alone[0], "kept": len(taken) > 1}
        if len(taken) == 1:
            remove(folder)
            return told
        _mix(split, folder, taken)
        _tuned(folder, split)
        write_manifest(folder)
        ours, theirs = (_measured(one, split, "test") for one in (folder, ordered[0]))
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
    plain = place / run.path.name / "model"
    with new_folder(plain) as aside:
        cast(Exports, load(model)).write_plain(aside)
    return plain


def _sign(split: SharedSplit) -> int:
    return 1 if split.higher_is_better else -1


def _rank(found: Words, split: SharedSplit) -> tuple[float, float]:
    """Larger is better: the metric, then the log loss where there is one."""
    loss = found.get("log_loss", 0.0)
    value, loss = (part["value"] if isinstance(part, Mapping) else part for part in (found[split.metric], loss))
    return _sign(split) * float(value), -float(loss)


def _score(split: SharedSplit, folder: Path, parts: Sequence[Path]) -> tuple[float, float]:
    _mix(split, folder, parts)
    return _rank(compute(_tuned(folder, split)), split)


def _mix(split: SharedSplit, folder: Path, parts: Sequence[Path]) -> None:
    """The average of the models in `folder`. Where batch normalisations have gathered statistics, the average has other
    ones than the mean of theirs, which are gathered anew on the training rows."""
    _write(folder, parts)
    if len(parts) > 1 and _gathered(parts):
        from tunesmith.families.predictive import statistics

        statistics.renew(Model.load(folder), other_data(folder, split.file("train"), {}), ignore)


def _gathered(parts: Sequence[Path]) -> bool:
    """Whether the statistics of these models differ."""
    for file in sorted(parts[0].glob("*.safetensors")):
        with ExitStack() as stack:
            models = [stack.enter_context(safe_open(part / file.name, framework="pt")) for part in parts]
            for name in models[0].keys():  # noqa: SIM118
                if name.endswith(".running_var"):
                    first, *others = (model.get_tensor(name) for model in models)
                    if not all(torch.equal(first, one) for one in others):
                        return True
    return False


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


def _measured(folder: Path, split: SharedSplit, part: str) -> Measured:
    """What a model folder makes of a part of the split."""
    return load(folder).measure(other_data(folder, split.file(part), {}), ignore)


def _tuned(folder: Path, split: SharedSplit) -> Measured:
    """The validation rows, as runs are chosen by them: of several labels with the thresholds that are best there, which
    the folder has from then on."""
    return load(folder).tune(other_data(folder, split.file("validation"), {}), ignore)
