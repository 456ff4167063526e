"""Rows compared with each other: the loss, batches of classes, names of labels as rows, whole runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import tunesmith
from tunesmith.engine.contrastive import (
    Comparison,
    ContrastiveObjective,
    alike,
    contrast,
    encode_names,
    label_words,
    names_mean,
)  # fmt: skip
from tunesmith.engine.objective import RowObjective
from tunesmith.engine.tokens import EncodedRows
from tunesmith.families.predictive import linear_head
from tunesmith.models.bundle import Bundle
from tunesmith.models.loaders.encoder import load_text_base
from tunesmith.runs.choose import epochs_of

CPU = torch.device("cpu")
TEXTS = [
    "the card is broken", "my card", "card", "the order was late", "my order", "the order", "thanks, it works",
    "thanks", "where is my order? it was late and i am angry", "thanks again",
]  # fmt: skip
CLASSES = np.array([0, 0, 0, 1, 1, 1, 2, 2, 1, 2])
NAMES = ["broken_card", "order", "thanks"]


def encoded(bundle: Bundle, texts: list[str], targets: np.ndarray) -> EncodedRows:
    ids = [np.asarray(one, dtype=np.int32) for one in bundle.tokenizer(texts)["input_ids"]]
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in ids])]).astype(np.int64)
    rows = EncodedRows(np.concatenate(ids), None, offsets, bundle.tokenizer.pad_token_id)
    return rows.with_targets(targets, np.arange(100, 100 + len(texts)))


@pytest.fixture
def bundle(tiny_model: Path) -> Bundle:
    torch.manual_seed(0)
    found = load_text_base(str(tiny_model), label_names=NAMES, problem_type="single_label_classification", dropout=0.0)
    found.model.eval()
    return found


def row_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(logits, targets, reduction="none")


def plain(bundle: Bundle, targets: np.ndarray = CLASSES, batch: int = 4, tokens: int | None = None) -> RowObjective:
    return RowObjective(encoded(bundle, TEXTS, targets), np.arange(len(TEXTS)), row_loss, batch, tokens, 0)


def objective(bundle: Bundle, *, named: bool = False, weight: float = 1.0, **words: Any) -> ContrastiveObjective:
    inner = plain(bundle, **words)
    names = encode_names(NAMES, bundle.tokenizer, inner.rows) if named else None
    return ContrastiveObjective(inner, names, Comparison(rows_per_class=2, temperature=0.1, weight=weight))


# the loss


def test_the_loss_is_that_of_the_paper() -> None:
    torch.manual_seed(1)
    features, classes = torch.randn(6, 4), torch.tensor([0, 0, 1, 1, 1, 2])
    normal = (features / features.norm(dim=1, keepdim=True)).tolist()
    found = contrast(features, alike(classes), 0.5)
    for i in range(6):
        similar = [math.exp(sum(a * b for a, b in zip(normal[i], normal[j], strict=True)) / 0.5) for j in range(6)]
        others = sum(similar) - similar[i]
        same = [j for j in range(6) if j != i and classes[j] == classes[i]]
        expected = -sum(math.log(similar[j] / others) for j in same) / max(1, len(same))
        assert float(found[i]) == pytest.approx(expected, abs=1e-5), i


def test_sets_of_labels_are_alike_by_their_share_in_common() -> None:
    sets = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
    expected = torch.zeros(5, 5)
    expected[0, 1] = expected[1, 0] = expected[1, 4] = expected[4, 1] = 0.5
    expected[0, 4] = expected[4, 0] = 1
    torch.testing.assert_close(alike(sets), expected)


def test_a_row_alone_has_no_loss_and_gradients_that_are_numbers() -> None:
    features = torch.randn(1, 4, requires_grad=True)
    loss = contrast(features, alike(torch.tensor([0])), 0.1).sum()
    loss.backward()
    assert float(loss.detach()) == 0
    assert features.grad is not None
    assert not features.grad.any()


# the objective


@pytest.mark.parametrize("named", [False, True])
def test_an_epoch_has_every_item_once_in_groups_of_a_class(bundle: Bundle, named: bool) -> None:
    found = objective(bundle, named=named)
    count = 13 if named else 10
    targets = np.concatenate([CLASSES, [0, 1, 2]])
    for epoch in range(5):
        batches = found.plan(epoch)
        assert sorted(np.concatenate(batches)) == list(range(count))
        assert max(map(len, batches)) <= 4 + 1  # a group is never cut
        alone = sum(int((targets[batch] == targets[item]).sum() == 1) for batch in batches for item in batch)
        assert alone <= 3  # of each class at most the odd one
        again = found.plan(epoch)
        assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))
    assert not np.array_equal(np.concatenate(found.plan(0)), np.concatenate(found.plan(1)))


def test_long_rows_make_smaller_batches(bundle: Bundle) -> None:
    longest = int(objective(bundle).lengths.max())
    assert max(map(len, objective(bundle, tokens=2 * longest).plan(0))) <= 2 + 1


def test_computing_in_parts_of_like_length_changes_nothing(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    found, items = objective(bundle), np.array([8, 2, 5, 0, 7])
    whole = found.loss(bundle.model, items, CPU)
    monkeypatch.setattr("tunesmith.engine.contrastive._CHUNK", 2)
    torch.testing.assert_close(found.loss(bundle.model, items, CPU), whole)
    assert found.tokens(items) < len(items) * int(found.lengths[items].max())


def test_without_weight_the_loss_is_the_plain_one(bundle: Bundle) -> None:
    items = np.arange(10)
    expected = plain(bundle).loss(bundle.model, items, CPU)
    torch.testing.assert_close(objective(bundle, weight=0.0).loss(bundle.model, items, CPU), expected)
    assert float(objective(bundle).loss(bundle.model, items, CPU).detach()) > float(expected.detach()) + 0.1


def test_names_are_rows_of_their_class(bundle: Bundle) -> None:
    found = objective(bundle, named=True, weight=0.0)
    assert list(found.row_ids[-3:]) == [-1, -1, -1]
    batch = dict(bundle.tokenizer(["broken card", "order", "thanks"], padding=True, return_tensors="pt"))
    expected = row_loss(bundle.model(batch), torch.tensor([0, 1, 2]))
    for number in range(3):
        torch.testing.assert_close(found.loss(bundle.model, np.array([10 + number]), CPU), expected[number])
    sets = encode_names(NAMES, bundle.tokenizer, encoded(bundle, TEXTS, np.zeros((10, 3), dtype=np.float32)))
    np.testing.assert_array_equal(sets.targets, np.eye(3, dtype=np.float32))


def test_names_are_spelled_as_words() -> None:
    assert [label_words(name) for name in ("card_arrival", "lostCard", "top-up.failed", "Refund", "USA", "__")] == [
        "card arrival", "lost card", "top up failed", "refund", "usa", "__",
    ]  # fmt: skip


def test_names_that_are_like_their_rows_mean_something(bundle: Bundle) -> None:
    texts = ["broken card", "order", "thanks"] * 2
    inner = RowObjective(encoded(bundle, texts, np.array([0, 1, 2] * 2)), np.arange(6), row_loss, 4, None, 0)
    named = encode_names(NAMES, bundle.tokenizer, inner.rows)
    assert names_mean(bundle.model, inner, named, CPU) == (1.0, pytest.approx(1 / 3))
    inner.rows.targets = np.array([1, 2, 0] * 2)
    assert names_mean(bundle.model, inner, named, CPU)[0] == 0.0


# whole runs


def test_a_run_moves_the_upper_blocks_and_says_what_it_did(
    train: Callable[..., tunesmith.Run], ticket_file: Path, records: Any, tiny_model: Path
) -> None:
    run = train(ticket_file, method="contrastive", epochs=4, learning_rate=3e-3, learn_names=True)
    said = {event["what"]: event for event in records(run, "decided")}
    assert (said["learn_names"]["value"], said["learn_names"]["why"]) == (True, "asked for")
    assert said["batch_size"]["value"] == 64
    assert said["kept_weights"]["value"] == "the last weights"
    assert run.folder.load_spec().callbacks == ["tensorboard"]  # early stopping could not stop it
    before = load_file(tiny_model / "model.safetensors")
    after = load_file(run.folder.model / "model.safetensors")
    moved = {
        name for name in before if f"bert.{name}" in after and not torch.equal(before[name], after[f"bert.{name}"])
    }
    assert moved
    assert all(name.startswith("encoder.layer.1.") for name in moved - {"pooler.dense.weight", "pooler.dense.bias"})
    found = [event["metrics"]["loss"] for event in records(run, "evaluated")]
    assert min(found) < found[0]


def test_names_are_asked_for_their_meaning(
    train: Callable[..., tunesmith.Run], ticket_file: Path, records: Any
) -> None:
    run = train(ticket_file, method="contrastive", epochs=1)
    said = next(event for event in records(run, "decided") if event["what"] == "learn_names")
    assert "guessing gets" in said["why"]


@pytest.mark.story
def test_an_unfinished_run_ends_where_a_whole_one_does(
    train: Callable[..., tunesmith.Run], ticket_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunesmith.core.errors import TunesmithError
    from tunesmith.engine import loop

    words = {"method": "contrastive", "epochs": 4, "batch_size": 8, "save_steps": 1, "callbacks": []}
    whole = train(ticket_file, out="whole", **words)
    step = loop._Engine.step

    def stopping(engine: Any, state: Any, batches: Any) -> None:
        if state.step == 7:
            raise KeyboardInterrupt
        step(engine, state, batches)

    with monkeypatch.context() as patch:
        patch.setattr(loop._Engine, "step", stopping)
        with pytest.raises((KeyboardInterrupt, TunesmithError)):
            train(ticket_file, out="cut", **words)
    resumed = tunesmith.resume("cut")
    left, right = (load_file(run.folder.model / "model.safetensors") for run in (whole, resumed))
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_the_head_is_fitted_to_what_the_body_has_become(
    train: Callable[..., tunesmith.Run], ticket_file: Path, records: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []

    def kept(*arguments: Any) -> Any:
        found.append(solution(*arguments))
        return found[-1]

    solution = linear_head.solution
    monkeypatch.setattr(linear_head, "solution", kept)
    run = train(ticket_file, method="contrastive", epochs=3, learning_rate=3e-3)
    saved = load_file(run.folder.model / "model.safetensors")["classifier.weight"]
    assert torch.allclose(saved / saved.norm(), found[-1].weight / found[-1].weight.norm(), atol=1e-6)
    evaluated = records(run, "evaluated")
    assert len(found) == len(evaluated) + 2  # the baseline, every look at validation rows, and the end
    assert not torch.equal(found[0].weight, found[-1].weight)
    assert all(event["best"] for event in evaluated)


@pytest.mark.parametrize(("rows", "epochs"), [(10, 24), (64, 24), (65, 12), (1_000, 6), (None, 6)])
def test_few_rows_are_seen_more_often(rows: int | None, epochs: int) -> None:
    assert epochs_of("contrastive", rows) == epochs
