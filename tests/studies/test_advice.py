"""What a comparison or a search ends with: what is proven, in plain words, and a step that can be taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunesmith.core.spec import RunSpec
from tunesmith.evaluate.measured import paired_difference
from tunesmith.evaluate.types import Outcome
from tunesmith.studies import advice
from tunesmith.studies.comparison import TITLES

ROWS = {"train": 280, "validation": 40, "test": 80}
SPEC = RunSpec.make({"data": "my rows.csv", "target": "kind"})


def outcome(right: int, rows: int = 400) -> Outcome:
    scores = np.tile([0.9, 0.1], (rows, 1))
    scores[right:] = [0.1, 0.9]
    return Outcome("label", np.zeros(rows, dtype=np.int64), scores, ["a", "b"])


def found(pick: str, **rights: int) -> tuple[str, str, str | None]:
    """(what is proven, the next step and its command) where so many of 400 test rows are right."""
    contenders = [
        {"name": name, "rung": name, "title": TITLES[name], "run": f"out/rungs/{name}/run" if name in SAVED else None}
        for name in rights
    ]
    answers = {name: outcome(right) for name, right in rights.items()}

    def ahead(one: Any, other: Any) -> Any:
        return paired_difference(answers[one["name"]], answers[other["name"]], "accuracy", seed=0)

    chosen = next(contender for contender in contenders if contender["name"] == pick)
    step = advice.after_comparison(SPEC, contenders, chosen, ahead, ROWS)
    return advice.proof(contenders, chosen, ahead), step["words"], step["command"]


CONSTANT, COUNTED, HEAD = (TITLES[name] for name in ("majority", "tfidf", "head"))
SAVED = ("head", "lora", "full", "scratch")


def test_it_says_that_none_is_proven_better_than_something_simple() -> None:
    said, step, command = found("tfidf", majority=200, tfidf=300, head=299, full=301)
    assert said.startswith(f"None is proven better than {COUNTED} and {HEAD}.")
    assert f"C{COUNTED[1:]} is proven better than {CONSTANT}." in said
    assert "A few lines of Python" in step
    assert f"{HEAD}" in step
    assert command == "tunesmith predict out/rungs/head/run 'a text of yours'"


def test_it_says_what_the_way_to_take_is_proven_better_than() -> None:
    said, step, command = found("full", majority=200, tfidf=300, head=310, full=390)
    assert said == f"Full is proven better than {CONSTANT}, {COUNTED} and {HEAD}."
    assert "trained already" in step
    assert command == "tunesmith predict out/rungs/full/run 'a text of yours'"


def test_what_only_another_way_is_proven_better_than_is_said_with_its_interval() -> None:
    said, _, _ = found("head", majority=200, tfidf=377, head=379, full=381)
    assert f"None is proven better than {HEAD}." in said
    assert f"A{HEAD[1:]} is proven better than {CONSTANT}." in said
    assert f"A{HEAD[1:]} is not proven better than {COUNTED} (+0.005, 95 % interval" in said


def test_a_constant_that_nothing_beats_asks_for_more_test_rows_or_another_look_at_the_data(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said, step, command = found("majority", majority=200, tfidf=201, head=200)
    assert said == (
        f"None is proven better than {CONSTANT}, {COUNTED} and {HEAD}."
    )  # fmt: skip
    assert "80 test rows decide little" in step
    assert command == "tunesmith train 'my rows.csv' --target kind --cv 5"
    monkeypatch.setitem(ROWS, "train", 9_000)
    assert found("majority", majority=200, tfidf=201)[2] == "tunesmith check 'my rows.csv' --target kind"


def test_data_in_memory_have_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "SPEC", RunSpec.make({"data": "(in memory)"}))
    assert found("majority", majority=200, tfidf=201)[2] is None
    assert found("tfidf", majority=200, tfidf=300)[2] is None


@pytest.mark.parametrize(
    ("good", "worth", "worse", "command"),
    [
        ("good", "good", (), "predict out/run"),
        ("good", "fair", (), "predict out/run"),
        ("fair", "poor", ("linear_probe",), "--effort quick"),
        ("fair", "poor", ("tfidf_logistic_regression",), "tunesmith compare"),
        ("poor", "fair", (), "tunesmith compare"),
    ],
)
def test_a_search_ends_with_what_to_do(good: str, worth: str, worse: tuple[str, ...], command: str) -> None:
    contenders = [{"name": name, "outcome": "worse"} for name in worse]
    verdict = {"good": {"level": good}, "worth": {"level": worth, "contenders": contenders}}
    step = advice.after_search(SPEC, verdict, Path("out/run"))
    assert command in (step["command"] or "")
    assert advice.told(step).startswith("Next: ")
