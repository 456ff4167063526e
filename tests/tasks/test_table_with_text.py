"""Columns beside a text: numbers, categories and dates that a model reads too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch

import tunesmith
from toys import save_bert
from tunesmith.core.errors import DataError, OptionError
from tunesmith.core.events import Event
from tunesmith.data.features import FeatureTable
from tunesmith.models.loaders.encoder import load_text_finished


def _rows(count: int = 120) -> list[dict[str, Any]]:
    """The label is told by the text and the plan together; the price is noise, the code tells it alone."""
    chance = np.random.default_rng(3)
    words = ["card", "order", "parcel", "app", "refund"]
    rows = []
    for at in range(count):
        late, gold = bool(chance.random() < 0.5), bool(chance.random() < 0.5)
        label = "angry" if late and not gold else "fine"
        rows.append({
            "id": at, "text": f"my {words[at % 5]} {at} is {'late' if late else 'good'}", "label": label,
            "plan": "gold" if gold else str(chance.choice(["basic", "free"])),
            "price": None if at % 17 == 0 else round(float(chance.normal(50, 10)), 2),
            "since": f"2024-{1 + at % 12:02d}-{1 + at % 28:02d}", "code": f"x{label}",
        })  # fmt: skip
    return rows


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    save_bert(folder)
    return folder


def _check(data: Any, base: Path, **words: Any) -> dict[str, Any]:
    return tunesmith.check(data, model=str(base), near_duplicates=0, **words)


def test_auto_takes_what_says_something_and_leaves_out_what_tells_too_much(base: Path) -> None:
    found = _check(_rows(), base, target="label", features="auto")
    assert found["columns"]["features"] == ["plan", "price", "since"]
    told = {one["value"]: one["why"] for one in found["decisions"] if one["what"] == "feature"}
    assert told["plan"].startswith("category")
    assert told["price"].startswith("number")
    assert told["since"].startswith("date")
    (warned,) = [one["message"] for one in found["warnings"] if one["what"] == "features"]
    assert "'code' tells the target of 100.0% of the rows by itself" in warned
    assert found["method"] == "full"


def test_what_is_asked_for_is_read_and_what_is_odd_is_said(base: Path) -> None:
    found = _check(_rows(), base, target="label", features="plan,code,id")
    assert found["columns"]["features"] == ["plan", "code", "id"]
    warned = " ".join(one["message"] for one in found["warnings"] if one["what"] == "features")
    assert "'code' tells the target" in warned
    assert "'id': its name says that it is an id" in warned
    with pytest.raises(DataError, match="no such column") as caught:
        _check(_rows(), base, features=["plam"])
    assert caught.value.problems[0].column == "plam"
    assert "plan" in str(caught.value.fix)
    with pytest.raises(DataError, match="text or target already"):
        _check(_rows(), base, target="label", features="label")
    with pytest.raises(OptionError, match="is for texts alone"):
        _check(_rows(), base, target="label", features="plan", method="contrastive")
    with pytest.raises(OptionError, match="features"):
        _check(_rows(), base, task="token-classification", features="plan")


def test_a_table_is_the_same_numbers_again() -> None:
    cells: dict[str, list[str | None]] = {
        "size": [None, *(str(at) for at in range(39))], "plan": ["a", "b"] * 19 + ["once", None],
        "day": ["2024-01-01", "2024-01-08"] * 20,
    }  # fmt: skip
    table = FeatureTable.fit(cells)
    assert [column.kind for column in table.columns] == ["number", "category", "date"]
    again = FeatureTable.of(json.loads(json.dumps(table.record())))
    made = table.transform(cells)
    assert made.dtype == np.float32
    assert made.shape == (40, table.width)
    assert np.array_equal(made, again.transform(cells))
    size = table.columns[0].width
    assert made[0, size - 1] == 1, "an empty cell is said to be empty"
    assert not made[1:, size - 1].any()
    assert abs(made[1:, 0].mean()) < 0.1
    assert made[:, size : size + 2].sum() == 38
    days = made[:, -7:]
    assert (days[:, 0] == 1).all(), "both are Mondays"
    other = again.transform({"size": ["many"], "plan": ["c"], "day": ["soon"]})
    assert other[0, size - 1] == other[0, size + 2] == 1
    assert again.notes == [
        "column 'size': 1 of 1 rows hold no number, and count as empty, such as 'many'",
        "column 'plan': 1 of 1 rows hold values that no training row has, or hardly one, such as 'c'",
        "column 'day': 1 of 1 rows hold no date, and count as empty, such as 'soon'",
    ]


@pytest.mark.story
def test_a_run_reads_columns_beside_the_text(base: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    said: list[Event] = []
    rows = pandas.DataFrame(_rows(240)).drop(columns=["code"])
    rows.to_csv(tmp_path / "rows.csv", index=False)
    run = tunesmith.train(
        tmp_path / "rows.csv", model=str(base), target="label", features="auto", method="full", epochs=6,
        learning_rate=3e-3, near_duplicates=0, label_smoothing=0.0, out=tmp_path / "run", listeners=[said.append],
    )  # fmt: skip
    found = {name: one["accuracy"]["value"] for name, one in run.document["baselines"].items()}
    assert {"table_logistic_regression", "table_gradient_boosting", "linear_probe_text", "linear_probe"} <= set(found)
    ours = run.document["test"]["accuracy"]["value"]
    assert ours > max(found["table_logistic_regression"], found["linear_probe_text"])
    assert run.folder.load_spec().options["features"] == ["plan", "price", "since"]
    model = tunesmith.load(run.path)
    one = {"text": "my card 3 is late", "plan": "gold", "price": 51.0, "since": "2024-03-03"}
    assert model.predict(one)["label"] == "fine"
    assert model.predict({**one, "plan": "basic"})["label"] == "angry"
    frame = model.predict(rows.head(20))
    assert (frame["predicted"] == rows.head(20)["label"]).mean() > 0.7
    with pytest.warns(UserWarning, match="column 'plan': 1 of 1 rows hold values that no training row has"):
        model.predict({**one, "plan": "platinum"})
    with pytest.raises(DataError, match="does not have it") as caught:
        model.predict([{"text": "my card is late", "price": 3}])
    assert {problem.column for problem in caught.value.problems} == {"plan", "since"}
    with pytest.raises(DataError, match="does not have it"):
        model.predict(["my card is late"])
    with pytest.warns(UserWarning, match="rows were trained on"):
        measured = tunesmith.evaluate(run.path, data=tmp_path / "rows.csv")
    assert measured["metrics"]["accuracy"]["value"] > 0.8
    answers = tunesmith.predict(run.path, data=tmp_path / "rows.csv", out=tmp_path / "answers.csv")
    assert answers is not None
    assert {path.name for path in (run.path / "model").iterdir()} >= {"table.json", "table.safetensors"}
    # the text's own share of the logits is what plain transformers gives, the table adds the rest
    bundle = load_text_finished(run.path / "model")
    plain = AutoModelForSequenceClassification.from_pretrained(run.path / "model").eval()
    tokens = AutoTokenizer.from_pretrained(run.path / "model")(one["text"], return_tensors="pt")
    with torch.no_grad():
        alone = plain(**tokens).logits
        none = bundle.model({**tokens})
    assert torch.allclose(alone, none, atol=1e-3)
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "the columns without the text" in page
    assert "Columns beside the text" in page
    worth = {one["name"]: one["lost"] for one in run.document["columns"]}
    assert set(worth) == {"plan", "price", "since", "the text"}
    assert min(worth["plan"], worth["the text"]) > max(worth["price"], worth["since"])


@pytest.mark.story
def test_numbers_are_learned_from_text_and_columns(base: Path, tmp_path: Path) -> None:
    rows = _rows(150)
    for row in rows:
        row["amount"] = (row["price"] or 50.0) + (20 if row["label"] == "angry" else 0)
    run = tunesmith.train(
        rows, model=str(base), task="text-regression", target="amount", features="price,plan", method="head",
        near_duplicates=0, out=tmp_path / "run", verbose=False,
    )  # fmt: skip
    found = {name: one["rmse"]["value"] for name, one in run.document["baselines"].items()}
    assert {"table_ridge", "table_gradient_boosting", "linear_probe_text"} <= set(found)
    assert run.document["test"]["rmse"]["value"] < found["linear_probe_text"]
    again = tunesmith.load(run.path)
    given = [{name: row[name] for name in ("text", "price", "plan")} for row in rows[:5]]
    assert [one["value"] for one in again.predict(given)] == [one["value"] for one in run.model.predict(given)]


def test_what_is_read_is_not_said_to_be_left_out(base: Path) -> None:
    found = _check(_rows(), base, target="label", features="plan,since")
    left = [one["value"] for one in found["decisions"] if one["what"] in ("left out columns", "skipped columns")]
    assert not {"plan", "since"} & {name for names in left for name in names}
