"""effort=best: several methods on the training rows, the best of them on validation rows, within a time."""

from __future__ import annotations

from tunesmith.core.errors import OptionError, RunFailed
from tunesmith.core.events import Decided, Emit
from tunesmith.core.files import read_json, write_json, write_text
from tunesmith.core.run import RunFolder
from tunesmith.core.spec import RunSpec, Words
from tunesmith.evaluate import words
from tunesmith.runs import choose
from tunesmith.runs.family import family_named, family_of
from tunesmith.runs.shared_split import SharedSplit
from tunesmith.studies.series import Watch, fitting, launcher_of, make_split, try_out

SECONDS = 3_600
"""Nothing more is tried where it, and the training of what is kept, would end after so long."""
_COMPARED_ROWS = 5_000
"""Training rows above which comparing rows with each other is not tried: plain training is as good, in less time."""


def settle(folder: RunFolder, spec: RunSpec, emit: Emit) -> RunSpec:
    """The spec with the method, and its options, that did best on validation rows; other specs as they are.

    The test rows are not looked at. What was tried stands in tries.json, so that a killed run does not try it again.
    """
    if spec.effort != "best" or spec.method != "auto":
        return spec
    family = family_named(family_of(spec))
    if not family.tries_methods:
        return spec
    given = {
        name: value for name, value in spec.words().items() if value is not None and name not in ("effort", "data")
    }
    split = make_split(spec.data, folder.path / "tries", given)
    note = folder.path / "tries.json"
    tries: list[Words] = read_json(note) if note.exists() else []
    for number, change in enumerate(_candidates(spec, split, family.epochs("full", split.sizes["train"]))):
        if number < len(tries):
            continue
        if tries and sum(one["seconds"] for one in tries) + 2 * max(one["seconds"] for one in tries) > SECONDS:
            emit(Decided("tries", len(tries), f"another one would not end within {choose.minutes(SECONDS)}"))
            break
        tries.append(_tried(folder, split, change))
        write_json(note, tries)
    sign = 1 if split.higher_is_better else -1
    done = [one for one in tries if one["value"] is not None]
    if not done:
        raise RunFailed("None of the methods that effort=best tries could be trained.", "Name one with --method.")
    best = min(done, key=lambda one: (-sign * one["value"], one["loss"]))
    told = ", ".join(f"{_named(one['words'])} {words.number(one['value'])}" for one in done)
    rows = f"{split.sizes['validation']:,} validation rows"
    why = f"the best {words.metric(split.metric)} of {len(done)} ways on {rows}: {told}"
    emit(Decided("method", _named(best["words"]), why))
    method = best["words"]["method"]
    options = {name: value for name, value in best["words"].items() if name != "method"}
    settled = spec.model_copy(update={"method": method, "options": {**spec.options, **options}})
    write_text(folder.spec, settled.dump())
    return settled


def _candidates(spec: RunSpec, split: SharedSplit, usual: int) -> list[Words]:
    """What is tried, the quickest first. `usual`: epochs of `full`."""
    if split.method == "scratch":  # of random weights nothing can be kept
        epochs = choose.rate_and_epochs("scratch", split.words["task"], split.sizes["train"])[1]
        more: list[Words] = [{"method": "scratch", "epochs": 2 * epochs}]
        return [{"method": "scratch"}, *(more if spec.options.get("epochs") is None else [])]
    compared = split.kind == "label" and split.sizes["train"] <= _COMPARED_ROWS
    found: list[Words] = [{"method": "full"}, {"method": "lora"}]
    if spec.options.get("epochs") is None:
        found.append({"method": "full", "epochs": 2 * usual})
    if compared and len(split.words.get("text") or []) < 2:
        found.append({"method": "contrastive"})
    known = choose.methods_of(split.family, split.words["task"])
    return [one for one in found if one["method"] in known]


def _tried(folder: RunFolder, split: SharedSplit, change: Words) -> Words:
    shared = fitting({**split.without_test(), **change}, change["method"])
    try:
        trial = try_out(shared, folder.path / "tries" / "run", Watch(split.metric), launcher_of("here"))
    except (RunFailed, OptionError):  # a network may have no layers that lora could add to
        return {"words": change, "value": None, "loss": None, "seconds": 0.0}
    return {"words": change, "value": trial.value, "loss": trial.loss, "seconds": trial.seconds}


def _named(change: Words) -> str:
    return change["method"] + (f" with {change['epochs']} epochs" if "epochs" in change else "")
