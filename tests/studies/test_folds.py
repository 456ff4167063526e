"""Folds that leak nothing, out-of-fold predictions, and the average of several seeds."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

import tunesmith
from tunesmith import testing
from tunesmith.cli.show import show_folds, show_seeds
from tunesmith.core.errors import OptionError
from tunesmith.studies import series
from tunesmith.studies import soup as soups
from tunesmith.studies.folds import Folds, assign, cross_validate, mean_and_spread
from tunesmith.studies.seeds import several_seeds
from tunesmith.studies.soup import mean

FAST = {"precision": "fp32", "method": "full", "epochs": 1}


@pytest.fixture(scope="module")
def grouped(tickets: list[dict[str, str]]) -> list[dict[str, str]]:
    """The tickets by their last word's author, and a near duplicate of every tenth."""
    rows = [{**row, "author": f"author {number % 12}"} for number, row in enumerate(tickets)]
    near = [{**row, "text": row["text"].upper() + "!!", "author": f"other {n}"} for n, row in enumerate(rows[::10])]
    return rows + near


@pytest.fixture(scope="module")
def crossed(tmp_path_factory: pytest.TempPathFactory, grouped: list[dict[str, str]], tiny_model: Path) -> Folds:
    out = tmp_path_factory.mktemp("folds") / "cv"
    return cross_validate(grouped, out=out, cv=3, group="author", model=str(tiny_model), **FAST)


def rows_of(path: Path) -> list[dict[str, str]]:
    with pa.ipc.open_file(str(path)) as file:
        return list(file.read_all().to_pylist())


@pytest.mark.story
def test_no_author_and_no_text_stands_on_both_sides(crossed: Folds, grouped: list[dict[str, str]]) -> None:
    tested: list[str] = []
    for number, run in enumerate(crossed.runs, 1):
        folder = crossed.path / "data" / f"fold-{number}"
        train, test = rows_of(folder / "train.arrow"), rows_of(folder / "test.arrow")
        assert len(train) + len(test) == len(grouped)
        assert {row["author"] for row in train}.isdisjoint(row["author"] for row in test)
        normal = [{row["text"].lower().rstrip("!") for row in side} for side in (train, test)]
        assert normal[0].isdisjoint(normal[1])
        tested += [row["text"] for row in test]
        # the validation part of the run comes from its own training part, in whole groups
        splits = pq.read_table(run.path / "data" / "splits.parquet").to_pydict()
        sides: dict[str, set[str]] = {}
        for row_id, split in zip(splits["row_id"], splits["split"], strict=True):
            sides.setdefault([*train, *test][row_id]["author"], set()).add(split)
        assert all(len(found) == 1 for found in sides.values())
    assert sorted(tested) == sorted(row["text"] for row in grouped)


def test_every_row_has_one_out_of_fold_prediction(crossed: Folds, grouped: list[dict[str, str]]) -> None:
    table = pq.read_table(crossed.predictions)
    assert table.column("row_id").to_pylist() == list(range(len(grouped)))
    assert table.column("truth").to_pylist() == [row["label"] for row in grouped]
    right = np.array(table.column("truth").to_pylist()) == np.array(table.column("predicted").to_pylist())
    assert crossed.document["out_of_fold"]["accuracy"]["value"] == pytest.approx(right.mean())
    folds = np.array(table.column("fold").to_pylist())
    for number, run in enumerate(crossed.document["runs"], 1):
        assert run["metrics"]["accuracy"] == pytest.approx(right[folds == number].mean())
    values = [run["metrics"]["accuracy"] for run in crossed.document["runs"]]
    assert crossed.mean["accuracy"] == pytest.approx(np.mean(values))
    assert crossed.spread["accuracy"] == pytest.approx(np.std(values, ddof=1))
    assert "3 folds" in show_folds(crossed.document)
    assert "<h2>Runs</h2>" in (crossed.path / "report.html").read_text()


def test_finished_folds_are_not_made_again(
    crossed: Folds, grouped: list[dict[str, str]], tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "train", pytest.fail)
    words = {**FAST, "model": str(tiny_model)}
    again = cross_validate(grouped, out=crossed.path, cv=3, group="author", **words)
    assert again.document == crossed.document


@pytest.mark.story
def test_rows_with_several_labels_are_so_in_every_fold(
    tickets: list[dict[str, str]], tiny_model: Path, tmp_path: Path
) -> None:
    rows = [{"text": row["text"], "label": row["label"]} for row in tickets]
    for row in rows[:2]:  # too few to be seen in each of the parts
        row["label"] = "complaint|question"
    found = cross_validate(rows, out=tmp_path / "cv", cv=3, model=str(tiny_model), near_duplicates=0, **FAST)
    table = pq.read_table(found.predictions)
    assert table.column("truth").to_pylist() == [row["label"].split("|") for row in rows]
    assert {run.model.task.kind for run in found.runs} == {"labels"}


def test_folds_are_stratified_and_units_stay_whole() -> None:
    strata = np.array([0] * 60 + [1] * 30)
    of = assign(strata, np.arange(90), 5, seed=1)
    assert [np.bincount(strata[of == fold]).tolist() for fold in range(5)] == [[12, 6]] * 5
    assert (of == assign(strata, np.arange(90), 5, seed=1)).all()
    assert (of != assign(strata, np.arange(90), 5, seed=2)).any()
    units = np.arange(90) // 3
    whole = assign(strata, units, 5, seed=1)
    assert all(len(set(whole[units == unit])) == 1 for unit in range(30))
    rare = assign(np.array([0] * 18 + [1, 2]), np.arange(20), 5, seed=1)
    assert np.bincount(rare).tolist() == [4] * 5


@pytest.mark.parametrize("folds", [1, 31])
def test_impossible_folds_are_refused(folds: int) -> None:
    with pytest.raises(OptionError, match="2 to 30"):
        assign(np.zeros(90, dtype=int), np.arange(90) // 3, folds, seed=0)


def test_a_part_of_ones_own_does_not_go_with_it(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="test does not go"):
        cross_validate("x.csv", out=tmp_path / "cv", test="y.csv")


# seeds


@pytest.mark.story
def test_seeds_share_a_split_and_differ_in_the_rest(tmp_path: Path, ticket_file: Path, tiny_model: Path) -> None:
    words = {**FAST, "model": str(tiny_model), "head_init": "random", "learning_rate": 2e-3, "epochs": 2}
    found = several_seeds(ticket_file, out=tmp_path / "s", seeds=[4, 9], soup=True, **words)
    tests = [pq.read_table(run.folder.predictions).column("row_id").to_pylist() for run in found.runs]
    assert tests[0] == tests[1]
    losses = [run.metrics["log_loss"] for run in found.runs]
    assert losses[0] != losses[1]
    assert found.mean["log_loss"] == pytest.approx(np.mean(losses))
    shown = show_seeds(found.document)
    assert "2 seeds" in shown
    lost = [run.document["forgetting"]["lost"]["value"] for run in found.runs]
    assert found.document["forgetting"]["lost"]["mean"] == pytest.approx(np.mean(lost))
    assert found.document["forgetting"]["lost"]["spread"] == pytest.approx(np.std(lost, ddof=1))
    assert f"lost {np.mean(lost):.3f}" in " ".join(shown.split())
    soup = found.document["soup"]
    assert soup["validation"] >= soup["best_single"]
    assert (found.soup is not None) == soup["kept"]
    with pytest.raises(OptionError, match="two different"):
        several_seeds(ticket_file, out=tmp_path / "t", seeds=[1, 1])


@pytest.mark.story
def test_a_soup_is_kept_where_it_helps(
    tmp_path: Path, ticket_file: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranks = iter([(0.5, -1.0), (0.5, -0.9), (0.5, -0.95)])  # alone, with the second, with the third
    real = tunesmith.studies.soup._score
    monkeypatch.setattr("tunesmith.studies.soup._score", lambda *a: (real(*a), next(ranks))[1])
    words: dict[str, Any] = {**FAST, "model": str(tiny_model), "method": "head", "epochs": 1}
    found = several_seeds(ticket_file, out=tmp_path / "s", seeds=3, soup=True, **words)
    soup = found.document["soup"]
    assert len(soup["of"]) == 2
    assert soup["kept"]
    model = found.soup
    assert model is not None
    by_name = {run.path.name: run for run in found.runs}
    heads = [by_name[name].model.bundle.model.head.weight.detach() for name in soup["of"]]
    assert torch.allclose(model.bundle.model.head.weight, (heads[0] + heads[1]) / 2, atol=1e-6)
    assert len(model.predict(["where is my card?"])) == 1
    assert "of the best single run, with a lower log loss" in show_seeds(found.document)
    assert soup["test"]["low"] <= soup["test"]["value"] <= soup["test"]["high"]


@pytest.mark.story
@pytest.mark.parametrize("method", ["adapters", "prompt"])
def test_a_soup_averages_what_lies_beside_a_base_too(
    method: str, tmp_path: Path, ticket_file: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranks = iter([(0.5, -1.0), (0.6, -0.9)])
    monkeypatch.setattr("tunesmith.studies.soup._score", lambda *a: next(ranks))
    words: dict[str, Any] = {**FAST, "model": str(tiny_model), "method": method, "learning_rate": 1e-2}
    found = several_seeds(ticket_file, out=tmp_path / "s", seeds=2, soup=True, **words)
    one, two, mean = (
        load_file(folder / "adapter_model.safetensors")
        for folder in (*(run.folder.model for run in found.runs), tmp_path / "s" / "soup")
    )
    # both begin with the same prompt, which so short a training may not better
    assert method == "prompt" or any(not torch.equal(one[name], two[name]) for name in one)
    assert all(torch.allclose(mean[name], (one[name] + two[name]) / 2, atol=1e-6) for name in one)


@pytest.mark.slow
def test_an_average_has_statistics_of_its_own(tmp_path: Path) -> None:
    """Of two models of the same weights, whatever statistics these have: those of the training rows."""
    run = testing.check_default("image-classification", 0, tmp_path)
    first, second = run.folder.model, tmp_path / "second"
    shutil.copytree(first, second)
    (second / "MANIFEST.json").unlink()
    path = second / "model.safetensors"
    weights = load_file(path)
    moved = {name: one * 9 + 1 if ".running_" in name else one for name, one in weights.items()}
    save_file(moved, path, metadata={"format": "pt"})
    split = SimpleNamespace(file=lambda part: str(tmp_path / "rows.jsonl"))
    found = []
    for parts in ([first, second], [second, first]):
        soups._mix(split, tmp_path / "soup", parts)  # type: ignore[arg-type]
        found.append(load_file(tmp_path / "soup" / "model.safetensors"))
    names = [name for name in weights if name.endswith(".running_var")]
    assert names
    for name in names:
        assert torch.equal(found[0][name], found[1][name])
        assert not torch.allclose(found[0][name], (weights[name] + moved[name]) / 2)
        assert (found[0][name] > 0).all()


def test_the_mean_of_a_weight() -> None:
    assert mean([torch.tensor([1.0, 2.0]), torch.tensor([3.0, 6.0])]).tolist() == [2.0, 4.0]
    assert mean([torch.tensor([1.0, 2.0]).bfloat16()] * 3).dtype == torch.bfloat16
    assert mean([torch.tensor([7]), torch.tensor([8])]).tolist() == [7]


def test_mean_and_spread_of_what_all_runs_have() -> None:
    found = mean_and_spread([{"a": 1.0, "b": 2.0}, {"a": 3.0}])
    assert found == {"mean": {"a": 2.0}, "spread": {"a": pytest.approx(2**0.5)}}
