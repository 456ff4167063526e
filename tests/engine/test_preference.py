"""DPO, IPO and KTO: the losses of TRL on the same rows and models, and what each of them does to a policy."""

from __future__ import annotations

import copy
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from language_models import network
from tunesmith.engine.likelihood import Likelihoods, likelihoods
from tunesmith.engine.preference import FeedbackObjective, PairObjective, dpo_loss, kto_loss
from tunesmith.engine.sequences import SequenceRows, SequenceWriter
from tunesmith.models.language import LanguageModel
from tunesmith.models.mask import Encoded

CPU = torch.device("cpu")
GOOD = np.array([True, False, False, True, False, False])


@dataclass
class Judged:
    """Six items of two sequences each, a reference model, and a policy some way off."""

    rows: SequenceRows
    base: Any
    policy: Any
    reference: Likelihoods


@pytest.fixture
def judged(tmp_path: Path) -> Judged:
    random = np.random.default_rng(2)
    writer = SequenceWriter(tmp_path / "tokens")
    for item in range(6):
        prompt = random.integers(5, 260, random.integers(2, 9))
        for _ in range(2):
            answer = random.integers(5, 260, random.integers(1, 14))
            ids = np.concatenate([prompt, answer]).astype(np.int32)
            writer.add(Encoded(ids, np.arange(len(ids)) >= len(prompt), ()), 100 + item)
    rows = writer.close(0)
    base = network("llama").eval()
    policy = copy.deepcopy(base)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return Judged(rows, base, policy, likelihoods(LanguageModel(base), rows, np.arange(12), on=CPU, tokens_at_once=99))


# TRL


def padded(rows: SequenceRows, which: np.ndarray, prefix: str = "") -> dict[str, Tensor]:
    """Sequences in the form of TRL's collators."""
    wide = int(rows.lengths[which].max())
    found = {name: torch.zeros(len(which), wide, dtype=torch.int64)
             for name in ("input_ids", "attention_mask", "completion_mask")}  # fmt: skip
    for line, number in enumerate(which):
        a, b = rows.offsets[number : number + 2]
        found["input_ids"][line, : b - a] = torch.from_numpy(np.array(rows.ids[a:b])).long()
        found["attention_mask"][line, : b - a] = 1
        found["completion_mask"][line, : b - a] = torch.from_numpy(np.array(rows.learned[a:b])).long()
    return {prefix + name: tensor for name, tensor in found.items()}


def trainer(kind: str, judged: Judged, **settings: Any) -> Any:
    """One of TRL's trainers with what its loss reads, and its own way to log-probabilities in both models."""
    from accelerate import Accelerator
    from trl import DPOTrainer
    from trl.trainer.kto_trainer import KTOTrainer
    from trl.trainer.utils import add_fused_lm_head

    made: Any = object.__new__({"dpo": DPOTrainer, "kto": KTOTrainer}[kind])
    outputs = ("log_probs", "entropy", "mean_logits", "is_top1")
    made.model, made.ref_model = copy.deepcopy(judged.policy), copy.deepcopy(judged.base)
    for model in (made.model, made.ref_model):
        add_fused_lm_head(model, outputs=outputs)
    made.accelerator, made._metrics = Accelerator(cpu=True), {"train": defaultdict(list), "eval": defaultdict(list)}
    made.args = type("Arguments", (), {"gradient_checkpointing_kwargs": None})()
    shared = {"ld_alpha": None, "precompute_ref_logps": False, "aux_loss_enabled": False, "use_weighting": False,
              "f_divergence_type": "reverse_kl", "label_smoothing": 0.0, "calculate_KL": True,
              "_total_train_tokens": 0}  # fmt: skip
    for name, value in {**shared, **settings}.items():
        setattr(made, name, value)
    return made


def gradients(model: Any, loss: Tensor) -> list[Tensor]:
    model.zero_grad()
    loss.backward()
    return [parameter.grad.clone() for parameter in model.parameters()]


def compare(judged: Judged, theirs: Any, inputs: dict[str, Tensor], objective: Any, items: np.ndarray) -> None:
    """Loss and gradients, the objective's being sums over items and TRL's means."""
    expected = theirs._compute_loss(theirs.model, inputs, False)
    loss = objective.loss(LanguageModel(judged.policy), items, CPU) / objective.weight(items)
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
    for found, gradient in zip(gradients(judged.policy, loss), gradients(theirs.model, expected), strict=True):
        torch.testing.assert_close(found, gradient, atol=1e-5, rtol=1e-3)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize("beta", [0.1, 0.7])
@pytest.mark.parametrize("kind", ["sigmoid", "ipo"])
def test_losses_on_pairs_are_those_of_trl(judged: Judged, kind: Any, beta: float) -> None:
    items = np.array([4, 0, 3, 5])
    theirs = trainer("dpo", judged, beta=beta, loss_types=[kind], loss_weights=[1.0])
    objective = PairObjective(judged.rows, np.arange(6), judged.reference, 4, None, 0, beta, kind=kind)
    compare(judged, theirs, padded(judged.rows, np.r_[2 * items, 2 * items + 1]), objective, items)


@pytest.mark.parametrize("shift", [-3.0, 0.0, 3.0], ids=["moved away", "as it is", "moved towards"])
def test_the_loss_on_judged_answers_is_that_of_trl(judged: Judged, shift: float) -> None:
    items = np.array([0, 2, 3, 5])
    beta = 0.3
    # two good answers to four bad ones: the good ones weigh twice as much
    theirs = trainer("kto", judged, beta=beta, loss_type="kto", desirable_weight=2.0, undesirable_weight=1.0)
    theirs.precompute_ref_logps = True
    reference = judged.reference.loss.copy()
    reference[1::2] += shift  # the estimate of how far the policy moved is above zero, below it, or near
    inputs = padded(judged.rows, 2 * items) | padded(judged.rows, 2 * items + 1, "KL_")
    inputs |= {"label": torch.from_numpy(GOOD[items]), "ref_logps": torch.tensor(-reference[2 * items]).float(),
               "ref_KL_logps": torch.tensor(-reference[2 * items + 1]).float()}  # fmt: skip
    found = Likelihoods(reference, judged.reference.tokens, judged.reference.right)
    objective = FeedbackObjective(judged.rows, np.arange(6), found, 4, None, 0, beta, good=GOOD)
    compare(judged, theirs, inputs, objective, items)
    assert (theirs._metrics["eval"]["kl"][-1] > 0.1) is (shift > 0)


# what the losses mean


def test_at_the_reference_every_loss_has_its_known_value(judged: Judged) -> None:
    model, items = LanguageModel(judged.base), np.arange(6)
    words: tuple[Any, ...] = (judged.rows, items, judged.reference, 6, None, 0, 0.1)
    with torch.no_grad():
        sigmoid = PairObjective(*words, kind="sigmoid").loss(model, items, CPU)
        ipo = PairObjective(*words, kind="ipo").loss(model, items, CPU)
        kto = FeedbackObjective(*words, good=GOOD).loss(model, items, CPU)
    assert float(sigmoid) == pytest.approx(6 * np.log(2), abs=1e-4)
    assert float(ipo) == pytest.approx(6 * 25, abs=1e-2)  # (1 / (2 * 0.1)) squared
    assert float(kto) == pytest.approx((2 * 2 + 4) * 0.5, abs=1e-4)


finite = st.floats(-30, 30, allow_nan=False, width=32)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=5), st.floats(0.01, 2))
def test_a_wider_margin_never_raises_the_loss_of_a_pair(ratios: list[tuple[float, float]], beta: float) -> None:
    chosen, rejected = (torch.tensor(side, dtype=torch.float64) for side in zip(*ratios, strict=True))
    lengths = torch.ones(2, len(ratios))
    before = dpo_loss(chosen, rejected, beta=beta, kind="sigmoid", lengths=lengths)
    after = dpo_loss(chosen + 0.5, rejected - 0.5, beta=beta, kind="sigmoid", lengths=lengths)
    assert (after <= before).all()
    assert (before >= 0).all()
    wanted = rejected + 1 / (2 * beta)  # where IPO's loss ends
    assert dpo_loss(wanted, rejected, beta=beta, kind="ipo", lengths=lengths).abs().max() < 1e-18


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(finite, finite, st.booleans()), min_size=1, max_size=8), st.floats(0.01, 2))
def test_good_answers_are_pulled_up_and_bad_ones_down(answers: list[tuple[float, float, bool]], beta: float) -> None:
    ratios, mismatched, good = zip(*answers, strict=True)
    moving = torch.tensor(ratios, dtype=torch.float64, requires_grad=True)
    others = torch.tensor(mismatched, dtype=torch.float64, requires_grad=True)
    losses = kto_loss(moving, torch.tensor(good), others, beta=beta)
    assert ((losses >= 0) & (losses <= 1)).all()
    losses.sum().backward()
    assert others.grad is None  # how far the policy moved is no target
    assert moving.grad is not None
    assert (torch.where(torch.tensor(good), -moving.grad, moving.grad) >= 0).all()


def test_both_judgements_weigh_the_same_together(judged: Judged) -> None:
    some = np.array([5, 1, 0, 3, 2])  # two good answers, three bad ones
    objective = FeedbackObjective(judged.rows, some, judged.reference, 2, None, 0, 0.1, good=GOOD)
    weights = objective._weights
    assert weights[GOOD[some]].sum() == pytest.approx(weights[~GOOD[some]].sum())
    assert weights.min() == 1
    all_good = FeedbackObjective(judged.rows, np.array([0, 3]), judged.reference, 2, None, 0, 0.1, good=GOOD)
    assert all_good._weights.tolist() == [1, 1]


def test_batches_take_every_item_once_and_name_its_row(judged: Judged) -> None:
    some = np.array([5, 1, 4])
    objective = PairObjective(judged.rows, some, judged.reference, 2, None, 0, 0.1)
    assert objective.row_ids.tolist() == [105, 101, 104]
    assert objective.lengths.tolist() == [int(judged.rows.lengths[2 * i : 2 * i + 2].sum()) for i in some]
    for epoch in range(2):
        assert sorted(np.concatenate(objective.plan(epoch))) == [0, 1, 2]
    whole = PairObjective(judged.rows, np.arange(6), judged.reference, 2, None, 0, 0.1)
    model = LanguageModel(judged.policy)
    with torch.no_grad():  # item 1 of the objective is item 1 of all, item 0 is item 5
        assert float(objective.loss(model, np.array([0, 1]), CPU)) == pytest.approx(
            float(whole.loss(model, np.array([1, 5]), CPU)), rel=1e-5
        )
        parts = [float(whole.loss(model, np.array(part), CPU)) for part in ([0, 1, 2], [3], [4, 5])]
        assert sum(parts) == pytest.approx(float(whole.loss(model, np.arange(6), CPU)), rel=1e-5)


@pytest.mark.parametrize("kind", ["sigmoid", "ipo", "kto"])
def test_training_does_what_the_judgement_asks(judged: Judged, kind: Any) -> None:
    policy = copy.deepcopy(judged.base)
    model, items = LanguageModel(policy), np.arange(6)
    words: tuple[Any, ...] = (judged.rows, items, judged.reference, 6, None, 0, 0.1)
    objective: Any = FeedbackObjective(*words, good=GOOD) if kind == "kto" else PairObjective(*words, kind=kind)
    optimizer = torch.optim.Adam(policy.parameters(), 5e-3)
    for _ in range(15):
        optimizer.zero_grad()
        objective.loss(model, items, CPU).backward()
        optimizer.step()
    ratios = judged.reference.loss - likelihoods(model, judged.rows, np.arange(12), on=CPU, tokens_at_once=99).loss
    if kind == "kto":
        assert (ratios[::2] > 0).tolist() == GOOD.tolist()
    else:
        assert (ratios[::2] > ratios[1::2]).all()
