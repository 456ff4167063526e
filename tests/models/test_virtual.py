"""Virtual tokens before a text: where they start, what is predicted after them, and that they can be left away."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from language_models import CAUSAL, SEQ2SEQ, network, tokenizer
from tunesmith.core.errors import OptionError
from tunesmith.engine.generate import Sampling, context_length, generate
from tunesmith.models import virtual
from tunesmith.models.additions import moving, virtual_tokens
from tunesmith.models.language import LanguageModel

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")

KINDS = ("prompt", "prefix")
FAMILIES = (*CAUSAL, *SEQ2SEQ)
WORDS = torch.tensor([40, 51, 62])
TEXT = torch.tensor([[70, 71, 72, 73, 74], [80, 81, 82, 0, 0]])
MASK = (TEXT > 0).long()


def bundle(family: str) -> Any:
    kind = "seq2seq" if family in SEQ2SEQ else "causal"
    model = LanguageModel(network(family).eval())
    return SimpleNamespace(model=model, tokenizer=tokenizer(family), kind=kind)


def add(found: Any, kind: str, ids: Tensor = WORDS) -> Any:
    return (virtual.add_prompt if kind == "prompt" else virtual.add_prefix)(found, ids)


def move(found: Any) -> None:
    """What training would do to the learned part, and more of it."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in moving(found.model).values():
            parameter.add_(torch.randn_like(parameter), alpha=3)


def batch(kind: str) -> dict[str, Tensor]:
    """Two rows of unequal length; the last tokens of each are learned."""
    if kind == "causal":
        return {"input_ids": TEXT, "attention_mask": MASK,
                "positions": torch.tensor([2, 3, 6]), "labels": torch.tensor([73, 74, 82])}  # fmt: skip
    return {"input_ids": TEXT, "attention_mask": MASK, "decoder_input_ids": TEXT[:, :4],
            "decoder_attention_mask": MASK[:, :4], "positions": torch.tensor([2, 3, 5]),
            "labels": torch.tensor([90, 91, 92])}  # fmt: skip


def logits(model: Any, rows: dict[str, Tensor]) -> Tensor:
    inputs = {name: tensor for name, tensor in rows.items() if name not in ("positions", "labels")}
    with torch.no_grad():
        found: Tensor = model(**inputs, use_cache=False).logits
    return found


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_switched_off_the_base_is_left_to_the_bit(family: str, kind: str) -> None:
    found = bundle(family)
    rows = batch(found.kind)
    base, losses = logits(found.model.network, rows), found.model(rows)[0]
    adapted = add(found, kind)
    move(found)
    assert not torch.allclose(logits(adapted, rows)[:, -base.shape[1] :], base, atol=1e-3)
    assert (found.model(rows)[0] - losses).abs().max() > 1e-4
    with adapted.disable_adapter():
        assert torch.equal(logits(adapted, rows), base)
        assert torch.equal(found.model(rows)[0], losses)
        assert virtual_tokens(adapted) == 0
    assert virtual_tokens(adapted) == 3


@pytest.mark.parametrize("family", CAUSAL)
@pytest.mark.parametrize("kind", KINDS)
def test_it_starts_as_the_words_that_it_was_given(family: str, kind: str) -> None:
    found = bundle(family)
    text = TEXT[:1]
    whole = logits(found.model.network, {"input_ids": torch.cat([WORDS[None], text], 1)})[:, 3:]
    adapted = add(found, kind)
    torch.testing.assert_close(logits(adapted, {"input_ids": text})[:, -text.shape[1] :], whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", SEQ2SEQ)
def test_an_encoder_reads_the_words_first(family: str) -> None:
    found = bundle(family)
    text, start = TEXT[:1], torch.tensor([[0, 7]])
    longer = {"input_ids": torch.cat([WORDS[None], text], 1), "decoder_input_ids": start}
    whole = logits(found.model.network, longer)
    adapted = add(found, "prompt")
    ours = logits(adapted, {"input_ids": text, "decoder_input_ids": start})
    torch.testing.assert_close(ours, whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", SEQ2SEQ)
def test_every_block_of_a_decoder_has_keys_of_its_own(family: str) -> None:
    found = bundle(family)
    with torch.no_grad():
        words = {"input_ids": WORDS[None], "decoder_input_ids": WORDS[None]}
        cache = found.model.network(**words, use_cache=True).past_key_values.self_attention_cache
    ours = add(found, "prefix").get_prompt(2).self_attention_cache
    for theirs, layer in zip(cache.layers, ours.layers, strict=False):
        torch.testing.assert_close(layer.keys, theirs.keys.expand(2, -1, -1, -1))
        torch.testing.assert_close(layer.values, theirs.values.expand(2, -1, -1, -1))


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_predicted_is_the_token_after_its_own_place(family: str, kind: str, whole: bool) -> None:
    found = bundle(family)
    rows = batch(found.kind)
    adapted = add(found, kind)
    move(found)
    width = rows["decoder_input_ids" if found.kind == "seq2seq" else "input_ids"].shape[1]
    theirs = logits(adapted, rows)[:, -width:].log_softmax(-1).flatten(0, 1)[rows["positions"]]
    expected = -theirs.gather(-1, rows["labels"][:, None]).squeeze(-1)
    found.model.whole_logits = whole
    torch.testing.assert_close(found.model(rows)[0], expected, atol=1e-5, rtol=1e-5)
    assert found.model.check(rows) < 1e-4


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_is_what_repeated_reading_gives(family: str, kind: str) -> None:
    """The loop with its cache, rows padded on the left, against PEFT's forward pass on every prefix of the answer."""
    found = bundle(family)
    adapted = add(found, kind)
    move(found)
    prompts = [[70, 71, 72, 73], [80], [90, 91]]
    answers = generate(adapted, found.tokenizer, prompts, Sampling(max_new_tokens=6), stop_ids=[])
    for prompt, answer in zip(prompts, answers, strict=True):
        said: list[int] = []
        for _ in range(6):
            rows = {"input_ids": torch.tensor([prompt])}
            if found.kind == "seq2seq":
                rows["decoder_input_ids"] = torch.tensor([[found.model.config.decoder_start_token_id, *said]])
            else:
                rows["input_ids"] = torch.tensor([prompt + said])
            said.append(int(logits(adapted, rows)[0, -1].argmax()))
        assert answer.ids == said
    with adapted.disable_adapter():
        plain = generate(adapted, found.tokenizer, prompts, Sampling(max_new_tokens=6), stop_ids=[])
    assert plain == generate(network(family).eval(), found.tokenizer, prompts, Sampling(max_new_tokens=6), stop_ids=[])


@pytest.mark.parametrize("kind", KINDS)
def test_the_context_shrinks(kind: str) -> None:
    found = bundle("gpt2")
    adapted = add(found, kind)
    assert context_length(adapted) == 256 - 3
    (answer,) = generate(adapted, found.tokenizer, [[70] * 250], Sampling(max_new_tokens=20), stop_ids=[])
    assert (len(answer.ids), answer.reason) == (3, "length")


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_of_the_base_moves(family: str) -> None:
    for kind in KINDS:
        found = bundle(family)
        add(found, kind)
        found.model.train()
        found.model(batch(found.kind))[0].sum().backward()
        named = moving(found.model)
        assert len(named) == 1
        assert all(parameter.grad is not None and parameter.grad.any() for parameter in named.values())


def test_first_words_are_those_of_a_text_or_common_ones() -> None:
    found = bundle("llama")
    ids = found.tokenizer("the user", add_special_tokens=False)["input_ids"]
    assert virtual.first_words(found, 2 * len(ids) + 1, "the user", 0).tolist() == ids + ids + ids[:1]
    assert virtual.first_words(found, 1, "the user", 0).tolist() == ids[:1]
    drawn = virtual.first_words(found, 200, None, 3)
    assert torch.equal(drawn, virtual.first_words(found, 200, None, 3))
    assert not torch.equal(drawn, virtual.first_words(found, 200, None, 4))
    assert not set(drawn.tolist()) & set(found.tokenizer.all_special_ids)
    with pytest.raises(OptionError, match="init_text"):
        virtual.first_words(found, 2, "", 0)


def test_a_network_without_keys_and_values_gets_no_prefix() -> None:
    from transformers import MambaConfig, MambaForCausalLM

    model = MambaForCausalLM(MambaConfig(vocab_size=120, hidden_size=16, num_hidden_layers=1, state_size=4))
    found = SimpleNamespace(model=LanguageModel(model), tokenizer=tokenizer(), kind="causal")
    with pytest.raises(OptionError, match="MambaForCausalLM"):
        add(found, "prefix")
