"""The next step is one that can be taken with the data at hand, as it is printed."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from tunesmith.core.spec import RunSpec
from tunesmith.runs import next_step

ROWS = {"train": 490, "validation": 70, "test": 140}


def step(
    good: str = "good", worth: str = "good", found: tuple[str, ...] = (), contenders: Any = (), rows: Any = ROWS,
    more: Any = (), severity: str = "warning", **words: Any,
) -> str:  # fmt: skip
    spec = RunSpec.make({"data": "my tickets.csv", "method": "full", "target": ["intent"], **words})
    document = {
        "method": "full",
        "findings": [{"name": name, "severity": severity} for name in found],
        "verdict": {"good": {"level": good}, "worth": {"level": worth, "contenders": list(contenders)}},
    }
    told = next_step.for_rows(spec, document, Path("runs/one"), rows, more)
    assert told["words"]
    return told["command"] or ""


def test_a_base_without_a_template_is_named_with_the_one_it_was_given() -> None:
    spec = RunSpec.make({"data": "talks.jsonl", "task": "chat", "method": "lora", "template": "chatml", "epochs": 1})
    verdict = {"good": {"level": "poor"}, "worth": {"level": "fair", "contenders": []}}
    told = next_step.for_texts(spec, {"verdict": verdict, "baselines": {}, "findings": []}, Path("runs/one"), ())
    assert told["command"] == "tunesmith train talks.jsonl --task chat --template chatml --method lora --epochs 2"


def test_commands_are_typed_as_they_stand() -> None:
    words = shlex.split(step(worth="fair", delimiter=";", missing=[-999]))
    assert words[:5] == ["tunesmith", "train", "my tickets.csv", "--target", "intent"]
    assert words[5:] == ["--set", "delimiter=;", "--set", "missing=[-999]", "--cv", "5"]


@pytest.mark.parametrize(
    ("given", "ends"),
    [
        ({}, "tunesmith predict runs/one 'a text of yours'"),
        ({"worth": "fair"}, "--cv 5"),
        ({"worth": "fair", "rows": {"train": 9_000, "validation": 900, "test": 900}}, "'a text of yours'"),
        ({"worth": "fair", "test": "test.csv"}, "'a text of yours'"),
        ({"good": "fair", "found": ("small_test_set",)}, "--cv 5"),
        ({"good": "fair"}, "--effort best"),
        ({"good": "fair", "effort": "quick", "method": "head"}, "--effort better"),
        ({"good": "fair", "found": ("under_fitted",), "epochs": 3}, "--method full --epochs 6"),
        ({"good": "fair", "found": ("imbalance",), "class_weights": None}, "--set class_weights=auto"),
        ({"good": "poor", "found": ("no_better_than_constant",), "severity": "problem"},
         "tunesmith check 'my tickets.csv' --target intent"),
        ({"good": "poor", "found": ("no_better_than_constant",)}, "--cv 5"),  # too few rows to tell
        ({"worth": "poor", "contenders": [{"name": "linear_probe", "outcome": "worse"}]}, "--effort quick"),
        ({"worth": "poor", "contenders": [{"name": "tfidf_ridge", "outcome": "worse"}]}, "--target intent"),
        ({"good": "fair", "more": [("More.", ["--max-length", "512"])]}, "--target intent --max-length 512"),
        ({"worth": "poor", "more": [("More.", ["--model", "modernbert"])], "model": "bge-small"}, "--model modernbert"),
        ({"more": [("More.", ["--max-length", "512"])]}, "'a text of yours'"),
        ({"found": ("label_noise",)}, ""),
    ],
)  # fmt: skip
def test_it_follows_what_was_found(given: dict[str, Any], ends: str) -> None:
    assert step(**given).endswith(ends)


@pytest.mark.parametrize("task", ["auto", "chat", "text-classification"])
def test_a_model_is_asked_in_the_words_of_its_inputs(task: str) -> None:
    spec = RunSpec.make({"data": "rows.jsonl", "task": task})
    assert next_step.use(Path("runs/one"), spec) == "tunesmith predict runs/one 'a text of yours'"
