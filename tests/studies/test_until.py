"""Train, see what is wrong, change that, train again: every step with its reason, none with a test row."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tunesmith.cli.show import show_until
from tunesmith.core.errors import ModelError, OptionError, RunFailed
from tunesmith.evaluate import diagnose, fit
from tunesmith.evaluate.goal import parse_goal
from tunesmith.studies import series, until
from tunesmith.studies.until import ADVICE_ONLY, REMEDIES, _remedy

START = {"method": "full", "task": "text-classification", "model": "auto", "epochs": 4, "learning_rate": 2e-4}


def step(value: float, findings: list[str], number: int = 1, **words: Any) -> dict[str, Any]:
    return {"number": number, "value": value, "loss": 0.5, "findings": findings,
            "evidence": [f"evidence of {name}" for name in findings], "words": {**START, **words}}  # fmt: skip


def texts_in(path: str | Path) -> set[str]:
    with pa.ipc.open_file(str(path)) as file:
        return set(file.read_all().column("text").to_pylist())


@pytest.mark.parametrize(
    ("text", "expected"),
    [("accuracy>=0.95", ("accuracy", 0.95)), ("rmse <= 4e-1", ("rmse", 0.4)), ("mcc=.5", ("mcc", 0.5))],
)
def test_targets(text: str, expected: tuple[str, float]) -> None:
    goal = parse_goal(text, "--until")
    assert (goal.metric, goal.value) == expected


@pytest.mark.parametrize(
    ("text", "said"), [("accuracy", "Example"), ("accurracy>=0.9", "accuracy"), ("rmse>=0.9", "less is better"),
                       ("accuracy>=e", "Example"), ("f1=2", "f1_macro lies between 0 and 1")],
)  # fmt: skip
def test_bad_targets_say_what_is_expected(text: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        parse_goal(text, "--until")


@pytest.mark.parametrize(
    ("finding", "change"),
    [
        ("under_fitted", {"epochs": 8}),
        ("over_fitted", {"dropout": 0.1}),
        ("labels_never_predicted", {"class_weights": "auto"}),
        ("training_did_not_help", {"learning_rate": 1e-4}),
        ("no_better_than_constant", {"frozen_share": 0.0}),
        ("learning_rate_too_high", {"learning_rate": 6.67e-5}),
        ("learning_rate_too_low", {"learning_rate": 1e-3}),
        ("training_too_short", {"epochs": 8}),
        ("training_too_long", {"epochs": 2}),
        ("class_collapse", {"class_weights": "auto"}),
    ],
)
def test_each_finding_has_its_remedy(finding: str, change: dict[str, Any]) -> None:
    found = _remedy([step(0.5, [finding])], 1, set())
    assert found is not None
    assert found[1] == change
    assert f"evidence of {finding}" in found[2]
    assert found[0] == {**START, **change}


def test_what_was_tried_or_is_fixed_is_not_tried() -> None:
    first = step(0.6, ["over_fitted"])
    second = step(0.5, ["under_fitted"], 2, dropout=0.1)
    found = _remedy([first, second], 1, set())
    assert found is not None
    assert found[1] == {"epochs": 2}  # from the better step, its next remedy
    found = _remedy([first, second], 1, {"epochs", "weight_decay"})
    assert found is not None
    assert found[1] == {"frozen_share": 0.5}
    assert _remedy([first], 1, {"dropout", "epochs", "weight_decay", "frozen_share", "learning_rate", "model"}) is None
    # of the head there is nothing to be trained longer
    head = _remedy([step(0.5, ["under_fitted"], method="head", epochs=0)], 1, {"method"})
    assert head is None or "epochs" not in head[1]


def test_every_finding_is_known_here() -> None:
    """A finding that `diagnose` can make has a remedy, or is told as advice."""
    source = Path(diagnose.__file__).read_text() + Path(fit.__file__).read_text()
    made = set(re.findall(r'\bfinding\("(\w+)"|"name": "(\w+)"', source))
    assert {name for names in made for name in names if name} == {*REMEDIES, *ADVICE_ONLY}


@pytest.fixture
def words(tiny_model: Path) -> dict[str, Any]:
    # a head from noise and one epoch: nothing has been learnt after the first step
    return {
        "model": str(tiny_model),
        "precision": "fp32",
        "method": "full",
        "head_init": "random",
        "validation_size": 0.2,
    }


@pytest.mark.story
def test_it_goes_on_until_the_target_and_reads_the_test_rows_once(
    tmp_path: Path, ticket_file: Path, words: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[dict[str, Any]] = []
    train = series.train

    def watched(**given: Any) -> Any:
        texts = set().union(*(texts_in(given[name]) for name in ("data", "validation", "test")))
        runs.append({"out": Path(given["out"]).name, "texts": texts})
        return train(**given)

    monkeypatch.setattr(series, "train", watched)
    found = until.until(ticket_file, metric="accuracy>=0.9", out=tmp_path / "u", budget="6 steps", **words)
    test_rows = texts_in(tmp_path / "u" / "data" / "test.arrow")
    assert [run["out"] for run in runs] == ["step"] * len(found.steps) + ["run"]
    assert all(run["texts"].isdisjoint(test_rows) for run in runs[:-1])
    assert test_rows <= runs[-1]["texts"]
    assert len(found.steps) >= 2
    assert found.steps[0]["change"] is None
    assert all(step["change"] and step["why"] for step in found.steps[1:])
    best = max(found.steps, key=lambda step: (step["value"], -step["loss"]))
    assert found.document["best"] == best["number"]
    assert found.reached == (best["value"] >= 0.9)
    assert not (tmp_path / "u" / "step").exists()
    screen = show_until(found.document)
    assert "accuracy" in screen
    assert str(found.run.path) in screen
    assert "<h2>Steps</h2>" in (tmp_path / "u" / "report.html").read_text()


@pytest.mark.parametrize(("metric", "target", "test"), [("accuracy", 0.9, 0.7), ("rmse", 0.4, 0.6)])
def test_a_target_that_the_test_rows_deny_is_told(metric: str, target: float, test: float) -> None:
    document = {
        "metric": metric, "target": target, "reached": True, "rows": {"validation": 9, "test": 90}, "steps": [{}],
        "advice": [], "test": {"value": test, "low": test - 0.1, "high": test + 0.1},
    }  # fmt: skip
    best = {"value": target, "number": 1}
    assert "validation was too kind" in until._sentences(document, best)[-1]
    document["test"] = {"value": target, "low": target - 0.1, "high": target + 0.1}
    assert "too kind" not in until._sentences(document, best)[-1]


@pytest.mark.story
def test_what_was_done_stays_when_a_later_step_is_refused(
    tmp_path: Path, ticket_file: Path, words: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    once: Callable[..., Any] = series.run_once

    def refuses(path: Path, given: dict[str, Any], launcher: Any) -> Any:
        if (tmp_path / "u" / "steps.json").exists():
            raise ModelError("The model has gone.", "Fetch it again.")
        return once(path, given, launcher)

    monkeypatch.setattr(series, "run_once", refuses)
    request = {"metric": "log_loss<=0", "out": tmp_path / "u", "budget": "2 steps", **words}
    with pytest.raises(ModelError, match="has gone"):
        until.until(ticket_file, **request)
    monkeypatch.setattr(series, "run_once", once)
    first = json.loads((tmp_path / "u" / "steps.json").read_text(encoding="utf-8"))
    assert until.until(ticket_file, **request).document["steps"][0]["value"] == first[0]["value"]


@pytest.mark.story
def test_a_killed_series_goes_on_and_a_failed_step_is_told(
    tmp_path: Path, ticket_file: Path, words: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    once: Callable[..., Any] = series.run_once

    def breaks(path: Path, given: dict[str, Any], launcher: Any) -> Any:
        made.append(path)
        if len(made) == 2:
            raise RunFailed("diverged")
        if len(made) == 3:
            raise KeyboardInterrupt
        return once(path, given, launcher)

    monkeypatch.setattr(series, "run_once", breaks)
    request = {"metric": "log_loss<=0", "out": tmp_path / "u", "budget": "3 steps", **words}
    with pytest.raises(KeyboardInterrupt):
        until.until(ticket_file, **request)
    monkeypatch.setattr(series, "run_once", lambda path, *given: (made.append(path), once(path, *given))[1])
    found = until.until(ticket_file, **request)
    assert [path.name for path in made] == ["step", "step", "step", "step", "run"]
    assert [step["value"] is None for step in found.steps] == [False, True, False]
    assert found.steps[1]["evidence"] == ["diverged"]
    assert not found.reached
    assert "failed" in show_until(found.document)
