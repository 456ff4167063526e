"""The conformance suite: what a line in a TABLE, or an entry point of another package, promises.

    from tunesmith.testing import conformance
    test_mine = conformance(methods=["mine"])          # pytest: one test for each task, toy and method

A task brings a few rows and a tiny base (`toys`); the rows are training, validation and test data at once, as all that
is asked is whether they can be learned. What they are made of, and which network reads them, is the task's own matter.
It needs pytest, no network and no data.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tunesmith.core import events, registry
from tunesmith.core.errors import OptionError, UsageError
from tunesmith.core.events import ignore
from tunesmith.core.files import write_bytes, write_text
from tunesmith.core.options import describe
from tunesmith.core.spec import RunSpec
from tunesmith.engine.protocols import Toy
from tunesmith.evaluate.measured import compute
from tunesmith.evaluate.metrics import higher_is_better
from tunesmith.models.tiny import encoder as tiny_encoder
from tunesmith.runs.choose import family_of_task, methods_of
from tunesmith.runs.reading import other_data
from tunesmith.runs.run_options import option_models
from tunesmith.runs.train import Run

__all__ = [
    "Case", "cases", "check", "check_callback", "check_help", "check_options", "check_plugin", "check_refused",
    "check_resume", "check_verbs", "conformance", "tiny_encoder",
]  # fmt: skip

Case = tuple[str, int, str]
BATCH, EPOCHS = 5, 12
LONGEST_SUMMARY = 120
_LEFT, _BENT = 0.9, 0.999
"""Most of the loss before that may be left: where most weights move, and where few can only bend what random weights
make of a row."""
_DIES_AT = 3
_PICKLED = {".bin", ".pt", ".pth", ".pkl", ".ckpt"}


def conformance(
    tasks: Sequence[str] | None = None, methods: Sequence[str] | None = None, callbacks: Sequence[str] = (), *,
    refused: Collection[tuple[str, str]] = (), also: Callable[[Run, Toy], None] | None = None,
    base: Callable[[Path], object] | None = None, marks: Callable[[Case], Collection[Any]] = lambda case: (),
    **words: Any,
) -> Callable[..., None]:  # fmt: skip
    """A test for pytest. `tasks`, `methods`: all that fit each other when not given; `callbacks`: none.

    `refused`: tasks and methods that must be refused in words, as the base of the toy has nothing that the method could
    move; `also`: what else holds for every finished run; `base`: writes a tiny model into an empty folder, in place of
    the toy's own; `marks`: of pytest, for a case; `words`: of `tunesmith.train`.
    """
    import pytest

    def of_case(case: Case) -> Callable[[Path], object]:
        if (case[0], case[2]) in refused:
            return partial(check_refused, *case, base=base)
        return partial(_checked, case, base=base, also=also, words=words)

    fitting = {"-".join(map(str, case)): case for case in cases(tasks, methods)}
    found = {name: of_case(case) for name, case in fitting.items()}
    marked = {name: marks(case) for name, case in fitting.items()}
    found |= {name: partial(check_callback, name) for name in callbacks}

    @pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # peft asks by an old name
    @pytest.mark.parametrize("case", [pytest.param(name, marks=marked.get(name, ())) for name in found])
    def test(case: str, tmp_path: Path) -> None:
        found[case](tmp_path)

    return test


def cases(tasks: Sequence[str] | None = None, methods: Sequence[str] | None = None) -> Iterator[Case]:
    """(task, number of its toy, method) for all that fit each other."""
    for task in registry.names("tasks") if tasks is None else tasks:
        for toy in range(len(registry.get("tasks", task).toys())):
            for method in methods_of(family_of_task(task), task):
                if methods is None or method in methods:
                    yield task, toy, method


def check(
    task: str, number: int, method: str, folder: Path, base: Callable[[Path], object] | None = None, **words: object
) -> Run:
    """Train on a toy, load what was saved and ask it. Raises AssertionError for what a plugin must keep to."""
    check_plugin("tasks", task)
    check_plugin("methods", method)
    _no_option_twice(task=task, method=method)
    toy = registry.get("tasks", task).toys()[number]
    with contextlib.chdir(folder):
        run = _train(task, toy, method, folder, base, **words)
        assert run.folder.status() == "finished"
        _has_learned(run, toy, registry.get("methods", method))
        _answers_as_it_did(run, toy)
        kinds = {path.suffix for path in (run.path / "model").rglob("*") if path.is_file()}
        assert ".safetensors" in kinds, "no weights were saved"
        assert not kinds & _PICKLED, "weights are saved in a format that runs code"
        _refuses_what_nobody_has(task, method)
    return run


def check_default(task: str, number: int, folder: Path) -> Run:
    """A short run with a method that is chosen, as most people ask for it: what is handed over may be what was trained,
    or something simpler. Raises AssertionError for what a plugin must keep to."""
    with contextlib.chdir(folder):
        toy = registry.get("tasks", task).toys()[number]
        run = _train(task, toy, "auto", folder, None, epochs=2)
        assert run.folder.status() == "finished"
        _answers_as_it_did(run, toy)
    return run


class _Killed(BaseException):
    """Ends a run as a kill does, as far as that is possible in one process."""


def check_resume(task: str, number: int, folder: Path, method: str = "full", **words: object) -> None:
    """Raises AssertionError where a run that dies within an epoch, and is gone on with, ends with other weights than
    one that does not."""
    import tunesmith

    def die(event: events.Event) -> None:
        if isinstance(event, events.Step) and event.step == _DIES_AT:
            raise _Killed

    toy = registry.get("tasks", task).toys()[number]
    usual: dict[str, Any] = {"epochs": 3, "save_steps": 2, **words}
    whole, killed = folder / "whole", folder / "killed"
    for place, listeners in ((whole, []), (killed, [die])):
        place.mkdir()
        with contextlib.chdir(place), contextlib.suppress(_Killed):
            _train(task, toy, method, place, None, listeners=listeners, **usual)
    assert not (killed / "run" / "result.json").exists(), "it did not die"
    with contextlib.chdir(killed):
        tunesmith.resume(killed / "run")
    for path in sorted((whole / "run" / "model").rglob("*.safetensors")):
        again = killed / "run" / path.relative_to(whole / "run")
        assert path.read_bytes() == again.read_bytes(), f"{path.name} is another one after a kill and a resume"


def check_verbs(task: str, number: int, folder: Path) -> None:
    """`check`, `plan`, `compare` and `search` on a toy. Raises AssertionError for what a plugin must keep to."""
    import tunesmith

    toy = registry.get("tasks", task).toys()[number]
    with contextlib.chdir(folder):
        rows = _rows(toy, folder)
        toy.base(folder / "base")
        method = methods_of(family_of_task(task), task)[0]
        words: dict[str, Any] = {"test": rows, "batch_size": BATCH, "task": task, **toy.words}
        one: dict[str, Any] = {**words, "model": str(folder / "base"), "validation": rows, "method": method}
        made, found = tunesmith.plan(rows, **one), tunesmith.check(rows, **one)
        assert made.fits
        assert made.seconds is not None, "a plan without a time"
        assert found["estimate"], "a check that does not say what a run will cost"
        words |= {"epochs": 1, "validation_size": 0.3}
        ladder = tunesmith.compare(
            rows, out="compared", launcher="here", models=[str(folder / "base")], methods=[method], **words
        )
        assert method in [one["rung"] for one in ladder["rungs"]]
        assert ladder["recommendation"]
        again = tunesmith.search(
            rows, out="searched", budget="1 trial", models=[str(folder / "base")], methods=[method], **words
        )
        assert again.run.folder.status() == "finished"


def check_refused(
    task: str, number: int, method: str, folder: Path, base: Callable[[Path], object] | None = None
) -> None:
    """Raises AssertionError where a run is not refused, in words and before its first step."""
    with contextlib.chdir(folder):
        try:
            _train(task, registry.get("tasks", task).toys()[number], method, folder, base)
        except UsageError:
            assert not _events(folder / "run", "step"), "it was refused only after it began to learn"
            return
    raise AssertionError(f"{method} was to be refused for {task}, and was not")


def check_callback(name: str, folder: Path) -> Run:
    """A run with the callback, asked for twice. Raises AssertionError for what a plugin must keep to."""
    check_plugin("callbacks", name)
    task, number, method = next(cases(methods=["full"]))
    _no_option_twice(task=task, method=method, callbacks=[name])
    with contextlib.chdir(folder):
        toy = registry.get("tasks", task).toys()[number]
        run = _train(task, toy, method, folder, None, epochs=2, callbacks=[name, name])
    assert run.folder.status() == "finished"
    assert run.folder.load_spec().callbacks == [name]
    return run


def check_plugin(seam: str, name: str) -> None:
    """What is said of it, and its options. Raises AssertionError for what a plugin must keep to."""
    plugin = registry.get(seam, name)
    assert plugin.summary, f"{name} does not say what it is"
    assert "\n" not in plugin.summary, f"the summary of {name} has several lines"
    assert len(plugin.summary) <= LONGEST_SUMMARY, f"the summary of {name} has more than {LONGEST_SUMMARY} letters"
    check_options(plugin.Options, name)


def check_help(model: Any, name: str) -> None:
    """Raises AssertionError where an option has no help."""
    missing = [str(row["name"]) for row in describe(model) if not row["help"]]
    assert not missing, f"options of {name} without a docstring: {', '.join(missing)}"


def check_options(model: Any, name: str) -> None:
    """Raises AssertionError where an option has no help, or is another one once it was written and read: a run could
    not be resumed, as its checkpoints are for one spec."""
    check_help(model, name)
    before = model().model_dump()
    again = model(**yaml.safe_load(yaml.safe_dump(before))).model_dump()
    assert json.dumps(again, default=str) == json.dumps(before, default=str), f"options of {name} change in YAML"


def _no_option_twice(**words: object) -> None:
    names = [n for model in option_models(RunSpec.make({"data": "x", **words})).values() for n in model.model_fields]
    twice = {n for n in names if names.count(n) > 1} | (set(names) & set(RunSpec.model_fields))
    assert not twice, f"two parts of a run have the option {', '.join(sorted(twice))}"


def _checked(case: Case, folder: Path, *, base: Any, also: Any, words: dict[str, Any]) -> None:
    task, number, method = case
    run = check(task, number, method, folder, base, **words)
    if also is not None:
        also(run, registry.get("tasks", task).toys()[number])


def _train(task: str, toy: Toy, method: str, folder: Path, base: Any, **words: object) -> Run:
    import tunesmith

    rows = _rows(toy, folder)
    (base or toy.base)(folder / "base")
    times = 1.0 if method == "auto" else registry.get("methods", method).toy_rate
    usual = {
        "task": task, "method": method, "model": str(folder / "base"), "precision": "fp32",
        "batch_size": BATCH if times == 1 else len(toy.rows), "epochs": EPOCHS, "learning_rate": times * toy.rate,
        "patience": EPOCHS, "weight_decay": 0.0, "verbose": False,
    }  # fmt: skip
    return tunesmith.train(rows, validation=rows, test=rows, out=folder / "run", **{**usual, **toy.words, **words})


def _rows(toy: Toy, folder: Path) -> str:
    for name, content in toy.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / name, content)
    path = folder / "rows.jsonl"
    write_text(path, "".join(json.dumps(row) + "\n" for row in toy.rows))
    return str(path)


def _has_learned(run: Run, toy: Toy, method: Any) -> None:
    """By the loss of the evaluations, one before the first step, and by the first metric in the end."""
    document, losses = run.document, [record["metrics"]["loss"] for record in _events(run.path, "evaluated")]
    epochs = run.folder.load_spec().options["epochs"]
    assert len(losses) == 1 + epochs, f"{len(losses)} evaluations in {epochs} epochs"
    batch = run.folder.load_spec().options["batch_size"]
    steps, expected = len(_events(run.path, "step")), epochs * math.ceil(len(toy.rows) / batch)
    assert steps == expected, f"{steps} steps, expected {expected}"
    moved = document["cost"]["trainable_parameters"] / sum(one.numel() for one in run.model.bundle.model.parameters())
    left = min(losses) / losses[0]
    most = 1.0 if method.frozen_body else _LEFT if moved > 0.5 else _BENT
    assert left <= most, f"of the loss before {left:.3f} is left, where {most} is expected at most"
    first = document["first_metric"]
    reached, better = run.metrics[first], higher_is_better(first)
    before = document["baselines"].get("base", {}).get(first, {}).get("value")
    goal = toy.reaches if toy.reaches is not None else before
    assert goal is not None, f"nothing to compare {first} with: a toy says what it `reaches`"
    assert reached >= goal if better else reached <= goal, f"{first} is {reached:g}, expected {goal:g}"


def _answers_as_it_did(run: Run, toy: Toy) -> None:
    """What was saved answers each row as the model of the run does, and is measured as the run was."""
    import tunesmith

    again, model = tunesmith.load(run.path), run.model
    options = model.Options.model_fields
    briefly: dict[str, Any] = {"max_new_tokens": 4} if "max_new_tokens" in options else {}
    answers = again.predict(toy.rows, **briefly)
    assert answers == model.predict(toy.rows, **briefly), "the saved model answers otherwise"
    assert len(answers) == len(toy.rows)
    first = run.document["first_metric"]
    if not registry.get("tasks", run.document["task"]).needs_reference:
        found = compute(again.measure(other_data(run.path, "rows.jsonl", {}), ignore), [first])[first]
        assert math.isclose(found, run.metrics[first], rel_tol=1e-3, abs_tol=1e-3), (
            f"{first} of the saved model is {found:g}, and was {run.metrics[first]:g} in the run"
        )


def _events(run: Path, name: str) -> list[dict[str, Any]]:
    path = run / "events.jsonl"
    return [record for record in events.read(path) if record["event"] == name] if path.exists() else []


def _refuses_what_nobody_has(task: str, method: str) -> None:
    import tunesmith

    words: dict[str, Any] = {"task": task, "method": method, "no_such_option": 1}
    try:
        tunesmith.train("rows.jsonl", out="refused", **words)
    except OptionError:
        return
    raise AssertionError("an option that nobody has was taken")
