"""Two tasks in turn that no linear head answers: what is lost is measured by their metric, through their own head."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny_detectors
import tunesmith
from tunesmith.core import registry
from tunesmith.core.errors import DataError, OptionError
from tunesmith.core.files import write_bytes
from tunesmith.engine.inference import evaluating
from tunesmith.families.predictive.predictor import Model
from tunesmith.models.answers import Answers

RENAMED = {"cold": "blue", "warm": "red"}
"""Labels of the second task."""


class Toy:
    """Rows of a task's toy in `folder`, and runs on them."""

    def __init__(self, task: str, folder: Path, base: Callable[[Path], object] | None = None):
        self.toy, self.folder = registry.get("tasks", task).toys()[0], folder
        for name, content in self.toy.files.items():
            write_bytes(folder / name, content)
        text = "".join(json.dumps(row) + "\n" for row in self.toy.rows)
        (folder / "rows.jsonl").write_text(text)
        for old, new in RENAMED.items():
            text = text.replace(f'"{old}"', f'"{new}"')
        (folder / "other.jsonl").write_text(text)
        (folder / "base").mkdir()
        (base or self.toy.base)(folder / "base")
        self.words: dict[str, Any] = {
            "task": task, "method": "full", "precision": "fp32", "batch_size": 5, "epochs": 3, "patience": 99,
            "learning_rate": self.toy.rate, "near_duplicates": 0, "verbose": False, **self.toy.words,
        }  # fmt: skip

    def train(self, out: str, data: str = "rows.jsonl", **words: Any) -> tunesmith.Run:
        path = str(self.folder / data)
        return tunesmith.train(path, validation=path, test=path, out=self.folder / out, **{**self.words, **words})

    def first(self, **words: Any) -> tunesmith.Run:
        return self.train("first", model=str(self.folder / "base"), **words)


def forgotten(run: tunesmith.Run) -> dict[str, Any]:
    found: dict[str, Any] = run.document["forgetting"]["tasks"][0]
    return found


@pytest.mark.story
@pytest.mark.parametrize(
    "task", ["question-answering", *(pytest.param(name, marks=pytest.mark.slow) for name in ("embedding", "reranking"))]
)
def test_what_a_network_still_answers_is_asked_of_it_as_it_is(task: str, tmp_path: Path) -> None:
    toy = Toy(task, tmp_path)
    first = toy.first()
    metric = first.document["first_metric"]
    second = toy.train("second", continue_from=str(first.path), callbacks=["ewc", "rehearsal"], epochs=2)
    task_of_first = forgotten(second)
    assert task_of_first["metric"] == metric
    assert task_of_first["before"] == pytest.approx(first.metrics[metric])
    assert task_of_first["after"] == pytest.approx(second.metrics[metric]), "the rows are the same"
    assert "of first, as the model itself answers them" in second.document["forgetting"]["probe"]
    assert second.document["forgetting"]["matrix"]["values"][0] == [first.metrics[metric]]
    assert "base" in second.document["baselines"], "the head of the first run answers before any training"
    third = toy.train("third", model=str(first.folder.model), retain=str(tmp_path / "rows.jsonl"), epochs=1)
    assert "of rows, as the model itself answers them" in third.document["forgetting"]["probe"]
    if task != "reranking":  # whose head reads one vector a row
        with pytest.raises(OptionError, match=r"distill (holds what a head reads|needs a method that learns row by)"):
            toy.train("held", continue_from=str(first.path), callbacks=["distill"])


@pytest.mark.slow
@pytest.mark.parametrize("base", [None, "detr", "rt_detr"])
def test_boxes_of_other_labels_are_learned_and_the_old_head_tells_what_is_left(
    base: str | None, tmp_path: Path
) -> None:
    toy = Toy("object-detection", tmp_path, base and partial(tiny_detectors.write, base))
    first = toy.first(epochs=4)
    words = {"continue_from": str(first.path), "callbacks": ["ewc", "rehearsal", "interpolate"], "epochs": 2}
    second = toy.train("second", "other.jsonl", learning_rate=3 * toy.words["learning_rate"], **words)
    found = forgotten(second)
    assert found["before"] == pytest.approx(first.metrics["map"])
    assert "of first, by its own head" in second.document["forgetting"]["probe"]
    assert second.model.labels == ["blue", "red"]

    old, new = Model.load(first.path), Model.load(second.path)
    pixels = torch.rand(2, 3, 64, 64)
    with evaluating(old.bundle.model), evaluating(new.bundle.model):
        before = new.bundle.model({"pixel_values": pixels})
        with Answers.of(old.bundle.model, torch.device("cpu")).given_by(new.bundle.model):
            mixed = new.bundle.model({"pixel_values": pixels})
        assert torch.equal(new.bundle.model({"pixel_values": pixels}), before), "the new head is back"
        body = new.bundle.model.network.base_model.state_dict()
        old.bundle.model.network.base_model.load_state_dict(body, strict=base is None)
        if base is None:
            assert torch.equal(old.bundle.model({"pixel_values": pixels}), mixed)


@pytest.mark.slow
def test_masks_of_other_classes_are_learned_and_the_old_head_tells_what_is_left(tmp_path: Path) -> None:
    toy = Toy("image-segmentation", tmp_path)
    first = toy.first()
    words = {"continue_from": str(first.path), "callbacks": ["ewc", "rehearsal"], "label_names": ["earth", "thing"]}
    second = toy.train("second", **words)
    assert forgotten(second)["before"] == pytest.approx(first.metrics["miou"])
    assert "of first, by its own head" in second.document["forgetting"]["probe"]


def test_what_can_not_be_kept_is_told(tmp_path: Path) -> None:
    toy = Toy("object-detection", tmp_path)
    with pytest.raises(DataError, match="has no trained head for object-detection"):
        toy.first(retain=str(tmp_path / "rows.jsonl"))
