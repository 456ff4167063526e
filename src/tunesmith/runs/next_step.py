"""The next step after a run: one that can be taken with the data at hand, as a command that can be typed."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from tunesmith.core.run import RunFolder, is_run
from tunesmith.core.spec import RunSpec, Words
from tunesmith.data.types import ReadOptions, SplitOptions, ValueOptions
from tunesmith.evaluate.verdict import NextStep
from tunesmith.models import catalog
from tunesmith.runs import choose

FEW_TEST_ROWS = 300
"""With fewer, cross-validation, in which every row is a test row once, tells clearly more."""
MANY_ROWS = 3_000
"""With more rows than this in all, five trainings are not suggested."""
_ASKED = ("target", "text", "model", "seed", "validation", "test")


def for_rows(
    spec: RunSpec, document: Words, run: Path, rows: Mapping[str, int],
    more: Sequence[tuple[str, Sequence[str]]] = (),
) -> NextStep:  # fmt: skip
    """`document`: metrics.json so far. `rows`: of each split. `more`: ways to read more of the texts, each a sentence
    and the words of a command, where much is not read."""
    verdict = document["verdict"]
    found = {one["name"]: one for one in document["findings"]}
    good, worth = verdict["good"]["level"], verdict["worth"]
    total = sum(rows.values())
    few = rows["test"] < FEW_TEST_ROWS and total <= MANY_ROWS and spec.test is None
    if "no_better_than_constant" in found and few and found["no_better_than_constant"]["severity"] != "problem":
        return _more_tests(spec, rows["test"], total)
    if "no_better_than_constant" in found:
        return look_at_columns(spec)
    if "label_noise" in found:
        told = (
            f"Look through {_shown(run / 'noise.csv')}: these rows seem to have the wrong label. Mend or remove them."
        )
        return made(told)
    if more and (good != "good" or worth["level"] == "poor"):
        return made(f"Much of the texts is not read. {more[0][0]}", command(spec, "train", *more[0][1]))
    if worth["level"] == "poor":
        return _simpler(spec, worth, document["method"])
    if good == "good" and worth["level"] == "good":
        return use_it(run, spec)
    if few and (good == "good" or "small_test_set" in found):
        return _more_tests(spec, rows["test"], total)
    if good == "good":
        return use_it(run, spec)
    return _improve(spec, found)


def _more_tests(spec: RunSpec, test: int, total: int) -> NextStep:
    told = f"{test:,} test rows decide little. Five-fold cross-validation tests on each of the {total:,} rows once."
    return made(told, command(spec, "train", "--cv", "5"))


def _improve(spec: RunSpec, found: Mapping[str, Words]) -> NextStep:
    options = spec.options
    if spec.effort == "quick" or spec.method == "head":
        told = "Let the whole model learn, not only a head on top of it."
        return made(told, command(spec, "train", "--effort", "better"))
    uneven = found.get("imbalance", {}).get("severity") == "warning" or "labels_never_predicted" in found
    if uneven and options.get("class_weights") is None and "class_weights" in options:
        told = "Let rare labels weigh as much as common ones."
        return made(told, command(spec, "train", "--set", "class_weights=auto"))
    if {"under_fitted", "training_too_short"} & set(found) and options.get("epochs"):
        told = "It was still learning when training ended: train for longer."
        return made(told, command(spec, "train", "--method", spec.method, "--epochs", str(2 * options["epochs"])))
    if spec.effort != "best":
        return made("Try several methods and keep the best.", command(spec, "train", "--effort", "best"))
    return made("Search for better settings.", command(spec, "search", "--budget", "30m"))


def _simpler(spec: RunSpec, worth: Words, method: str) -> NextStep:
    worse = {one["name"] for one in worth["contenders"] if one["outcome"] == "worse"}
    if "linear_probe" in worse and method != "head":
        return train_simply(spec)
    told = "Compare simple and larger ways on one split of the data, and use the cheapest that is good enough."
    return made(told, command(spec, "compare"))


def look_at_columns(spec: RunSpec) -> NextStep:
    """Where nothing is better than a constant answer."""
    told = "See how the data is read, and whether the answer can be told from it at all."
    return made(told, command(spec, "check"))


def train_simply(spec: RunSpec) -> NextStep:
    """Where a linear probe is better than what was trained."""
    told = "Train the simple way, which is better here: a linear model on the frozen base."
    return made(told, command(spec, "train", "--effort", "quick"))


def use_it(run: Path, spec: RunSpec) -> NextStep:
    first = _asked(run, spec)[0]
    return made(f"Use it: try a {first}, or a whole file with --data and --out.", use(run, spec))


def use(run: Path, spec: RunSpec) -> str:
    """The command that asks the model of a run for an answer."""
    first, *others = _asked(run, spec)
    return _joined("predict", _shown(run), f"a {first} of yours", *(f"its {other}" for other in others))


def _asked(run: Path, spec: RunSpec) -> list[str]:
    """What the model of a run is asked about, part by part; `spec` may not have said of which task that is."""
    if spec.task == "auto" and is_run(run):
        spec = RunFolder(run).load_spec()
    return choose.asked_of(spec.task, len(spec.text or [""]))


def for_texts(spec: RunSpec, document: Words, run: Path, gates: Sequence[str]) -> NextStep:
    """`gates`: what is wrong with the answers that were written, as in `good_text.GATES`."""
    verdict = document["verdict"]
    epochs = spec.options.get("epochs") or 1
    if gates or verdict["good"]["level"] == "poor":
        told = "Train for longer: the model does not write well yet."
        return made(told, command(spec, "train", "--method", spec.method, "--epochs", str(2 * epochs)))
    if verdict["worth"]["level"] == "poor":
        told = "Compare the base as it is, the base that is shown examples, and what training makes of it."
        return made(told, command(spec, "compare"))
    if spec.task == "chat" and document["baselines"].get("base", {}).get("rougeL"):
        return made("Use it: ask it something.", _joined("chat", _shown(run)))
    return made("Use it.", _joined("predict", _shown(run), "a text of yours"))


def made(told: str, command: str | None = None) -> NextStep:
    return {"words": told, "command": command}


def command(spec: RunSpec, verb: str, *more: str) -> str | None:
    """The verb on the data of this run, with what was given of columns, base, seed and files of its own; None where the
    data are in memory: there is nothing to type."""
    if spec.data == "(in memory)":
        return None
    asked: list[str] = []
    for name in _ASKED:
        value = getattr(spec, name)
        if value in (None, [], "auto", catalog.DEFAULT, 0) or (name == "seed" and verb == "check"):
            continue
        if name == "model" and "--model" in more:
            continue
        if (name == "model" and verb == "search") or (name == "validation" and verb in ("compare", "search")):
            continue
        for one in value if isinstance(value, list) else [value]:
            shown = _shown(Path(one)) if name in ("validation", "test", "model") and Path(one).exists() else str(one)
            asked += [f"--{name}", shown]
    if spec.task not in ("auto", "text-classification"):
        asked += ["--task", spec.task]
    if spec.options.get("template"):  # a base that had none can not be read without it
        asked += ["--template", str(spec.options["template"])]
    for name, value in _read_as(spec).items():
        asked += ["--set", f"{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"]
    data = _shown(Path(spec.data)) if Path(spec.data).exists() else spec.data
    return _joined(verb, data, *asked, *more)


def _read_as(spec: RunSpec) -> Words:
    """Options of how files are read, what cells mean and how rows are divided, where they are not the usual ones."""
    fields = {**ReadOptions.model_fields, **ValueOptions.model_fields, **SplitOptions.model_fields}
    usual = {name: field.get_default(call_default_factory=True) for name, field in fields.items()}
    return {
        name: value for name, value in spec.options.items()
        if name in usual and value is not None and value != usual[name]
    }  # fmt: skip


def _joined(*parts: str) -> str:
    return shlex.join(["tunesmith", *parts])


def _shown(path: Path) -> str:
    """Relative to where we are, if that is shorter and does not climb."""
    relative = os.path.relpath(path)
    return relative if not relative.startswith("..") else str(path)
