"""Every task that writes text with every method that can: what a line in a TABLE promises.

A new plugin is under these tests with its TABLE line alone. The ten rows that a task brings are training,
validation and test data at once, as all that is asked is whether they can be learned.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

import tunesmith
from language_models import folder
from tunesmith.core import events, registry
from tunesmith.runs.choose import families_of, family_of_task

BASES = {"causal": "gpt2", "seq2seq": "t5"}
"""Of a causal family whose layers have biases, so that every method finds something to move."""
NO_BIASES = {("seq2seq", "bitfit")}
"""T5 has none."""
CASES = [
    (task, number, method)
    for task in registry.names("tasks")
    if family_of_task(task) == "generative"
    for number in range(len(registry.get("tasks", task).toys()))
    for method in registry.names("methods")
    if "generative" in families_of(method) and (task, method) not in NO_BIASES
]
RATES = {"prefix": 0.3, "prompt": 3.0, "ia3": 5e-2, "bitfit": 5e-2}


@pytest.fixture(scope="module")
def toy_run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`toy_run(task, number, method)`: a finished run on the rows of that toy; trained once."""

    @cache
    def train(task: str, number: int, method: str) -> tunesmith.Run:
        plugin = registry.get("tasks", task)
        toy = plugin.toys()[number]
        place = tmp_path_factory.mktemp(f"{task}-{number}-{method}")
        rows = place / "rows.jsonl"
        rows.write_text("".join(json.dumps(row) + "\n" for row in toy.rows), encoding="utf-8")
        words = {
            "task": task, "method": method, "model": str(folder(BASES[plugin.network])), "precision": "fp32",
            "batch_size": 5, "epochs": 16, "learning_rate": RATES.get(method, 1e-2), "patience": 99,
            "generate_rows": 0, "few_shot": 0, **toy.words,
        }  # fmt: skip
        return tunesmith.train(str(rows), validation=str(rows), test=str(rows), out=place / "run", **words)

    return train


def _learns_its_ten_rows(run: tunesmith.Run, method: str) -> None:
    first = run.document["first_metric"]
    before = run.document["baselines"]["base"][first]["value"]
    if first == "loss":
        # of a network of random weights additions can only bend what is there
        least = 0.7 * before if method in ("full", "scratch") else before
        assert run.metrics[first] < least
    else:
        assert run.metrics[first] >= 0.6
    steps = [event for event in events.read(run.folder.events) if event["event"] == "step"]
    assert len(steps) == 32
    assert run.folder.status() == "finished"


def _answers_the_same_after_loading(run: tunesmith.Run) -> None:
    first, second = (tunesmith.load(run.path).predict(["say ab:", "say zz:"], max_new_tokens=4) for _ in range(2))
    assert first == second
    assert all(isinstance(one["text"], str) for one in first)


def _weights_lie_in_safetensors_alone(run: tunesmith.Run) -> None:
    kinds = {path.suffix for path in (run.path / "model").rglob("*") if path.is_file()}
    assert ".safetensors" in kinds
    assert not kinds & {".bin", ".pt", ".pkl"}


@pytest.mark.story
@pytest.mark.parametrize(("task", "number", "method"), CASES)
def test_it_learns_answers_and_is_saved(toy_run: Any, task: str, number: int, method: str) -> None:
    """One test a case: tests are spread over processes, and each would train the case anew."""
    run = toy_run(task, number, method)
    _learns_its_ten_rows(run, method)
    _answers_the_same_after_loading(run)
    _weights_lie_in_safetensors_alone(run)


def test_the_cases_cover_every_task_and_method() -> None:
    tasks, _, methods = zip(*CASES, strict=True)
    assert set(tasks) == {"chat", "preference", "seq2seq"}
    assert {"full", "lora", "qlora", "prefix", "prompt", "ia3", "bitfit", "scratch"} <= set(methods)
