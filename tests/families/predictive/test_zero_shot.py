"""The base model's own answers, as a baseline; and bases that bring a head of their own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tunesmith
from tunesmith.core.errors import ModelError
from tunesmith.families.predictive.zero_shot import is_meaningful
from tunesmith.models.loaders.encoder import load_text_base

Train = Callable[..., tunesmith.Run]


@pytest.fixture
def classifier(tiny_model: Path, tmp_path: Path) -> Callable[..., Path]:
    """`classifier(*labels)`: a folder with a network that was trained, so to speak, on these labels."""
    from transformers import AutoModelForSequenceClassification

    def make(*labels: str) -> Path:
        folder = tmp_path / "-".join(labels)
        shutil.copytree(tiny_model, folder)
        torch.manual_seed(1)
        names = dict(enumerate(labels))
        network = AutoModelForSequenceClassification.from_pretrained(
            tiny_model, id2label=names, label2id={label: number for number, label in names.items()}
        )
        network.save_pretrained(folder)
        return folder

    return make


def load(folder: Path, *names: str) -> Any:
    return load_text_base(str(folder), label_names=names, problem_type="single_label_classification", dropout=0.0)


@torch.no_grad()
def test_a_head_for_the_same_labels_answers_in_our_order(classifier: Callable[..., Path]) -> None:
    from transformers import AutoModelForSequenceClassification

    folder = classifier("Neutral", "good", "BAD")
    bundle = load(folder, "bad", "good", "neutral")
    assert bundle.zero_shot == "head"
    assert bundle.model.pooling == "own"
    batch = dict(bundle.tokenizer(["the card is lost", "thanks"], padding=True, return_tensors="pt"))
    theirs = AutoModelForSequenceClassification.from_pretrained(folder).eval()(**batch).logits
    torch.testing.assert_close(bundle.model.eval()(batch), theirs[:, [2, 1, 0]])


@pytest.mark.parametrize("labels", [("good", "bad"), ("good", "bad", "ugly", "fine")])
def test_a_head_for_other_labels_starts_anew(classifier: Callable[..., Path], labels: tuple[str, ...]) -> None:
    folder = classifier(*labels)
    bundle = load(folder, "card", "order", "login", "else")
    assert bundle.zero_shot is None
    assert bundle.model.head.out_features == 4
    assert bundle.model.pooling == "mean"
    again = load(folder, "x", "y")
    assert again.model.head.weight.abs().max() < 0.2  # drawn, not read


@pytest.mark.story
def test_a_run_begins_with_a_classifier_of_other_labels(
    train: Train, classifier: Callable[..., Path], ticket_file: Path
) -> None:
    run = train(ticket_file, model=str(classifier("good", "bad", "ugly")), epochs=1)
    assert "base" not in run.document["baselines"]


@pytest.mark.story
def test_a_run_of_ours_is_a_base_that_answers_for_itself(train: Train, ticket_file: Path) -> None:
    first = train(ticket_file, "first", method="head")
    again = train(ticket_file, "again", method="head", model=str(first.folder.model))
    base = again.document["baselines"]["base"]["accuracy"]["value"]
    assert base == first.metrics["accuracy"]


@pytest.mark.story
def test_a_number_is_answered_in_its_own_units(train: Train, tickets: Any) -> None:
    rows = [{"text": row["text"], "score": 100.0 + len(row["text"])} for row in tickets]
    words = {"task": "text-regression", "method": "head"}
    first = train(rows, "first", **words)
    again = train(rows, "again", model=str(first.folder.model), **words)
    base = again.document["baselines"]["base"]["rmse"]["value"]
    assert base == pytest.approx(first.metrics["rmse"], rel=1e-3)


@pytest.mark.story
def test_a_sentence_encoder_answers_with_the_nearest_label_name(train: Train, minilm: Path) -> None:
    foods = ["bread", "cheese", "soup", "rice", "apples", "noodles", "pancakes", "tomatoes"]
    beasts = ["dog", "cat", "horse", "cow", "goat", "sheep", "rabbit", "pig"]
    rows = [{"text": f"we cooked some {food} for dinner", "label": "tasty_food"} for food in foods]
    rows += [{"text": f"the {beast} ran over the field", "label": "farmAnimals"} for beast in beasts]
    run = train(rows, model="minilm", method="head", test_size=0.5)
    assert run.document["baselines"]["base"]["accuracy"]["value"] > 0.8
    run = train([{**row, "label": str(len(row["label"]))} for row in rows], "digits", model="minilm", method="head")
    assert "base" not in run.document["baselines"]


@pytest.mark.parametrize(
    ("name", "says"), [("card_arrival", True), ("Top-Up", True), ("3", False), ("B", False), ("10-20", False)]
)
def test_labels_say_something_or_not(name: str, says: bool) -> None:
    assert is_meaningful(name) is says


def test_a_file_without_the_body_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "half"
    shutil.copytree(tiny_model, folder)
    weights = load_file(folder / "model.safetensors")
    kept = {name: values for name, values in weights.items() if "layer.1." not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="are not in the files of"):
        load(folder, "a", "b")
    wide = {**weights, "embeddings.word_embeddings.weight": np.zeros((7, 64), dtype=np.float32)}
    save_file(wide, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="vocab_size is 131; expected a whole number from 1 to 64"):
        load(folder, "a", "b")
    assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["vocab_size"] != 7
