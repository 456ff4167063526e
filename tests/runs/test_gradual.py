"""Progressive unfreezing: what has thawed when, what never moves, and what the cache of frozen blocks changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import tunesmith
from tunesmith.core import registry
from tunesmith.engine.tokens import EncodedRows
from tunesmith.models.blocks import depths
from tunesmith.models.load import Bundle, load_text_base
from tunesmith.models.text import TextModel
from tunesmith.workflows import pipeline

Train = Callable[..., tunesmith.Run]


@pytest.fixture
def bundle(tiny_model: Path) -> Bundle:
    torch.manual_seed(0)
    return load_text_base(
        str(tiny_model), label_names=["no", "yes"], problem_type="single_label_classification", dropout=0.0
    )


def make(**words: Any) -> Any:
    plugin = registry.get("methods", "gradual")
    return plugin(plugin.Options(**words))


def weights(run: tunesmith.Run) -> dict[str, torch.Tensor]:
    return load_file(run.folder.model / "model.safetensors")


def test_it_thaws_from_the_head_down(bundle: Bundle) -> None:
    method = make(stages=3, kept_share=0.0)
    method.prepare(bundle, 0)
    depth_of, top = depths(bundle.model)
    groups = method.groups(bundle, 1e-3)
    assert [group.learning_rate for group in groups] == pytest.approx([1e-3 / 2.6**2, 1e-3 / 2.6, 1e-3, 1e-3])
    seen = []
    for epoch in (0, 1, 2, 3, 1):  # the last: a rollback
        method.on_epoch(epoch, bundle)
        seen.append(min(depth_of[name] for name, p in bundle.model.named_parameters() if p.requires_grad))
    assert seen == [top, 1, 0, 0, 1]
    assert not method.on_epoch(1, bundle)


def test_only_what_has_thawed_moves(train: Train, ticket_file: Path, tiny_model: Path) -> None:
    words = {"stages": 4, "kept_share": 0.0, "learning_rate": 1e-2}
    run = train(ticket_file, method="gradual", **words)  # two epochs: the head, then the upper block
    before, after = load_file(tiny_model / "model.safetensors"), weights(run)
    moved = {n for n in before if not n.startswith("pooler") and not torch.equal(before[n], after[f"bert.{n}"])}
    assert moved
    assert all(name.startswith("encoder.layer.1.") for name in moved)


HALF = {"method": "gradual", "stages": 2, "kept_share": 0.5, "epochs": 4, "patience": 9, "learning_rate": 1e-3}


def test_the_cache_changes_no_answer_and_no_weight_beyond_rounding(
    train: Train, ticket_file: Path, records: Any
) -> None:
    """Not to the bit: a product rounds by what else is in its batch, and the cache is written in other batches than
    those that train."""
    runs = [train(ticket_file, out=f"run-{used}", frozen_cache=used, **HALF) for used in (True, False)]
    for run, used in zip(runs, (True, False), strict=True):
        decided = [event["value"] for event in records(run, "decided") if event["what"] == "frozen_cache"]
        assert decided == [used]
    cached, plain = (weights(run) for run in runs)
    for name, tensor in cached.items():
        torch.testing.assert_close(tensor, plain[name], atol=1e-5, rtol=1e-5)
    texts = ["where is my card?", "thanks", "the order is lost"]
    assert runs[0].model.predict(texts)[0]["label"] == runs[1].model.predict(texts)[0]["label"]


def test_given_the_same_states_the_cache_changes_no_bit(
    train: Train, ticket_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What frozen blocks give is computed row by row here, so that no company rounds it differently: once for the
    cache, and once anew in every batch of the training. The weights end the same to the bit."""
    real, models = TextModel.bottom, []

    @torch.no_grad()
    def row_by_row(self: TextModel, batch: dict[str, torch.Tensor], blocks: int) -> torch.Tensor:
        lengths = batch["attention_mask"].sum(1).tolist()
        states = torch.zeros(len(lengths), max(lengths), self.config.hidden_size)
        for i, length in enumerate(lengths):
            row = {name: batch[name][i : i + 1, :length] for name in ("input_ids", "attention_mask")}
            states[i, :length] = real(self, row, blocks)[0]
        return states

    monkeypatch.setattr(TextModel, "bottom", row_by_row)
    cached = train(ticket_file, out="cached", **HALF)

    written, tokens = pipeline.frozen_bottom, EncodedRows._tokens

    def anew(self: EncodedRows, positions: Any) -> dict[str, torch.Tensor]:
        batch = tokens(replace(self, hidden=None), positions)
        return {**batch, "hidden": row_by_row(models[0], batch, 1), "blocks": torch.tensor(1)}

    def not_read(model: Any, *arguments: Any, **named: Any) -> Any:
        found = written(model, *arguments, **named)
        models.append(model)
        monkeypatch.setattr(EncodedRows, "_tokens", anew)
        return found

    monkeypatch.setattr(pipeline, "frozen_bottom", not_read)
    plain = train(ticket_file, out="plain", **HALF)
    assert len(models) == 1
    ours, theirs = weights(cached), weights(plain)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
