"""Two tasks in turn on tiny models: what is lost is measured, held, bounded, and refused where that makes no sense."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

import tunesmith
from crashes import At, Killed, kill, weights
from forgetting_runs import WILD, Records, Rows, decided, forgotten, lost, phases
from tiers import repeats
from tunesmith.cli import show
from tunesmith.core.errors import DataError, FolderError, OptionError
from tunesmith.engine.retained import ForgettingMonitor
from tunesmith.evaluate import words as evaluate_words
from tunesmith.families.predictive.predictor import Model
from tunesmith.workflows import catalogues

Second = Callable[..., tunesmith.Run]


@pytest.fixture
def second(in_tmp: Path, first: tunesmith.Run, others: Rows) -> Second:
    """`second(out, **words)`: the other labels learned from the first run's model."""

    def call(out: str = "second", **words: Any) -> tunesmith.Run:
        return tunesmith.train(others, out=out, **{"continue_from": str(first.path), **WILD, **words})

    return call


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory, first: tunesmith.Run, others: Rows) -> tunesmith.Run:
    """The second task with nothing against forgetting."""
    out = tmp_path_factory.mktemp("plain") / "plain"
    return tunesmith.train(others, out=out, continue_from=str(first.path), **WILD)


# measured


@pytest.mark.story
def test_what_is_lost_is_the_fall_of_the_old_metric_with_the_old_head(
    plain: tunesmith.Run, first: tunesmith.Run, tickets: Rows
) -> None:
    found = forgotten(plain)
    (task,) = found["tasks"]
    assert task["before"] == pytest.approx(first.metrics["accuracy"])
    assert lost(plain) == pytest.approx(task["before"] - task["after"])
    assert found["lost"]["low"] > 0.2
    assert found["kept"]["value"] == pytest.approx(task["after"] / task["before"])
    assert "accuracy on 24 rows of first, by its own head" in found["probe"]
    assert 0 < found["drift"]["cka"] < 1

    mixed, body = Model.load(first.path), Model.load(plain.path).bundle.model.network.base_model
    mixed.bundle.model.network.base_model.load_state_dict(body.state_dict())
    rows = pq.read_table(first.folder.predictions)
    texts = [tickets[number]["text"] for number in rows["row_id"].to_pylist()]
    answers = [answer["label"] for answer in mixed.predict(texts)]
    assert np.mean([a == b for a, b in zip(answers, rows["truth"].to_pylist(), strict=True)]) == task["after"]


def test_the_matrix_has_every_task_after_every_stage(
    plain: tunesmith.Run, first: tunesmith.Run, tickets: Rows, in_tmp: Path
) -> None:
    words = {**WILD, "epochs": 2}
    third = tunesmith.train(tickets, out="third", continue_from=str(plain.path), **words)
    found = forgotten(third)
    values = found["matrix"]["values"]
    assert found["matrix"]["tasks"] == ["first", "plain", "third"]
    assert values[0] == [first.metrics["accuracy"]]
    assert values[1] == [forgotten(plain)["tasks"][0]["after"], plain.metrics["accuracy"]]
    assert values[2] == [*(task["after"] for task in found["tasks"]), third.metrics["accuracy"]]
    shown = show.run(catalogues.run(third.path))
    assert f"third  {values[2][0]:.4f}" in shown
    assert f"kept     {evaluate_words.forgotten(found)}" in shown
    assert f"average forgetting {found['average_forgetting']:.4f}" in shown
    falls = [values[2][0] - values[0][0], values[2][1] - values[1][1]]
    assert found["backward_transfer"] == pytest.approx(np.mean(falls))
    best = [max(values[0][0], values[1][0]), values[1][1]]
    assert found["average_forgetting"] == pytest.approx(np.mean([best[0] - values[2][0], best[1] - values[2][1]]))
    shown = third.report.read_text(encoding="utf-8")
    assert "after third" in shown
    assert "backward transfer" in shown


def test_without_retained_data_the_drift_of_features_is_measured(first: tunesmith.Run) -> None:
    found = forgotten(first)
    assert "tasks" not in found
    assert 0 < lost(first) < 1
    assert found["lost"]["value"] == pytest.approx(1 - found["kept"]["value"])
    assert "nearest neighbours" in found["probe"]


def test_a_head_alone_loses_nothing_and_says_so(second: Second, records: Records) -> None:
    run = second(method="head", callbacks=["ewc"], frozen_share=None, head_init=None, epochs=None)
    assert lost(run) == 0
    assert forgotten(run)["drift"]["cka"] == pytest.approx(1)
    assert decided(run, "forgetting", records) == ["impossible"]


@pytest.mark.story
def test_a_retained_file_is_measured_by_a_linear_probe(
    tiny_model: Path, others: Rows, ticket_file: Path, in_tmp: Path, records: Records
) -> None:
    run = tunesmith.train(
        others, out="run", model=str(tiny_model), retain=[str(ticket_file)] * 2, callbacks=["rehearsal"],
        **{**WILD, "epochs": 2},
    )  # fmt: skip
    (task,) = forgotten(run)["tasks"]
    assert task["name"] == "tickets"
    assert "by a linear probe" in forgotten(run)["probe"]
    assert decided(run, "lost", records) == [pytest.approx(lost(run), abs=1e-4)]


@pytest.mark.story
def test_retained_texts_are_measured_by_their_neighbours(
    tiny_model: Path, others: Rows, in_tmp: Path, records: Records
) -> None:
    """Running text, with quotation marks as no table has them, and a table of nothing but texts."""
    talk = (f'"Where is {n}?" asked the {n}th lady. Nobody knew about number {n}.' for n in range(60))
    Path("talk.txt").write_text("\n\n".join(talk))
    Path("rows.csv").write_text("text\n" + "\n".join(f"the {n} happy parcels are lost" for n in range(60)))
    run = tunesmith.train(
        others, out="run", model=str(tiny_model), retain=["talk.txt", "rows.csv"], callbacks=["rehearsal"],
        **{**WILD, "rehearsal_rate": 0.1},
    )  # fmt: skip
    tasks = {task["name"]: task for task in forgotten(run)["tasks"]}
    assert {name: task["rows"] for name, task in tasks.items()} == {"talk": 60, "rows": 30}
    assert all(0 < task["lost"]["value"] == pytest.approx(1 - task["after"]) for task in tasks.values())
    assert lost(run) == max(task["lost"]["value"] for task in tasks.values())
    assert "general" in forgotten(run)["drift"]["agreement"]
    assert decided(run, "retained", records) == []


def test_the_columns_of_a_retained_file_are_not_those_of_the_command(
    tiny_model: Path, others: Rows, in_tmp: Path
) -> None:
    Path("old.csv").write_text("text,number,key\n" + "\n".join(f"card {n} works,{n}x,{n}y" for n in range(40)))
    with pytest.raises(DataError, match=r"old\.csv: no column can be the target") as refused:
        tunesmith.train(others, out="run", model=str(tiny_model), retain="old.csv", method="head")
    assert refused.value.fix == "Leave only text and target in what is retained."


def test_faults_of_what_is_retained_are_told_before_anything_is_computed(
    tiny_model: Path, others: Rows, in_tmp: Path
) -> None:
    seen: list[Any] = []
    words = {"listeners": [seen.append]}
    Path("old.csv").write_text("text,label\n" + "a card that works,x\n" * 40)
    with pytest.raises(DataError, match=r"old\.csv"):
        tunesmith.train(others, out="a", model=str(tiny_model), retain="old.csv", method="head", **words)
    assert phases(seen) == ["read"]


def test_of_tasks_with_different_metrics_the_one_with_the_least_left_is_the_worst() -> None:
    """A point of accuracy and a point of an error have no common measure."""
    probes = [SimpleNamespace(is_task=True), SimpleNamespace(is_task=True), SimpleNamespace(is_task=False)]
    monitor = ForgettingMonitor(probes, [], Path())
    accuracy = {"metric": "accuracy", "lost": {"value": 0.3}, "kept": {"value": 0.6}}
    error = {"metric": "rmse", "lost": {"value": 0.5}, "kept": {"value": 0.9}}
    drift = {"lost": {"value": 0.9}, "kept": {"value": 0.1}}
    assert monitor.worst([error, accuracy, drift]) is accuracy
    less = {"metric": "accuracy", "lost": {"value": 0.2}, "kept": {"value": 0.5}}
    assert monitor.worst([less, accuracy, drift]) is accuracy


def test_several_labels_of_a_retained_file_are_cut_where_validation_says(
    tiny_model: Path, others: Rows, tickets: Rows, in_tmp: Path
) -> None:
    """At a half, rare labels would never be given: nothing before, and so nothing to lose."""
    rows = [(f"{row['text']} {n % 10}", n % 6) for n, row in enumerate(5 * tickets)]
    lines = [",".join([f'"{text}"', *(str(int(label == one)) for one in range(6))]) for text, label in rows]
    lines.insert(0, "text,a,b,c,d,e,f")
    Path("labels.csv").write_text("\n".join(lines))
    run = tunesmith.train(others, out="run", model=str(tiny_model), retain="labels.csv", method="head")
    (task,) = forgotten(run)["tasks"]
    assert task["metric"] == "f1_micro"
    assert task["before"] > 0.2


# held


@pytest.mark.story
def test_the_fisher_information_is_saved_with_the_run(second: Second) -> None:
    run = second(callbacks=["ewc"], epochs=1)
    found = load_file(run.path / "fisher.safetensors")
    assert found
    assert all((values >= 0).all() for values in found.values())


@pytest.mark.story
@pytest.mark.parametrize(
    ("name", "words"),
    [("ewc", {}), ("l2sp", {"l2sp_strength": 1}), ("rehearsal", {}), ("distill", {}), ("interpolate", {})],
)
def test_every_measure_keeps_more_than_plain_training(
    name: str, words: dict[str, Any], second: Second, plain: tunesmith.Run, records: Records
) -> None:
    run = second(callbacks=[name], **words)
    assert lost(run) < lost(plain) - 0.2
    assert run.metrics["accuracy"] > 0.7
    if name == "interpolate":
        (alpha,) = decided(run, "interpolate_alpha", records)
        assert 0 < alpha < 1


@pytest.mark.story
def test_small_layers_keep_more_and_are_no_base_for_a_next_task(
    second: Second, plain: tunesmith.Run, others: Rows
) -> None:
    words = {name: value for name, value in WILD.items() if name not in ("frozen_share", "head_init", "learning_rate")}
    first = str(plain.folder.load_spec().continue_from)
    run = tunesmith.train(others, out="adapters", continue_from=first, **{**words, "method": "adapters"})
    assert lost(run) < lost(plain) - 0.2
    with pytest.raises(OptionError, match="in an adapter beside its base, which --method full would move"):
        second(continue_from=str(run.path))


@pytest.mark.story
def test_adapters_beside_one_base_leave_each_other_alone(
    first: tunesmith.Run, others: Rows, tickets: Rows, in_tmp: Path
) -> None:
    words = {"method": "adapters", "precision": "fp32", "epochs": 2, "batch_size": 8}
    two = tunesmith.train(others, out="two", continue_from=str(first.path), **words)
    three = tunesmith.train(tickets, out="three", continue_from="two", **words, callbacks=["ewc"])
    document = three.folder.load_metrics()["forgetting"]
    assert document["matrix"]["tasks"] == ["first", "two", "three"]
    assert document["matrix"]["values"][2][1] == two.metrics["accuracy"], "its adapter lies beside the same base"
    again = {task["name"]: task["lost"] for task in document["tasks"]}
    assert again["two"] == {"value": 0, "low": 0, "high": 0}
    bodies = [load_file(run.folder.model / "model.safetensors") for run in (first, two, three)]
    for name in bodies[0]:
        if "encoder.layer.0" in name:
            assert all(torch.equal(bodies[0][name], body[name]) for body in bodies[1:])
    assert set(load_file(two.folder.model / "adapter_model.safetensors")) == set(
        load_file(three.folder.model / "adapter_model.safetensors")
    )


@pytest.mark.story
def test_no_more_is_lost_than_allowed(second: Second, records: Records) -> None:
    run = second(forget_at_most=0.2)
    assert lost(run) <= 0.2
    assert run.metrics["accuracy"] > 0.8
    said = decided(run, "forget_at_most", records)
    assert said[0] == "interpolate"  # plain training lost too much
    assert said[-1] == ("kept to" if forgotten(run)["lost"]["high"] <= 0.2 else "not certain")


@pytest.mark.story
def test_ewc_and_rehearsal_go_on_after_a_kill_with_the_same_bits(second: Second, in_tmp: Path) -> None:
    words = {"callbacks": ["ewc", "rehearsal"], "epochs": 3, "save_steps": 2}
    whole = second("whole", **words)
    with pytest.raises(Killed):
        second("killed", listeners=[At(7, kill)], **words)
    assert weights(tunesmith.resume(in_tmp / "killed")) == weights(whole)


# refused


def test_what_makes_no_sense_is_refused_before_anything_is_computed(
    second: Second, first: tunesmith.Run, tiny_model: Path, in_tmp: Path
) -> None:
    bare = {"frozen_share": None, "head_init": None}
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"model": str(tiny_model)}, OptionError, "Leave one of them out"),
        ({"method": "scratch", **bare}, OptionError, "random weights"),
        ({"retain": ["no-such.csv"]}, DataError, "no such file or run"),
        ({"continue_from": "no-such-run"}, FolderError, "does not exist"),
        ({"continue_from": str(first.path / "model")}, OptionError, "Train on it with --model"),
        ({"forget_at_most": -1}, OptionError, "forget_at_most"),
        ({"method": "contrastive", "callbacks": ["distill"], **bare}, OptionError, "learns from pairs"),
    ]
    for words, error, message in cases:
        with pytest.raises(error, match=message) as caught:
            second("refused", **words)
        assert caught.value.exit_code == 2
        assert not (in_tmp / "refused").exists()


def test_a_run_that_is_not_finished_can_not_be_continued(second: Second, in_tmp: Path) -> None:
    with pytest.raises(Killed):
        second("killed", listeners=[At(2, kill)])
    with pytest.raises(FolderError, match="tunesmith resume"):
        second("next", continue_from=str(in_tmp / "killed"))


@pytest.mark.story
@pytest.mark.parametrize("how", repeats(["folds", "seeds", "until"]))
def test_many_runs_measure_what_each_has_forgotten(
    how: str, in_tmp: Path, others: Rows, tiny_model: Path, ticket_file: Path
) -> None:
    from tunesmith.studies import folds, seeds, until

    words = {"model": str(tiny_model), "precision": "fp32", "method": "full", "epochs": 1, "retain": [str(ticket_file)]}
    if how == "seeds":
        runs = seeds.several_seeds(others, out="many", seeds=2, **words).runs
    elif how == "folds":
        runs = folds.cross_validate(others, out="many", cv=2, **words).runs
    else:
        runs = [until.until(others, metric="f1=0.999", out="many", budget="1 trials", **words).run]
    for run in runs:
        assert "tickets, by a linear probe" in forgotten(run)["probe"]


@pytest.mark.story
def test_a_series_of_seeds_continues_one_run(in_tmp: Path, others: Rows, first: tunesmith.Run) -> None:
    from tunesmith.studies import seeds

    found = seeds.several_seeds(others, out="many", seeds=2, **{**WILD, "continue_from": str(first.path), "epochs": 1})
    for run in found.runs:
        assert [task["name"] for task in forgotten(run)["tasks"]] == [first.path.name]
