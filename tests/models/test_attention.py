"""Attention in blocks: the numbers of the fused kernel, whatever the family, the padding and the length."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))
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
