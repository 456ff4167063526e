"""Losses of learned tokens only: those that transformers computes from all logits, whatever the family."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from language_models import CAUSAL, SEQ2SEQ, network
from tunesmith.engine.precision import working
from tunesmith.models import language
from tunesmith.models.language import LanguageModel

ROWS, WIDE, DEEP = 3, 12, 9


def batches(family: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Random padded rows of which half the tokens are learned: for `LanguageModel`, and for transformers."""
    random = torch.Generator().manual_seed(1)
    words = torch.randint(5, 260, (ROWS, WIDE), generator=random)
    mask = (torch.arange(WIDE) < torch.tensor([WIDE, 7, 10])[:, None]).long()
    words[mask == 0] = 0
    given = {"input_ids": words, "attention_mask": mask}
    if family in SEQ2SEQ:
        target = torch.randint(5, 260, (ROWS, DEEP), generator=random)
        inner = (torch.arange(DEEP) < torch.tensor([4, DEEP, 6])[:, None]).long()
        labels = torch.where((torch.rand(ROWS, DEEP, generator=random) < 0.6) & (inner == 1), target, -100)
        start = 0 if family == "t5" else 2
        before = torch.cat([torch.full((ROWS, 1), start), target[:, :-1]], 1)
        given |= {"decoder_input_ids": before, "decoder_attention_mask": inner}
        at = labels.flatten() >= 0
        return given | {"positions": at.nonzero().flatten(), "labels": labels.flatten()[at]}, given | {"labels": labels}
    learned = (torch.rand(ROWS, WIDE, generator=random) < 0.5) & (mask == 1)
    learned[:, 0] = True  # nothing comes before it: neither counts it
    labels = torch.where(learned, words, -100)
    after = torch.cat([labels[:, 1:], torch.full((ROWS, 1), -100)], 1).flatten()
    at = after >= 0
    return given | {"positions": at.nonzero().flatten(), "labels": after[at]}, given | {"labels": labels}


@pytest.fixture(params=[*CAUSAL, *SEQ2SEQ])
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def gradients(module: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("chunk", [None, 1, 301 * 4], ids=["whole", "token by token", "four tokens"])
@pytest.mark.parametrize("whole_logits", [False, True], ids=["chunks", "whole logits"])
def test_losses_and_gradients_are_those_of_transformers(
    family: str, chunk: int | None, whole_logits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if chunk:
        monkeypatch.setattr(language, "CHUNK", chunk)
    made = network(family).eval()
    ours, theirs = batches(family)
    made(**theirs).loss.backward()
    expected, wanted = made(**theirs).loss, gradients(made)
    made.zero_grad()
    model = LanguageModel(made).eval()
    model.whole_logits = whole_logits
    losses, right = model(ours)
    assert losses.shape == right.shape == ours["labels"].shape
    assert losses.dtype == torch.float32
    torch.testing.assert_close(losses.mean(), expected, atol=1e-5, rtol=0)
    losses.mean().backward()
    found = gradients(made)
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-4, msg=name)


def test_no_block_is_left_out_of_a_step() -> None:
    model = LanguageModel(network("m2m100", decoder_layerdrop=1.0, encoder_layerdrop=1.0)).train()
    model(batches("m2m100")[0])[0].sum().backward()
    assert all("layers.0.fc1.weight" not in name or grad.any() for name, grad in gradients(model).items())
    assert any("decoder.layers.0.fc1.weight" in name for name in gradients(model))


def test_arithmetic_in_bf16_loses_little(family: str) -> None:
    """And nothing for good: positions that M2M100 computes are a table too."""
    made = network(family).eval()
    model, (ours, _) = LanguageModel(made).eval(), batches(family)
    before, _ = model(ours)
    with working(model, "bf16"):
        coarse, _ = model(ours)
    after, _ = model(ours)
    torch.testing.assert_close(coarse, before, atol=0.2, rtol=0)
    assert not torch.equal(coarse, before)
    assert torch.equal(after, before)


def test_the_likeliest_token_is_known(family: str) -> None:
    made = network(family).eval()
    batch, _ = batches(family)
    names = ("input_ids", "attention_mask", "decoder_input_ids", "decoder_attention_mask")
    logits = made(**{name: batch[name] for name in names if name in batch}).logits
    best = logits.argmax(-1).flatten()[batch["positions"]]
    half = torch.arange(len(best)) % 2 == 0
    batch["labels"] = torch.where(half, best, (best + 1) % 300)
    with torch.no_grad():
        _, right = LanguageModel(made).eval()(batch)
    assert right.tolist() == half.tolist()


def test_no_more_logits_than_a_chunk_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "CHUNK", 301 * 4)
    model = LanguageModel(network("llama"))
    batch, _ = batches("llama")
    widest = 0

    def watch(_: nn.Module, __: Any, output: Tensor) -> None:
        nonlocal widest
        widest = max(widest, output.numel())

    model.head.register_forward_hook(watch)
    losses, _ = model(batch)
    losses.sum().backward()
    assert len(losses) > 8
    assert widest == 301 * 4


def test_a_batch_without_a_learned_token_has_no_losses_but_gradients_of_zero() -> None:
    model = LanguageModel(network("llama"))
    batch, _ = batches("llama")
    losses, right = model({**batch, "positions": batch["positions"][:0], "labels": batch["labels"][:0]})
    assert losses.shape == right.shape == (0,)
    losses.sum().backward()
    assert all(not gradient.any() for gradient in gradients(model).values())


class Odd(nn.Module):
    """A network that does something of its own to its logits: `how`."""

    def __init__(self, inner: Any, how: str):
        super().__init__()
        self.inner, self.how, self.config = inner, how, inner.config

    def get_output_embeddings(self) -> Any:
        return self.inner.get_output_embeddings()

    def get_input_embeddings(self) -> Any:
        return self.inner.get_input_embeddings()

    def forward(self, **inputs: Any) -> Any:
        if self.how == "never calls its output layer":
            inputs.pop("use_cache")
            hidden = self.inner.model(**inputs).last_hidden_state
            return type("Output", (), {"logits": nn.functional.linear(hidden, self.inner.lm_head.weight) * 1})()
        output = self.inner(**inputs)
        output.logits = output.logits * 5 + torch.arange(output.logits.shape[-1])
        return output


@pytest.mark.parametrize("how", ["changes them", "never calls its output layer"])
def test_a_network_with_an_output_of_its_own_is_found_out(how: str) -> None:
    torch.manual_seed(0)
    odd = Odd(network("llama").eval(), how)
    model = LanguageModel(odd).eval()
    batch, _ = batches("llama")
    model.check(batch)
    assert model.whole_logits
    logits = odd(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
    expected = nn.functional.cross_entropy(logits.flatten(0, 1)[batch["positions"]], batch["labels"], reduction="none")
    torch.testing.assert_close(model(batch)[0], expected)
    model.check(batch)
    assert model.whole_logits  # a second look does not undo the first


def test_the_usual_families_need_no_whole_logits(family: str) -> None:
    model = LanguageModel(network(family)).eval()
    assert model.check(batches(family)[0]) < 1e-5
    assert not model.whole_logits


def test_a_cap_that_we_did_not_know_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "_finished", lambda logits, network: logits)
    for family in ("gemma2", "bart"):
        model = LanguageModel(network(family)).eval()
        model.check(batches(family)[0])
        assert model.whole_logits, family


def test_numbers_that_are_none_are_not_taken_for_equal() -> None:
    made = network("llama")
    with torch.no_grad():
        made.lm_head.weight[7] = float("nan")
    model = LanguageModel(made).eval()
    model.check(batches("llama")[0])
    assert model.whole_logits
