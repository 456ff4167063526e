"""How far `auto` goes, and that it never hands over less than the linear head on the frozen base."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

import tunesmith
from crashes import At, Killed, kill, weights
from tunesmith.core.errors import OptionError
from tunesmith.evaluate.types import Outcome
from tunesmith.families.predictive import effort
from tunesmith.families.predictive.effort import Score

Train = Callable[..., tunesmith.Run]
Records = Callable[..., list[dict[str, Any]]]
RUINED: dict[str, Any] = {"method": "full", "effort": "better", "learning_rate": 0.5, "max_grad_norm": 100.0}
"""Steps that leave nothing of what the base knows."""


def noisy(tickets: list[dict[str, str]], share: float = 0.4) -> list[dict[str, str]]:
    """The tickets, long, some with the label of another one."""
    draw = random.Random(0)
    names = [row["label"] for row in tickets]
    return [
        {"text": " ".join([row["text"]] * 6), "label": draw.choice(names) if draw.random() < share else row["label"]}
        for row in tickets
    ]


def kept(run: tunesmith.Run, records: Records) -> dict[str, Any]:
    (found,) = [event for event in records(run, "decided") if event["what"] == "model_kept"]
    return found


@pytest.mark.story
def test_what_training_ruined_is_not_handed_over(train: Train, tickets: list[dict[str, str]], records: Records) -> None:
    run, simple = train(tickets, **RUINED), train(tickets, out="simple", method="head", epochs=0)
    said = kept(run, records)
    assert said["value"] == run.document["method"] == "head"
    assert "no epoch of full was better on" in said["why"]
    assert weights(run) == weights(simple)
    assert run.metrics == simple.metrics
    assert run.document["verdict"]["worth"] == simple.document["verdict"]["worth"]
    assert run.document["verdict"]["worth"]["simplest"]
    assert "What full learned was set aside" in str(run.document["findings"])


@pytest.mark.story
def test_a_killed_run_hands_over_the_same(
    train: Train, tickets: list[dict[str, str]], in_tmp: Path, records: Records
) -> None:
    words = {**RUINED, "save_steps": 1, "batch_size": 8}
    whole = train(tickets, out="whole", **words)
    with pytest.raises(Killed):
        train(tickets, out="killed", listeners=[At(3, kill)], **words)
    again = tunesmith.resume("killed")
    assert weights(again) == weights(whole)
    assert kept(again, records)["why"] == kept(whole, records)["why"]


@pytest.mark.story
def test_a_run_is_had_again_from_its_spec(train: Train, tickets: list[dict[str, str]], in_tmp: Path) -> None:
    first = train(tickets, out="first", method="auto", epochs=1)
    spec = yaml.safe_load(first.folder.spec.read_text(encoding="utf-8"))
    assert (spec["effort"], spec["method"]) == ("better", "contrastive")
    assert weights(tunesmith.train(first.folder.spec, out="second")) == weights(first)


@pytest.mark.story
@pytest.mark.parametrize("share", [0.0, 0.4], ids=["clean", "noisy"])
def test_auto_is_never_below_the_linear_head_on_validation(
    train: Train, tickets: list[dict[str, str]], records: Records, share: float
) -> None:
    rows = noisy(tickets, share)
    run = train(rows, method="auto", epochs=2)
    simple = train(rows, out="simple", method="head", epochs=0)
    ours, theirs = (one.document["validation"]["accuracy"]["value"] for one in (run, simple))
    assert ours >= theirs or "can not tell apart" in kept(run, records)["why"]


@pytest.mark.parametrize("kind", ["tiny", "uneven"])
def test_auto_takes_little_and_uneven_data(train: Train, tickets: list[dict[str, str]], kind: str) -> None:
    common = tickets[0]["label"]
    few = [row for row in tickets if row["label"] != common]
    rows = tickets[::5] if kind == "tiny" else [row for row in tickets if row["label"] == common] * 2 + few[:6]
    run = train(rows, method="auto", epochs=1)
    assert run.document["verdict"]["next_step"]["words"]


def test_quick_ends_with_the_linear_head(train: Train, tickets: list[dict[str, str]]) -> None:
    run = train(tickets, method="auto", effort="quick", epochs=None)
    assert run.folder.load_spec().method == run.document["method"] == "head"
    assert run.document["verdict"]["worth"]["simplest"]


@pytest.mark.story
def test_best_tries_several_methods_and_keeps_the_best(
    train: Train, tickets: list[dict[str, str]], records: Records
) -> None:
    run = train(tickets, method="auto", effort="best", epochs=1)
    tries = json.loads((run.path / "tries.json").read_text(encoding="utf-8"))
    assert [one["words"]["method"] for one in tries] == ["full", "lora", "contrastive"]
    best = min(tries, key=lambda one: (-one["value"], one["loss"]))
    assert run.folder.load_spec().method == best["words"]["method"]
    (why,) = [event["why"] for event in records(run, "decided") if event["what"] == "method"]
    assert "of 3 ways on" in why
    again = tunesmith.train(run.folder.spec, out="again")
    assert weights(again) == weights(run)
    assert not (again.path / "tries.json").exists()


def test_a_method_that_is_asked_for_is_handed_over_as_it_is(
    train: Train, tickets: list[dict[str, str]], records: Records
) -> None:
    run = train(tickets, **{**RUINED, "effort": None})
    assert run.document["method"] == "full"
    assert not [event for event in records(run, "decided") if event["what"] == "model_kept"]


def test_a_goal_of_another_kind_of_answer_is_refused(train: Train, tickets: list[dict[str, str]]) -> None:
    with pytest.raises(OptionError, match="no metric called 'rmse'"):
        train(tickets, goal="rmse<=0.4")


def plan(effort: str | None = "better", epochs: int = 3) -> Any:
    return SimpleNamespace(
        spec=SimpleNamespace(effort=effort),
        engine=SimpleNamespace(epochs=epochs),
        method=SimpleNamespace(keeps_last=True, frozen_body=False),
        task=SimpleNamespace(trusts_few_rows=True),
    )


def outcome(rows: int, wrong: int) -> Outcome:
    truth = np.arange(rows) % 2
    given = np.where(np.arange(rows) < wrong, 1 - truth, truth)
    return Outcome("label", truth, np.eye(2)[given], None)


def test_it_goes_on_while_validation_rows_could_show_a_gain() -> None:
    assert effort.enough(plan(), outcome(60, 0)) is None  # sixty rows hide one in twenty
    assert effort.enough(plan(), outcome(400, 9)) is None
    assert "400 of 400 validation rows" in str(effort.enough(plan(), outcome(400, 0)))
    assert effort.enough(plan(effort=None), outcome(400, 0)) is None


def test_few_validation_rows_do_not_choose_the_epoch() -> None:
    assert effort.keeps_last(plan(), effort.WATCHED - 1)
    assert not effort.keeps_last(plan(), effort.WATCHED)
    assert effort.keeps_last(plan(effort=None), effort.WATCHED)


def test_where_the_metric_can_not_tell_the_loss_does() -> None:
    assert Score(0.90, 0.02, 0.5).better(Score(0.89, 0.02, 0.6), True)
    assert Score(0.89, 0.02, 0.3).better(Score(0.90, 0.02, 0.6), True)
    assert not Score(0.80, 0.02, 0.3).better(Score(0.90, 0.02, 0.6), True)
    assert Score(0.5, 0.0, 0.5).better(Score(0.6, 0.0, 0.6), False)
