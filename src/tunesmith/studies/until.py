"""until: train, see what is wrong, change that, and train again, until a metric is reached or the budget is spent.

Everything is decided on validation rows; the test rows are read once, by the run that is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.core.errors import OptionError, RunFailed
from tunesmith.core.files import read_json, remove, write_json
from tunesmith.core.run import is_run
from tunesmith.core.spec import Words
from tunesmith.evaluate import words
from tunesmith.evaluate.goal import parse_goal
from tunesmith.evaluate.metrics import higher_is_better
from tunesmith.evaluate.words import number
from tunesmith.models import catalog
from tunesmith.runs.family import family_named
from tunesmith.runs.shared_split import SharedSplit
from tunesmith.runs.train import Run
from tunesmith.studies.series import Budget, Study, fitting, open_study, parse_budget
from tunesmith.studies.space import default_of, fields_of

MOST_STEPS = 12
MOST_EPOCHS = 40


@dataclass(frozen=True)
class UntilResult:
    """The steps and their reasons (until.json as `document`), and the run that was kept."""

    path: Path
    document: Words
    run: Run

    @property
    def reached(self) -> bool:
        """Whether the target was reached, on validation rows."""
        return bool(self.document["reached"])

    @property
    def steps(self) -> list[Words]:
        return list(self.document["steps"])


# remedies: the present words to a change of them, or None where it can not be made


Remedy = Callable[[Words], Words | None]


def _times(name: str, factor: float, least: float = 0.0, most: float = float("inf")) -> Remedy:
    """Multiply an option, within limits. Not where nothing but the linear solution is computed."""

    def change(present: Words) -> Words | None:
        if not _present(present, "epochs"):
            return None
        value = _present(present, name)
        new = min(max(value * factor, least), most)
        new = round(new) if isinstance(value, int) else float(f"{new:.3g}")
        return {name: new} if new != value and new > 0 else None

    return change


def _set(name: str, value: object, only: str | None = None) -> Remedy:
    """Set an option that the task or method has (and, with `only`, where that is the method)."""

    def change(present: Words) -> Words | None:
        if only is not None and present["method"] != only:
            return None
        known = name in ("method", "model") or name in fields_of(present["method"], present["task"])
        return {name: value} if known and _present(present, name) != value else None

    return change


def _other_model(present: Words) -> Words | None:
    """The next larger base model of the catalogue that is on this machine, none else: no download unasked."""
    here = {name: catalog.size_of(catalog.find(name)) for name in catalog.on_this_machine()}
    now = present["model"] if present["model"] != "auto" else catalog.DEFAULT
    size = catalog.size_of(catalog.find(now))
    if size is None:
        return None
    larger = sorted((s.parameters, name) for name, s in here.items() if s and s.parameters > size.parameters)
    return {"model": larger[0][1]} if larger else None


_FULL = _set("method", "full")
_DEEPER = _set("frozen_share", 0.0, only="full")
_LONGER = _times("epochs", 2, most=MOST_EPOCHS)
_FASTER = _times("learning_rate", 2, most=5e-3)
_SLOWER = _times("learning_rate", 0.5)
_BALANCED = _set("class_weights", "auto")

REMEDIES: Mapping[str, tuple[Remedy, ...]] = {
    "no_better_than_constant": (_FULL, _DEEPER, _LONGER, _FASTER),
    "under_fitted": (_FULL, _LONGER, _FASTER, _DEEPER),
    "learning_rate_too_high": (_times("learning_rate", 1 / 3), _set("warmup_ratio", 0.2)),
    "learning_rate_too_low": (_times("learning_rate", 5, most=5e-3), _LONGER),
    "training_too_short": (_LONGER, _FASTER),
    "training_too_long": (_times("epochs", 0.5, least=1),),
    "labels_never_predicted": (_BALANCED, _LONGER),
    "class_collapse": (_BALANCED, _SLOWER, _FASTER, _LONGER),
    "worse_than_baseline": (_FULL, _SLOWER, _LONGER, _other_model),
    "training_did_not_help": (_SLOWER, _set("method", "head")),
    "over_fitted": (
        _set("dropout", 0.1), _times("epochs", 0.5, least=1), _times("weight_decay", 5, most=0.3),
        _set("frozen_share", 0.5, only="full"),
    ),
    "imbalance": (_BALANCED,),
    "calibration_off": (_set("label_smoothing", 0.0), _set("label_smoothing", 0.1)),
    "fit_fine": (_FULL, _DEEPER, _other_model, _LONGER, _FASTER, _SLOWER),
}  # fmt: skip
"""Name of a finding (`evaluate.diagnose`) -> what to change for it, in the order in which it is tried."""

ADVICE_ONLY = (
    "small_test_set", "leakage", "conflicting_labels", "label_noise", "train_test_shift", "too_little_data",
)  # fmt: skip
"""Findings about the data: no option cures them, so they are told and nothing is changed."""


def until(
    data: object, *, metric: str, out: str | Path, budget: str | Budget = "30m", launcher: str = "here", **given: object
) -> UntilResult:
    """Train again and again, each time with the remedy for what the last diagnosis found.

    `metric`: the target, such as 'accuracy>=0.95' or 'rmse<=0.4'. Each step starts from the best words so
    far and changes one thing; options that `given` fixes stay as they are. Findings come from a run whose
    test part are validation rows, so that nothing of the test rows can steer. Killed, it goes on when it is
    asked for again. `launcher`: where the runs take place (`here`, `process`). Writes until.json and
    report.html into `out`, the kept run into `out`/run. Raises UsageError, RunFailed, Stopped.
    """
    parse_goal(metric, "--until")
    limit = parse_budget(budget)
    with open_study(out, data, given, launcher, verb="series of steps", metric=metric) as study:
        split = study.make_split()
        goal = parse_goal(metric, "--until", split.kind)
        measure = family_named(split.family).measured_by(goal.metric, split)
        sign = 1 if higher_is_better(goal.metric) else -1
        series = _Steps(study, split, {**split.without_test(), **measure}, goal.metric, goal.value, sign)
        return series.finish(series.made(limit, set(study.words)))


@dataclass(frozen=True)
class _Steps:
    """The steps of one request, and what they share."""

    study: Study
    split: SharedSplit
    words: Words
    """Of runs without the test rows."""
    metric: str
    target: float
    sign: int

    def made(self, limit: Budget, fixed: set[str]) -> list[Words]:
        """All steps, those of an earlier, killed process first."""
        note, sign = self.study.path / "steps.json", self.sign
        steps: list[Words] = read_json(note, list) if note.exists() else []
        while not is_run(self.study.path / "run"):  # else the run to keep is settled
            best = _best(steps, sign)
            if best and (self._reaches(best) or _spent(steps, best, limit)):
                break
            change: Words | None = None
            why, present = "the settings that were asked for", fitting(self.split.words, self.split.method)
            if best is not None:
                found = _remedy(steps, sign, fixed)
                if found is None:
                    break
                present, change, why = found
            step = self._step({"number": len(steps) + 1, "change": change, "why": why, "words": present})
            steps.append({**step, "kept": _best([*steps, step], sign) is step})
            write_json(note, steps)
        return steps

    def _reaches(self, step: Words) -> bool:
        return bool(self.sign * step["value"] >= self.sign * self.target)

    def _step(self, step: Words) -> Words:
        """Train without the test rows; its value on validation, and what the diagnosis of that found."""
        folder, metric, started = self.study.path / "step", self.metric, time.monotonic()
        remove(folder)
        try:
            run = self.study.run("step", {**self.words, **step["words"]})
            document = run.document
            if metric not in document["test"]:
                found = ", ".join(document["test"])
                raise OptionError(f"--until: {metric} could not be measured on the validation rows.",
                                  f"Name one of those that could: {found}.")  # fmt: skip
        except RunFailed as error:
            if step["number"] == 1:
                raise
            took = round(time.monotonic() - started, 3)
            return {**step, "value": None, "loss": None, "findings": [], "evidence": [error.message], "seconds": took}
        finally:
            remove(folder)
        # its test part are the validation rows, so that they are of course in both
        findings = [f for f in document["findings"] if f["name"] != "leakage"]
        return {
            **step,
            "value": document["test"][metric]["value"],
            "loss": document["test"].get("log_loss", {"value": 0.0})["value"],
            "findings": [finding["name"] for finding in findings],
            "evidence": [finding["evidence"] for finding in findings],
            "seconds": round(time.monotonic() - started, 3),
        }

    def finish(self, steps: Sequence[Words]) -> UntilResult:
        """Train and test the best."""
        metric, target, sign, split = self.metric, self.target, self.sign, self.split
        best = _best(steps, sign)
        assert best is not None  # the first step raises where it fails
        goal_word = f"{metric}{'>' if sign > 0 else '<'}={target:g}"
        run = self.study.run("run", {**split.with_test(), **best["words"], "goal": goal_word})
        document: Words = {
            "metric": metric, "target": target, "reached": self._reaches(best),
            "rows": split.sizes,
            "steps": [{**step, "words": _shown(step["words"], split)} for step in steps],
            "best": best["number"], "run": str(run.path), "test": run.document["test"][metric],
            "advice": [f["action"] for f in run.document["findings"] if f["name"] in ADVICE_ONLY and f["action"]],
        }  # fmt: skip
        document["words"] = _sentences(document, best)
        self.study.publish("until", document)
        return UntilResult(self.study.path, document, run)


def _best(steps: Sequence[Words], sign: int) -> Words | None:
    """The first of those with the best value; where values are equal, with the lowest log loss."""
    return next(iter(_ranked(steps, sign)), None)


def _ranked(steps: Sequence[Words], sign: int) -> list[Words]:
    done = [step for step in steps if step["value"] is not None]
    return sorted(done, key=lambda step: (-sign * step["value"], step["loss"]))


def _with(present: Words, change: Words) -> Words:
    return fitting({**present, **change}, str(change.get("method", present["method"])))


def _spent(steps: Sequence[Words], best: Words, limit: Budget) -> bool:
    """Whether another step, and the kept run's last training, would be beyond the budget."""
    if len(steps) >= (limit.trials or MOST_STEPS):
        return True
    last = steps[-1]["seconds"] + best["seconds"]
    return limit.seconds is not None and sum(step["seconds"] for step in steps) + last > limit.seconds


def _remedy(steps: Sequence[Words], sign: int, fixed: set[str]) -> tuple[Words, Words, str] | None:
    """(words, what is changed in them, why): for the findings of the best step, gravest first, the first change
    that was not tried yet; where none is left, for those of the next best."""
    tried = [step["words"] for step in steps]
    for base in _ranked(steps, sign):
        evidence = dict(zip(base["findings"], base["evidence"], strict=True))
        for name in dict.fromkeys([*base["findings"], "fit_fine"]):
            for remedy in REMEDIES.get(name, ()):
                change = remedy(base["words"])
                if change and not set(change) & fixed and _with(base["words"], change) not in tried:
                    why = evidence.get(name, "but the target is not reached.")
                    return _with(base["words"], change), change, f"{words.finding(name)} (step {base['number']}): {why}"
    return None


def _present(present: Words, name: str) -> Any:
    """The value of an option now: what the words say, else what the method, engine or task has by itself."""
    if present.get(name) is not None:
        return present[name]
    if name in ("learning_rate", "epochs"):
        return default_of(name, present["method"], present["task"], present["model"])
    fields = fields_of(present["method"], present["task"])
    return fields[name].default if name in fields else None


def _shown(found: Words, split: SharedSplit) -> Words:
    return {k: v for k, v in found.items() if k == "method" or split.words.get(k) != v}


def _sentences(document: Words, best: Words) -> list[str]:
    metric = words.metric(document["metric"])
    reached = "reached" if document["reached"] else "not reached"
    found = [
        f"The target {metric} {number(document['target'])} was {reached} on the {document['rows']['validation']:,} "
        f"validation rows: {number(best['value'])} in step {best['number']} of {len(document['steps'])}.",
        f"On the {document['rows']['test']:,} test rows, read once after all decisions, {metric} is "
        f"{number(document['test']['value'])} (95 % interval {number(document['test']['low'])} to "
        f"{number(document['test']['high'])}).",
    ]
    more = higher_is_better(document["metric"])
    missed = document["test"]["high"] < document["target"] if more else document["test"]["low"] > document["target"]
    if document["reached"] and missed:
        found.append("The test rows say that the target is not reached: validation was too kind. Add validation rows.")
    return found + [f"Beside the settings: {advice}" for advice in document["advice"]]
