"""Progressive unfreezing: what is unfrozen when, what never moves, and what the cache of frozen blocks changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import tunesmith
from tiers import repeats
from tunesmith.core import registry
from tunesmith.core.run import RunFolder
from tunesmith.engine import loop
from tunesmith.engine.tokens import HiddenStates
from tunesmith.families.predictive import frozen_prefix
from tunesmith.models import blocks
from tunesmith.models.blocks import depths
from tunesmith.models.bundle import Bundle
from tunesmith.models.loaders.encoder import load_text_base
from tunesmith.models.text import TextModel

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


def test_it_unfreezes_from_the_head_down(bundle: Bundle) -> None:
    method = make(stages=3, frozen_share=0.0)
    method.prepare(bundle, 0)
    depth_of, top = depths(bundle.model)
    groups = method.groups(bundle, 1e-3)
    assert [group.learning_rate for group in groups] == pytest.approx([1e-3 / 2.6**2, 1e-3 / 2.6, 1e-3, 1e-3])
    seen = []
    for epoch in (0, 1, 2, 3, 1):  # the last: a rollback
        stage = method.stage(epoch, max(0, epoch - 1), False)
        last = method.on_stage(stage, bundle)
        assert last == (epoch >= 2)
        seen.append(min(depth_of[name] for name, p in bundle.model.named_parameters() if p.requires_grad))
    assert seen == [top, 1, 0, 0, 1]


@pytest.mark.parametrize(("freeze", "seen"), [("head", [2, 1, 0]), ("head,layers.1", [1, 1, 0])])
def test_it_unfreezes_from_the_highest_part_that_is_not_frozen(
    freeze: str, seen: list[int], bundle: Bundle, train: Train, ticket_file: Path
) -> None:
    blocks.freeze(bundle.model, [freeze])
    method = make(stages=3, frozen_share=0.0)
    assert [method._lowest_moving(epoch, bundle) for epoch in range(3)] == seen
    method.prepare(bundle, 0)
    assert [method._lowest_moving(epoch, bundle) for epoch in range(3)] == seen
    train(ticket_file, method="gradual", stages=3, frozen_share=0.0, freeze=[freeze])


def test_only_what_is_unfrozen_moves(train: Train, ticket_file: Path, tiny_model: Path) -> None:
    words = {"stages": 4, "frozen_share": 0.0, "learning_rate": 3e-3, "seed": 2}
    run = train(ticket_file, method="gradual", **words)  # two epochs: the head, then the upper block
    before, after = load_file(tiny_model / "model.safetensors"), weights(run)
    moved = {n for n in before if not n.startswith("pooler") and not torch.equal(before[n], after[f"bert.{n}"])}
    assert moved
    assert all(name.startswith("encoder.layer.1.") for name in moved)


def test_the_next_stage_waits_until_validation_stalls() -> None:
    method = make(stages=3, unfreeze="stall")
    assert [method.stage(*now) for now in ((0, 0, True), (1, 0, False), (2, 0, True), (3, 1, False))] == [0, 0, 1, 1]
    assert method.stage(9, 2, True) == 2


def test_patience_begins_when_all_has_lowest_moving(
    train: Train, ticket_file: Path, records: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    better = iter([True, True, False, False, True, False])  # before the first epoch, and after each
    monkeypatch.setattr(loop._Engine, "_is_better", lambda *_: next(better))
    words = {"stages": 3, "frozen_share": 0.0, "unfreeze": "stall", "patience": 1, "epochs": 9, "seed": 2}
    run = train(ticket_file, method="gradual", **words)
    said = [event for event in records(run, "decided") if event["what"] == "stage"]
    assert [event["value"] for event in said] == [1, 2]
    assert [event["why"].split(" is over")[0] for event in said] == ["epoch 2 of 9", "epoch 3 of 9"]
    assert all("has not improved" in event["why"] for event in said)
    assert len(list(records(run, "evaluated"))) == 6


HALF = {"method": "gradual", "stages": 2, "frozen_share": 0.5, "epochs": 4, "patience": 9, "learning_rate": 1e-3}


@pytest.mark.story
@pytest.mark.parametrize(("stages", "dropout"), repeats([(2, 0.1), (1, 0.0), (2, 0.0)]))
def test_the_cache_changes_no_bit(train: Train, ticket_file: Path, records: Any, stages: int, dropout: float) -> None:
    words = {**HALF, "stages": stages, "dropout": dropout}
    runs = [train(ticket_file, out=f"run-{used}", frozen_cache=used, **words) for used in (True, False)]
    for run, used in zip(runs, (True, False), strict=True):
        decided = [event["value"] for event in records(run, "decided") if event["what"] == "frozen_cache"]
        assert decided == [used]
    cached, plain = (weights(run) for run in runs)
    assert all(torch.equal(cached[name], plain[name]) for name in cached)
    losses = [[event["loss"] for event in records(run, "step")] for run in runs]
    assert losses[0] == losses[1]


def test_states_are_read_in_every_stage(train: Train, ticket_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two blocks, the upper of which is unfrozen in the third epoch: states after both, then after the lower one."""
    read, ran = [], []
    of_file, blocks = HiddenStates.read, TextModel._blocks

    def reading(self: HiddenStates, starts: Any, lengths: Any) -> dict[str, torch.Tensor]:
        read.append(self.blocks)
        return of_file(self, starts, lengths)

    def running(self: TextModel, hidden: torch.Tensor, mask: torch.Tensor, start: int, end: int | None) -> torch.Tensor:
        ran.append((start, end))
        return blocks(self, hidden, mask, start, end)

    monkeypatch.setattr(HiddenStates, "read", reading)
    monkeypatch.setattr(TextModel, "_blocks", running)
    train(ticket_file, **{**HALF, "stages": 3})
    assert list(dict.fromkeys(read)) == [1, 2]  # the first look at validation rows is before any stage
    steps = [blocks for blocks, before in zip(read[1:], read, strict=False) if blocks != before]
    assert steps == [2, 1]
    assert (0, 2) not in ran


def test_where_the_disk_has_no_room_the_lowest_states_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = []
    folder = RunFolder(tmp_path)
    prefix = frozen_prefix.FrozenPrefix([6, 5, 4, 4, 3, 2], 2)

    def kept(megabytes: int, asked: bool | None = None, plan: frozen_prefix.FrozenPrefix = prefix) -> list[int]:
        monkeypatch.setattr(frozen_prefix, "CACHE_BYTES", megabytes * 1_000_000)
        return frozen_prefix.cache_depths(plan, 1_000, 1_000, asked, folder, said.append)

    assert kept(100) == [2, 3, 4, 5]  # after all six: read once, at the price of being computed once
    assert kept(2) == [2, 3]
    assert "no room for 2 more" in said[-1].why
    assert kept(0) == []
    assert kept(0, asked=True) == [2, 3, 4, 5]
    assert kept(100, asked=False) == []
    assert kept(100, plan=frozen_prefix.FrozenPrefix([2, 2, 2], 2)) == [2]
    assert kept(100, plan=frozen_prefix.FrozenPrefix([1, 0], 0)) == [1]
    assert kept(100, plan=frozen_prefix.FrozenPrefix([0], 0)) == []
