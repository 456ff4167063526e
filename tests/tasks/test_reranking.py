"""A reranker learns what a sentence encoder knows before it learns from the data, and not from what may be relevant."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import tunesmith
from tunesmith.engine.candidates import EncodedLists
from tunesmith.engine.objective import RowObjective
from tunesmith.engine.taught import TaughtObjective
from tunesmith.engine.tokens import EncodedRows
from tunesmith.models import tiny
from tunesmith.runs.train import Run

WORDS = ["card", "parcel", "refund", "app", "order", "screen", "cable", "invoice", "password", "shop", "tyre", "lamp"]
USUAL = {"task": "reranking", "learning_rate": 3e-3, "verbose": False, "seed": 1}


def _sentence_encoder(folder: Path) -> str:
    tiny.encoder(folder)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}', encoding="utf-8")
    return str(folder)


def _rows(lengths: list[int]) -> EncodedRows:
    """Rows of tokens, each of which has the number of its row."""
    ids = np.repeat(np.arange(len(lengths)), lengths).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return EncodedRows(ids=ids, types=None, offsets=offsets, pad_token_id=99)


def _decided(run: Run) -> dict[str, object]:
    events = map(json.loads, (run.path / "events.jsonl").read_text(encoding="utf-8").splitlines())
    return {event["what"]: event["value"] for event in events if event["event"] == "decided"}


def test_pairs_of_one_kind_are_learned_in_both_orders_by_turns() -> None:
    lists = EncodedLists(
        pairs=_rows([2, 3, 4, 2, 3, 4]), answers=np.ones(3, dtype=np.int64), documents=np.array([1.0, 2, 3]),
        turned=True,
    ).with_targets(np.zeros((3, 4)), np.arange(3))  # fmt: skip
    assert lists.lengths.tolist() == [2, 3, 4]
    assert lists.inputs(np.arange(3))["input_ids"][:, 0].tolist() == [0, 1, 2]
    epochs = [lists.training_batch(np.arange(3), 5, epoch)["input_ids"][:, 0].numpy() for epoch in range(3)]
    assert all(np.array_equal(epoch % 3, np.arange(3)) for epoch in epochs)
    assert (epochs[0] != epochs[1]).all()
    assert np.array_equal(epochs[0], epochs[2])


def test_first_epochs_are_what_is_taught() -> None:
    def plain(targets: list[float]) -> RowObjective:
        rows = _rows([2] * len(targets)).with_targets(np.array(targets), np.arange(len(targets)))
        return RowObjective(rows, np.arange(len(targets)), lambda _, wanted: wanted.float(), 2, None, 0, epochs=3)

    found = TaughtObjective.of(plain([1.0, 1.0, 1.0]), [plain([10.0] * 4), plain([100.0] * 2)])
    planned = [np.sort(np.concatenate(found.plan(epoch))).tolist() for epoch in range(4)]
    assert planned == [[3, 4, 5, 6], [7, 8], [0, 1, 2], [0, 1, 2]]
    model = lambda batch: batch["input_ids"]  # noqa: E731
    losses = [sum(float(found.loss(model, batch, torch.device("cpu"))) for batch in found.plan(e)) for e in range(3)]
    assert losses == [40.0, 200.0, 3.0]
    assert found.weight(np.array([3, 4])) == 2
    assert len(found.lengths) == len(found.row_ids) == 9


@pytest.mark.story
def test_scores_of_pairs_begin_with_what_the_base_says(tmp_path: Path) -> None:
    base = _sentence_encoder(tmp_path / "base")
    rows = [
        {"sentence1": f"my {one} is here", "sentence2": f"my {other} is here", "score": 1.0 if one == other else 0.1}
        for one in WORDS for other in WORDS[:4]
    ]  # fmt: skip
    run = tunesmith.train(rows, model=base, out=tmp_path / "run", epochs=3, batch_size=16, **USUAL)
    told = _decided(run)
    assert told["symmetric"] is True
    assert told["distill_epochs"] == 1
    assert {"random", "bm25", "base"} == set(run.document["baselines"])


@pytest.mark.story
def test_documents_that_the_base_takes_for_right_are_no_wrong_ones(tmp_path: Path) -> None:
    base = _sentence_encoder(tmp_path / "base")
    rows = [{"query": f"send my {word}", "document": f"send {word} page"} for word in WORDS]
    rows += [{"query": f"mend my {word}", "document": f"my {word} is to be sent, not mended"} for word in WORDS]
    rows.append({"query": "where is my cup", "document": "send my cup"})  # beside: nearer to the first queries
    run = tunesmith.train(rows, model=base, out=tmp_path / "run", epochs=1, batch_size=8, candidates=3, **USUAL)
    told = _decided(run)
    assert told["negative_margin"] == 0.05
    assert "distill_epochs" not in told
    assert {"random", "bm25", "base"} == set(run.document["baselines"])
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "<h2>Hard negatives</h2>" in page
