"""Sequences in batches: padded or packed the losses are the same, and every learned token weighs the same."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from language_models import CONTEXT, SEQ2SEQ, network
from tunesmith.core.events import Event
from tunesmith.engine import likelihood, loop, sequences
from tunesmith.engine import self_distillation as module
from tunesmith.engine.batching import pack, plan_mixed
from tunesmith.engine.checkpoint import CheckpointStore
from tunesmith.engine.likelihood import TokenObjective, likelihoods
from tunesmith.engine.optim import ParameterGroup
from tunesmith.engine.options import EngineOptions
from tunesmith.engine.self_distillation import divergence, self_distillation
from tunesmith.engine.sequences import SequenceRows, SequenceWriter, windows
from tunesmith.engine.stop import StopRequest
from tunesmith.models.language import LanguageModel
from tunesmith.models.mask import Encoded

CPU = torch.device("cpu")
Many = Callable[..., SequenceRows]


@pytest.fixture
def rows(tmp_path: Path) -> Many:
    """`rows(lengths, learned=0.5, sources=[...])`: random sequences on disk."""

    def make(lengths: list[int], learned: float = 0.5, sources: list[int] | None = None) -> SequenceRows:
        random = np.random.default_rng(5)
        writer = SequenceWriter(tmp_path / f"{len(list(tmp_path.iterdir()))}")
        for number, length in enumerate(lengths):
            source = sources[number] if sources else 0
            marks = random.random(length) < learned
            marks[-1] = True
            marks[:source] = False
            writer.add(Encoded(random.integers(5, 260, length).astype(np.int32), marks, ()), 100 + number, source)
        return writer.close(0, pairs=sources is not None, start_token_id=2)

    return make


def losses(model: LanguageModel, rows: SequenceRows, items: list[int], packed: bool) -> np.ndarray:
    """Summed loss of each item, float64."""
    batch = rows.collate(np.array(items), packed=packed)
    with torch.no_grad():
        found, _ = model(batch)
    return np.bincount(batch["owners"].numpy(), found.double().numpy(), minlength=len(items))


# on disk


def test_what_is_written_is_read(rows: Many) -> None:
    some = rows([4, 1, 9], learned=0.0)
    assert len(some) == 3
    assert some.lengths.tolist() == [4, 1, 9]
    assert some.row_ids.tolist() == [100, 101, 102]
    # the only token of the second has nothing before it
    assert some.learned_counts.tolist() == [1, 0, 1]
    pairs = rows([6, 5], learned=1.0, sources=[4, 2])
    assert pairs.learned_counts.tolist() == [2, 3]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 60), st.integers(1, 20))
def test_windows_lose_nothing(count: int, limit: int) -> None:
    ids = np.arange(count)
    pieces = list(windows(ids, limit))
    assert all(len(piece) <= limit for piece in pieces)
    assert np.array_equal(np.concatenate([*pieces, ids[:0]]), ids)


def test_counted_tokens_are_those_that_get_a_loss(rows: Many) -> None:
    for some in (rows([5, 9, 2, 30]), rows([6, 12, 5], sources=[3, 8, 1])):
        for packed in (False, True):
            batch = some.collate(np.arange(len(some)), packed=packed)
            assert np.bincount(batch["owners"]).tolist() == some.learned_counts.tolist()
            assert len(batch["labels"]) == some.learned_counts.sum()


# packing


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=80), st.integers(60, 200))
def test_packing_takes_every_item_once_and_keeps_to_the_capacity(lengths: list[int], capacity: int) -> None:
    sizes = np.array(lengths)
    bins = pack(sizes, capacity)
    assert sorted(item for some in bins for item in some) == list(range(len(sizes)))
    filled = sorted(int(sizes[some].sum()) for some in bins)
    assert filled[-1] <= capacity
    if len(bins) > 1:  # any two bins would not fit into one: never twice as many as are needed
        assert filled[0] + filled[1] > capacity


def test_best_fit_takes_the_fullest_bin_that_has_room() -> None:
    assert pack(np.array([6, 7, 3, 4]), 10) == [[1, 2], [0, 3]]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=120),
    st.integers(1, 40),
    st.integers(1, 2000) | st.none(),
    st.integers(0, 3),
)
def test_mixed_batches_take_every_row_once_within_both_limits(
    lengths: list[int], most: int, tokens: int | None, epoch: int
) -> None:
    sizes = np.array(lengths)
    batches = plan_mixed(sizes, seed=3, epoch=epoch, rows=most, tokens=tokens)
    assert sorted(np.concatenate(batches)) == list(range(len(sizes)))
    for batch in batches:
        assert 0 < len(batch) <= most
        assert tokens is None or len(batch) == 1 or sizes[batch].sum() <= tokens
    again = plan_mixed(sizes, seed=3, epoch=epoch, rows=most, tokens=tokens)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))


def test_positions_restart_and_no_example_may_see_another(rows: Many) -> None:
    some = rows([5, 9, 3, 7])
    batch = some.collate(np.arange(4), packed=True)
    assert batch["input_ids"].shape == (1, 24)  # 24 tokens fit into one row
    places = batch["position_ids"][0]
    starts = [*np.flatnonzero(places == 0), 24]
    assert sorted(np.diff(starts)) == [3, 5, 7, 9]
    allowed = batch["attention_mask"][0, 0]
    expected = torch.zeros(24, 24, dtype=torch.bool)
    for a, b in itertools.pairwise(starts):
        assert places[a:b].tolist() == list(range(b - a))
        expected[a:b, a:b] = torch.ones(b - a, b - a).tril().bool()
    assert torch.equal(allowed, expected)


FAMILIES = {
    "llama": {}, "gpt2": {}, "gemma2": {},
    "gemma2 with a window": {"sliding_window": 8}, "mistral with a window": {"sliding_window": 8},
}  # fmt: skip


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest) -> LanguageModel:
    name = str(request.param)
    if name.startswith("mistral"):
        import transformers as hf

        words = network("llama").config.to_dict()
        torch.manual_seed(0)
        config = hf.MistralConfig(**{k: v for k, v in words.items() if k != "model_type"} | FAMILIES[name])
        return LanguageModel(hf.MistralForCausalLM(config)).eval()
    return LanguageModel(network(name.split()[0], **FAMILIES[name])).eval()


@pytest.mark.parametrize("width", [512, 40], ids=["one row", "rows of 40"])
def test_packed_losses_are_the_unpacked_ones(
    model: LanguageModel, rows: Many, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequences, "PACK_LENGTH", width)
    some = rows([5, 30, 12, 21, 3, 17, 2])
    items = [3, 0, 6, 2, 5, 1, 4]
    alone = np.concatenate([losses(model, some, [item], packed=False) for item in items])
    np.testing.assert_allclose(losses(model, some, items, packed=False), alone, atol=1e-4)
    np.testing.assert_allclose(losses(model, some, items, packed=True), alone, atol=1e-4)


def test_more_tokens_than_the_context_can_be_packed(rows: Many) -> None:
    gpt2 = LanguageModel(network("gpt2")).eval()  # has a table of 256 positions
    some = rows([CONTEXT, CONTEXT - 1, 90])
    assert some.collate(np.arange(3), packed=True)["input_ids"].shape[1] > CONTEXT
    np.testing.assert_allclose(
        losses(gpt2, some, [0, 1, 2], packed=True), losses(gpt2, some, [0, 1, 2], packed=False), rtol=1e-5
    )


def test_the_words_of_one_example_change_no_other_loss(model: LanguageModel, rows: Many) -> None:
    some = rows([5, 30, 12, 21, 3])
    before = losses(model, some, [0, 1, 2, 3, 4], packed=True)
    for item in range(5):
        start, end = some.offsets[item : item + 2]
        other = np.array(some.ids)
        other[start:end] = other[start:end][::-1] % 200 + 6
        changed = SequenceRows(other, some.learned, some.offsets, some.row_ids, 0)
        after = losses(model, changed, [0, 1, 2, 3, 4], packed=True)
        others = np.arange(5) != item
        np.testing.assert_allclose(after[others], before[others], atol=1e-5)
        assert abs(after[item] - before[item]) > 1e-4


@pytest.mark.parametrize("family", SEQ2SEQ)
def test_the_padding_of_pairs_changes_no_loss(family: str, rows: Many) -> None:
    model = LanguageModel(network(family)).eval()
    some = rows([9, 30, 14, 8], learned=1.0, sources=[5, 11, 2, 6])
    alone = np.concatenate([losses(model, some, [item], packed=False) for item in range(4)])
    np.testing.assert_allclose(losses(model, some, [0, 1, 2, 3], packed=False), alone, atol=1e-4)


def test_a_decoder_reads_the_target_one_place_later(rows: Many) -> None:
    some = rows([6, 5], learned=1.0, sources=[4, 2])
    batch = some.collate(np.array([1, 0]))
    assert batch["input_ids"].tolist() == [[*some.ids[6:8], 0, 0], some.ids[:4].tolist()]
    assert batch["attention_mask"].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    assert batch["decoder_input_ids"].tolist() == [[2, *some.ids[8:10]], [2, some.ids[4], 0]]
    assert batch["decoder_attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["labels"].tolist() == [*some.ids[8:11], *some.ids[4:6]]
    assert batch["owners"].tolist() == [0, 0, 0, 1, 1]


# likelihoods


def test_likelihoods_are_in_the_order_asked_for_however_they_are_batched(
    rows: Many, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = LanguageModel(network("llama"))
    some = rows([5, 30, 12, 21, 3, 17])
    asked = np.array([4, 1, 5, 0])
    found = likelihoods(model, some, asked, on=CPU, tokens_at_once=1000)
    expected = np.concatenate([losses(model.eval(), some, [int(item)], packed=False) for item in asked])
    np.testing.assert_allclose(found.loss, expected, rtol=1e-5)
    assert found.tokens.tolist() == some.learned_counts[asked].tolist()
    assert (found.right <= found.tokens).all()
    small = likelihoods(model, some, asked, on=CPU, tokens_at_once=1)
    np.testing.assert_allclose(small.loss, found.loss, rtol=1e-5)

    real, calls = model.forward, 0

    def short_of_memory(batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        nonlocal calls
        calls += 1
        if len(batch["input_ids"]) > 1:
            raise MemoryError
        return real(batch)

    monkeypatch.setattr(model, "forward", short_of_memory)
    halved = likelihoods(model, some, asked, on=CPU, tokens_at_once=1000)
    np.testing.assert_allclose(halved.loss, found.loss, rtol=1e-5)
    assert calls == 7  # 4, 2 + 2, four times 1


def test_measuring_leaves_training_mode_as_it_was(rows: Many) -> None:
    model = LanguageModel(network("gpt2"))
    for mode in (True, False):
        model.train(mode)
        first, again = (likelihoods(model, rows([9, 8]), np.arange(2), on=CPU, tokens_at_once=99) for _ in range(2))
        assert first.loss.tolist() == again.loss.tolist()  # without dropout
        assert model.network.training is mode


# gradient accumulation

LENGTHS = [3, 60, 5, 44, 4, 31, 8, 52]


class InOrder(TokenObjective):
    """Batches as the rows come, whatever their size, so that only the division differs."""

    def plan(self, epoch: int) -> list[np.ndarray]:
        return [np.arange(at, at + self.batch_rows) for at in range(0, len(self.positions), self.batch_rows)]


def trained(
    folder: Path, rows: SequenceRows, size: int, accumulate: int, family: str = "llama", **more: Any
) -> tuple[dict[str, Tensor], list[Event]]:
    """Three epochs of one optimizer step each: the weights after them, and the events."""
    model = LanguageModel(network(family)).eval()
    events: list[Event] = []
    words = {"packed": False, "tokens_at_once": None, **more}
    items = np.arange(len(rows))
    setup = loop.Setup(
        model=model, objective=InOrder(rows, items, size, None, 0, words["packed"]),
        evaluate=lambda: {"loss": float(likelihoods(model, rows, items, on=CPU, tokens_at_once=999).loss.sum())},
        metric="loss", higher_is_better=False, groups=[ParameterGroup(dict(model.named_parameters()), 1e-3)],
        epochs=3, precision="fp32", options=EngineOptions(batch_size=size, gradient_accumulation=accumulate),
        checkpoints=CheckpointStore(folder / "checkpoints", {}), callbacks=[], emit=events.append, stop=StopRequest(),
        seed=7, device=CPU, tokens_at_once=words["tokens_at_once"],
    )  # fmt: skip
    loop.train(setup)
    return {name: p.detach().clone() for name, p in model.named_parameters()}, events


@pytest.mark.parametrize(
    "case",
    [{"size": 4, "accumulate": 2}, {"size": 1, "accumulate": 8}, {"size": 8, "accumulate": 1, "tokens_at_once": 60},
     {"size": 4, "accumulate": 2, "packed": True}, {"size": 2, "accumulate": 4, "packed": True, "tokens_at_once": 60}],
    ids=str,
)  # fmt: skip
def test_every_learned_token_weighs_the_same_however_a_step_is_divided(
    rows: Many, tmp_path: Path, case: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequences, "PACK_LENGTH", 64)
    some = rows(LENGTHS)
    assert some.learned_counts.max() > 8 * some.learned_counts.min()
    weights, events = trained(tmp_path / "whole", some, 8, 1)
    divided, others = trained(tmp_path / "divided", some, **case)
    for name, expected in weights.items():
        torch.testing.assert_close(divided[name], expected, atol=1e-5, rtol=0, msg=name)
    steps, again = ([event for event in all_ if event.name == "step"] for all_ in (events, others))
    assert len(steps) == len(again) == 3
    for one, other in zip(steps, again, strict=True):
        assert one.loss == pytest.approx(other.loss, abs=1e-5)
        assert one.gradient_norm == pytest.approx(other.gradient_norm, abs=1e-4)


def test_the_loss_of_a_step_is_the_mean_over_all_its_learned_tokens(rows: Many, tmp_path: Path) -> None:
    some = rows(LENGTHS)
    model = LanguageModel(network("llama")).eval()
    found = likelihoods(model, some, np.arange(8), on=CPU, tokens_at_once=999)
    _, events = trained(tmp_path, some, 1, 8)
    first = next(event for event in events if event.name == "step")
    assert first.loss == pytest.approx(found.loss.sum() / found.tokens.sum(), abs=1e-5)


def test_an_objective_counts_what_is_computed(rows: Many) -> None:
    some = rows(LENGTHS)
    items = np.array([0, 1, 4])
    objective = TokenObjective(some, np.array([7, 6, 5, 4, 3]), 2, None, 0)
    assert objective.lengths.tolist() == [52, 8, 31, 4, 44]
    assert objective.row_ids.tolist() == [107, 106, 105, 104, 103]
    assert objective.tokens(items) == 3 * 52
    assert objective.weight(items) == some.learned_counts[[7, 6, 3]].sum()
    assert likelihood.TokenObjective(some, objective.positions, 2, None, 0, packed=True).tokens(items) == 52 + 8 + 44
    model = LanguageModel(network("llama")).eval()
    expected = losses(model, some, [7, 6, 3], packed=False).sum()
    value = objective.loss(model, items, CPU).detach()
    assert float(value) == pytest.approx(expected, rel=1e-5)


def test_rows_that_count_alike_do_so_however_they_are_divided(rows: Many) -> None:
    some = rows(LENGTHS)
    objective = TokenObjective(some, np.arange(8), 2, None, 0, by_item=True)
    model = LanguageModel(network("llama")).eval()
    found = likelihoods(model, some, np.arange(8), on=CPU, tokens_at_once=999)
    parts = [np.array([0, 1, 2]), np.array([3, 4]), np.array([5, 6, 7])]
    values = [float(objective.loss(model, items, CPU).detach()) for items in parts]
    assert sum(values) == pytest.approx((found.loss / found.tokens).sum(), rel=1e-5)
    assert objective.weight(parts[0]) == 3


# held texts


@pytest.mark.parametrize("family", ["llama", "gemma2", "t5"])
def test_held_texts_cost_nothing_until_the_model_changes(rows: Many, family: str) -> None:
    sources = [length // 2 for length in LENGTHS] if family in SEQ2SEQ else None
    some, model = rows(LENGTHS, sources=sources), LanguageModel(network(family)).eval()
    held = self_distillation(model, TokenObjective(some, np.arange(8), 2, None, 0), 2.0, CPU)
    items = np.array([3, 0, 6])
    assert held.loss(model, items, CPU).item() == pytest.approx(0, abs=1e-4)
    before = model.log_probabilities(some.collate(items))
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    now = model.log_probabilities(some.collate(items))
    whole = float((before.exp() * (before - now)).sum())
    loss = held.loss(model, items, CPU)
    assert 0 < loss.item() <= 2 * whole + 1e-4
    loss.backward()
    assert any(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_the_divergence_of_all_words_is_that_of_kullback_and_leibler() -> None:
    torch.manual_seed(0)
    before, now = torch.randn(2, 5, 20).log_softmax(-1)
    expected = (before.exp() * (before - now)).sum(-1)
    torch.testing.assert_close(divergence(before, now), expected, atol=1e-4, rtol=1e-4)
    best = before.topk(6).indices
    some = divergence(before.gather(1, best), now.gather(1, best))
    assert (some >= 0).all()
    assert (some <= expected + 1e-5).all()


def test_no_more_texts_are_held_than_are_affordable(rows: Many, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TOKENS", 70)
    held = self_distillation(
        LanguageModel(network("llama")), TokenObjective(rows(LENGTHS), np.arange(8), 2, None, 0), 1.0, CPU
    )
    assert held.lengths.tolist() == LENGTHS[:3]
