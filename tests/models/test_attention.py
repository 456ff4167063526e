"""Attention by plain products: the numbers of the fused kernel, whatever the family, the padding and the length."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from language_models import network
from tunesmith.models import attention

LENGTHS = [300, 1, 129, 128]
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"max_position_embeddings": 512},
    "gpt2": {"n_positions": 512, "attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0},
    "mistral": {"max_position_embeddings": 512, "sliding_window": 100},
}


def built(family: str) -> Any:
    if family != "mistral":
        return network(family, **FAMILIES[family])
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    like = network("llama").config
    names = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
             "intermediate_size")  # fmt: skip
    return MistralForCausalLM(MistralConfig(**{name: getattr(like, name) for name in names}, **FAMILIES[family]))


def gradients(made: Any, ids: Tensor, mask: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits of what is no padding, and the gradients of their squares."""
    made.zero_grad()
    logits = made(input_ids=ids, attention_mask=mask).logits
    kept = logits if mask is None else logits[mask.bool()]
    (kept**2).mean().backward()
    return kept.detach(), {name: p.grad.clone() for name, p in made.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("padding", ["end", "front", "none"])
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_and_gradients_are_those_of_the_fused_kernel(family: str, padding: str) -> None:
    made = built(family).train()
    ids = torch.randint(5, 260, (len(LENGTHS), max(LENGTHS)), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]).long()
    given = {"end": mask, "front": mask.flip(1), "none": None}[padding]
    expected, wanted = gradients(made, ids, given)
    assert attention.use_for_short_rows(made)
    found, ours = gradients(made, ids, given)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    for name, gradient in wanted.items():
        torch.testing.assert_close(ours[name], gradient, atol=1e-6, rtol=1e-3, msg=name)


@pytest.fixture(scope="module")
def encoder() -> Any:
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=300, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    return BertModel(config, add_pooling_layer=False).train()


def states(made: Any, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Float32 states of what is no padding, and the gradients of their cubes (their squares always sum to the same)."""
    made.zero_grad()
    ids = torch.randint(5, 260, mask.shape, generator=torch.Generator().manual_seed(0))
    kept = made(input_ids=ids, attention_mask=mask).last_hidden_state[mask.bool()].float()
    (kept**3).mean().backward()
    return kept.detach(), torch.cat([p.grad.float().flatten() for p in made.parameters()])


@pytest.mark.parametrize("padded", [True, False])
def test_attention_to_all_tokens_errs_in_bf16_no_more_than_the_fused_kernel(
    encoder: Any, padded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = (torch.arange(33) < (torch.tensor([[33], [7], [1]]) if padded else 33)).long().expand(3, 33)
    exact = states(encoder, mask)
    halved = copy.deepcopy(encoder).bfloat16()
    fused = states(halved, mask)
    assert attention.use_for_short_rows(halved)
    calls = []
    original = attention._to_all
    monkeypatch.setattr(attention, "_to_all", lambda *given: calls.append(given[3]) or original(*given))
    ours = states(halved, mask)
    assert [given is not None for given in calls] == [padded] * 2  # layers
    for true, theirs, found in zip(exact, fused, ours, strict=True):
        assert (found - true).abs().mean() <= 1.2 * (theirs - true).abs().mean()
        assert (found - true).abs().mean() < 0.02 * true.abs().mean()


def test_dropped_attention_is_made_up_for_in_what_is_kept() -> None:
    query, key = (torch.zeros(8, 4, 64, 16, dtype=torch.bfloat16) for _ in range(2))
    value = torch.eye(64, dtype=torch.bfloat16).expand(8, 4, 64, 64)
    torch.manual_seed(0)
    weights = 64 * attention._to_all(query, key, value, None, 1.0, 0.25).float()
    dropped = weights == 0
    assert dropped.float().mean() == pytest.approx(0.25, abs=0.01)
    torch.testing.assert_close(weights[~dropped], torch.full_like(weights[~dropped], 4 / 3), atol=0.01, rtol=0)


def test_float32_stays_with_the_fused_kernel(encoder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = torch.ones(2, 9, dtype=torch.long)
    made = copy.deepcopy(encoder)
    expected = states(made, mask)
    attention.use_for_short_rows(made)
    monkeypatch.setattr(attention, "_to_all", None)
    assert all(torch.equal(*pair) for pair in zip(expected, states(made, mask), strict=True))


def test_only_causal_rows_without_a_mask_take_this_way(monkeypatch: pytest.MonkeyPatch) -> None:
    made = network("llama", max_position_embeddings=512).eval()
    assert attention.use_for_short_rows(made)
    calls: list[torch.Size] = []
    original = attention._Causal.apply

    def apply(query: Tensor, *rest: Any) -> Any:
        calls.append(query.shape)
        return original(query, *rest)

    monkeypatch.setattr(attention._Causal, "apply", apply)
    ids = torch.randint(5, 260, (2, 40))
    mask = torch.ones_like(ids)
    mask[1, 30:] = 0
    with torch.no_grad():
        made(input_ids=ids, attention_mask=mask)
        assert len(calls) == 2  # layers
        made(input_ids=ids, attention_mask=mask.flip(1))
        monkeypatch.setattr(attention, "LONGEST", 39)
        made(input_ids=ids, attention_mask=mask)
        assert len(calls) == 2
        greedy = made.generate(ids[:, :8], max_new_tokens=6, do_sample=False)
        assert greedy.shape == (2, 14)


def test_the_name_is_not_saved(tmp_path: Path) -> None:
    made = network("llama")
    attention.use_for_short_rows(made)
    made.save_pretrained(tmp_path)
    assert attention.NAME not in (tmp_path / "config.json").read_text()
    assert not attention.use_for_short_rows(made)  # it does already
