"""Generation against transformers' own, and what must not change an answer: company, memory, streaming."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)  # fmt: skip

from tunesmith.core.errors import OptionError
from tunesmith.core.options import parse_value, resolve
from tunesmith.engine import generate as module
from tunesmith.engine import inference
from tunesmith.engine.generate import Generated, Sampling, ending_ids, generate, stream

END = 256
WORDS = 300
PROMPTS = [[5, 6, 7], [8], [9, 10, 11, 12, 13, 14, 15], [250, 3], [40, 41, 42], [7] * 12]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """One token a byte, so that a character takes several; 256 ends a text."""
    letters = {letter: byte for byte, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    plain = Tokenizer(models.BPE(vocab={**letters, "<end>": END}, merges=[]))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<end>")


def small(family: str) -> Any:
    """A random model that is sharp enough for its greedy answers to differ from row to row."""
    torch.manual_seed(3)
    sizes = {"vocab_size": WORDS, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
             "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 96,
             "bos_token_id": 1, "eos_token_id": END, "pad_token_id": 0, "initializer_range": 0.3}  # fmt: skip
    if family == "llama":
        return LlamaForCausalLM(LlamaConfig(**sizes))
    if family == "mistral":  # a window of 8 tokens
        return MistralForCausalLM(MistralConfig(**sizes, sliding_window=8))
    if family == "gpt2":
        return GPT2LMHeadModel(
            GPT2Config(vocab_size=WORDS, n_embd=32, n_layer=2, n_head=4, n_positions=96, initializer_range=0.3,
                       bos_token_id=1, eos_token_id=END)
        )  # fmt: skip
    if family == "t5":
        config = T5Config(vocab_size=WORDS, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4,
                          decoder_start_token_id=0, eos_token_id=END, pad_token_id=0)  # fmt: skip
        model = T5ForConditionalGeneration(config)
        torch.nn.init.normal_(model.lm_head.weight, std=1.0)
        return model
    config = BartConfig(vocab_size=WORDS, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
                        decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=96,
                        decoder_start_token_id=2, bos_token_id=1, eos_token_id=END, pad_token_id=0, init_std=0.3,
                        forced_eos_token_id=None)  # fmt: skip
    return BartForConditionalGeneration(config)


@pytest.fixture(scope="module")
def llama() -> Any:
    return small("llama")


def answers(model: Any, tokenizer: Any, prompts: Any = PROMPTS, **words: Any) -> list[Generated]:
    sizes = {name: words.pop(name) for name in ("batch_tokens", "check") if name in words}
    sampling = Sampling(**{"max_new_tokens": 24, **words})
    return generate(model, tokenizer, prompts, sampling, stop_ids=ending_ids(model, tokenizer), **sizes)


def theirs(model: Any, prompt: list[int], tokens: int = 24) -> list[int]:
    """Transformers' greedy answer to one prompt, without its start and end."""
    ids = torch.tensor([prompt])
    found = model.eval().generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False, pad_token_id=0
    )
    answer = found[0, 1 if model.config.is_encoder_decoder else len(prompt) :].tolist()
    return answer[: answer.index(END)] if END in answer else answer


@pytest.mark.story
@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral", "t5", "bart"])
def test_greedy_is_transformers_greedy_in_every_batch(family: str, tokenizer: Any) -> None:
    model = small(family)
    expected = [theirs(model, prompt) for prompt in PROMPTS]
    assert len({tuple(answer) for answer in expected}) > 2, "the model must answer differently"
    model.train()
    model.config.use_cache = False  # as training leaves it
    for batch_tokens in (1, 70, 8192):
        assert [answer.ids for answer in answers(model, tokenizer, batch_tokens=batch_tokens)] == expected
    assert model.training


def test_rows_that_end_early_leave_the_batch_and_keep_their_answers(llama: Any, tokenizer: Any) -> None:
    """Most rows end at a common token: the batch shrinks, and the others must not notice."""
    whole = [answer.ids for answer in answers(llama, tokenizer)]
    stops = {ids[len(ids) // 3] for ids in whole[:4]} | {END}
    found = generate(llama, tokenizer, PROMPTS, Sampling(max_new_tokens=24), stop_ids=stops)
    for answer, ids in zip(found, whole, strict=True):
        cut = next((place for place, token in enumerate(ids) if token in stops), None)
        assert answer.ids == ids[:cut]
        assert answer.stopped == (cut is not None or len(ids) < 24)
    assert len({len(answer.ids) for answer in found}) > 2, "the batch must have shrunk more than once"


@pytest.mark.parametrize("family", ["t5", "bart", "mistral"])
def test_caches_of_other_families_shrink_too(family: str, tokenizer: Any) -> None:
    model = small(family)
    alone = [answers(model, tokenizer, [prompt])[0].ids for prompt in PROMPTS]
    stops = {ids[4] for ids in alone[:4] if len(ids) > 4}
    words: dict[str, Any] = {"stop_ids": stops}
    together = generate(model, tokenizer, PROMPTS, Sampling(max_new_tokens=24), **words)
    apart = [generate(model, tokenizer, [prompt], Sampling(max_new_tokens=24), **words)[0] for prompt in PROMPTS]
    assert together == apart


def test_a_forced_first_token_is_given_to_the_decoder(tokenizer: Any) -> None:
    model = small("bart")
    model.generation_config.forced_bos_token_id = 77
    assert [[77, *answer.ids] for answer in answers(model, tokenizer, max_new_tokens=23)] == [
        theirs(model, prompt) for prompt in PROMPTS
    ]


@pytest.mark.story
def test_adapters_answer(tokenizer: Any) -> None:
    from peft import LoraConfig, PrefixTuningConfig, PromptTuningConfig, get_peft_model

    model = small("llama")
    before = [answer.ids for answer in answers(model, tokenizer)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PEFT, about the tiny model
        adapted = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
        prompted = get_peft_model(small("llama"), PromptTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM"))
        prefixed = get_peft_model(small("llama"), PrefixTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM"))
    found = [answer.ids for answer in answers(adapted, tokenizer)]
    assert found != before
    assert found == [theirs(adapted, prompt) for prompt in PROMPTS]
    for virtual in (prompted, prefixed):
        ours = [answer.ids for answer in answers(virtual, tokenizer)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PEFT, about the positions that transformers gives it
            assert ours == [theirs(virtual, prompt) for prompt in PROMPTS]


def test_penalties_of_the_base_model_are_not_applied(llama: Any, tokenizer: Any) -> None:
    before = answers(llama, tokenizer)
    llama.generation_config.repetition_penalty, llama.generation_config.do_sample = 5.0, True
    try:
        assert answers(llama, tokenizer) == before
    finally:
        llama.generation_config.repetition_penalty, llama.generation_config.do_sample = 1.0, False


def test_draws_depend_on_seed_and_row_not_on_company(llama: Any, tokenizer: Any) -> None:
    words: dict[str, Any] = {"temperature": 1.5, "top_p": 0.9, "top_k": 80}
    found = answers(llama, tokenizer, seed=1, **words)
    assert found == answers(llama, tokenizer, seed=1, batch_tokens=60, **words)
    assert found != answers(llama, tokenizer, seed=2, **words)
    assert found != answers(llama, tokenizer)
    twice = answers(llama, tokenizer, [[5, 6]] * 2, seed=1, **words)
    assert twice[0] != twice[1]
    assert answers(llama, tokenizer, **words) != answers(llama, tokenizer, **words), "no seed draws anew"
    assert answers(llama, tokenizer, temperature=1.5, top_k=1, seed=1) == answers(llama, tokenizer)
    assert answers(llama, tokenizer, temperature=1e-9, seed=1) == answers(llama, tokenizer)


def test_tokens_are_drawn_as_often_as_their_probability_says() -> None:
    shares = torch.tensor([0.05, 0.5, 0.2, 0.15, 0.1])
    logits = shares.log().repeat(1000, 1)
    uniform = [(i + 0.5) / 1000 for i in range(1000)]

    def drawn(**words: Any) -> list[float]:
        tokens = module._choose(logits, Sampling(**{"temperature": 1, **words}), uniform)
        return (torch.bincount(tokens, minlength=5) / 1000).tolist()

    assert drawn() == pytest.approx(shares.tolist(), abs=0.002)
    assert drawn(top_k=2) == pytest.approx([0, 5 / 7, 2 / 7, 0, 0], abs=0.002)
    assert drawn(top_p=0.6) == pytest.approx([0, 5 / 7, 2 / 7, 0, 0], abs=0.002)
    assert drawn(top_k=2, top_p=0.6) == pytest.approx([0, 1, 0, 0, 0])  # 5/7 is more than 0.6 of what is left
    squared = shares**2 / (shares**2).sum()
    assert drawn(temperature=0.5) == pytest.approx(squared.tolist(), abs=0.002)


def test_stop_texts_end_an_answer_and_are_not_part_of_it(llama: Any, tokenizer: Any) -> None:
    whole = answers(llama, tokenizer)[0]
    stop = tokenizer.decode(whole.ids[10:12])
    found = answers(llama, tokenizer, stop=[stop, "never there"])
    assert found[0].text == whole.text[: whole.text.index(stop)]
    assert found[0].ids == whole.ids[: len(found[0].ids)]
    assert found[0].stopped
    assert all(stop not in answer.text for answer in found)


def test_one_stop_text_needs_no_list() -> None:
    assert Sampling(stop="END").stop == Sampling(stop=[parse_value("END")]).stop == ["END"]
    assert Sampling(stop=parse_value("###")).stop == ["###"]  # no comment
    with pytest.raises(OptionError, match="ends every answer"):
        resolve({"stop": ""}, {"sampling": Sampling})


def test_a_special_token_as_stop_text(llama: Any, tokenizer: Any) -> None:
    """Decoding leaves special tokens out, so they are watched by their id."""
    bias = torch.zeros(WORDS)
    bias[END] = 1e4
    handle = llama.lm_head.register_forward_hook(lambda *given: given[2] + bias)
    try:
        found = generate(llama, tokenizer, [[5]], Sampling(max_new_tokens=3, stop=["<end>"]), stop_ids=[])
    finally:
        handle.remove()
    assert found == [Generated("", [], "stop")]


def test_the_context_ends_an_answer(llama: Any, tokenizer: Any) -> None:
    prompts = [[5] * 90, [6] * 96, [7] * 200, [8] * 3]
    found = answers(llama, tokenizer, prompts, max_new_tokens=20)
    assert [len(answer.ids) for answer in found] == [6, 0, 0, 20]
    assert [answer.reason for answer in found] == ["length"] * 4
    assert found[0].ids == theirs(llama, prompts[0], 6)
    assert [len(answer.ids) for answer in answers(small("bart"), tokenizer, [[5] * 96, [5] * 97])] == [24, 0]


def test_out_of_memory_halves_the_batch_and_changes_no_answer(
    llama: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    words: dict[str, Any] = {"temperature": 1.0, "seed": 5}
    expected = answers(llama, tokenizer, **words)
    sizes: list[int] = []
    forward = module._Decoding.logits

    def narrow(self: Any) -> torch.Tensor:
        sizes.append(len(self._ids))
        if len(self._ids) > 2 and len(sizes) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self)

    monkeypatch.setattr(module._Decoding, "logits", narrow)
    assert answers(llama, tokenizer, **words) == expected
    assert {len(PROMPTS), len(PROMPTS) // 2} <= set(sizes)
    monkeypatch.setattr(inference, "is_out_of_memory", lambda error: False)
    with pytest.raises(torch.OutOfMemoryError):
        answers(llama, tokenizer, **words)


def test_check_may_stop_the_work(llama: Any, tokenizer: Any) -> None:
    llama.train()

    def check() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answers(llama, tokenizer, check=check)
    assert llama.training


def test_no_prompts_and_empty_prompts(llama: Any, tokenizer: Any) -> None:
    assert answers(llama, tokenizer, []) == []
    with pytest.raises(ValueError, match="no tokens"):
        answers(llama, tokenizer, [[5], []])


class Scripted(torch.nn.Module):
    """Writes a given text, byte by byte, and keeps no cache."""

    def __init__(self, model: Any, ids: list[int], prompt: int):
        super().__init__()
        self.config, self.generation_config, self.device = model.config, model.generation_config, model.device
        self._ids, self._prompt = ids, prompt

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        token = self._ids[input_ids.shape[1] - self._prompt]
        logits = torch.nn.functional.one_hot(torch.tensor([[token]]), WORDS).float()
        return type("Output", (), {"logits": logits})()


def pieces_of(text: str, llama: Any, tokenizer: Any, **words: Any) -> tuple[list[str], Generated]:
    ids = [*tokenizer(text).input_ids, END]
    scripted = Scripted(llama, ids, 3)
    pieces: list[str] = []
    growing = stream(scripted, tokenizer, [5, 6, 7], Sampling(**words), stop_ids=[END])
    while True:
        try:
            pieces.append(next(growing))
        except StopIteration as end:
            return pieces, end.value


def test_streamed_characters_are_whole(llama: Any, tokenizer: Any) -> None:
    text = "naïve 東京 👩‍🚀!"
    pieces, whole = pieces_of(text, llama, tokenizer)
    assert pieces == list(text)
    assert (whole.text, whole.reason) == (text, "stop")
    cut, found = pieces_of("a東", llama, tokenizer, max_new_tokens=3)  # the last byte is missing
    assert "".join(cut) == found.text
    assert found.reason == "length"


def test_stop_texts_never_show_in_part(llama: Any, tokenizer: Any) -> None:
    pieces, whole = pieces_of("ab STOx ST no STOP more", llama, tokenizer, stop=["STOP", "x S!"])
    assert "".join(pieces) == whole.text == "ab STOx ST no "
    assert pieces == ["a", "b", " ", "STO", "x ", "ST ", "n", "o", " "]
    held, end = pieces_of("see S", llama, tokenizer, stop=["STOP"])
    assert held == ["s", "e", "e", " ", "S"]  # held back until the answer ended without it
    assert end.text == "see S"


def test_a_stream_says_what_generate_says(llama: Any, tokenizer: Any) -> None:
    for words in ({}, {"temperature": 1.2, "top_p": 0.95, "seed": 4}):
        sampling = Sampling(max_new_tokens=24, **words)
        whole = generate(llama, tokenizer, [PROMPTS[0]], sampling, stop_ids=[END])[0]
        assert "".join(stream(llama, tokenizer, PROMPTS[0], sampling, stop_ids=[END])) == whole.text


def test_a_closed_stream_leaves_the_model_as_it_was(llama: Any, tokenizer: Any) -> None:
    llama.train()
    pieces = stream(llama, tokenizer, PROMPTS[0], Sampling(max_new_tokens=24), stop_ids=[END])
    next(pieces)
    assert torch.is_grad_enabled(), "whoever reads the stream may train"
    pieces.close()
    assert llama.training


def test_ending_ids(llama: Any, tokenizer: Any) -> None:
    assert ending_ids(llama, tokenizer) == {END}
    llama.generation_config.eos_token_id = [3, 4]
    try:
        assert ending_ids(llama, tokenizer) == {3, 4, END}
    finally:
        llama.generation_config.eos_token_id = END


@pytest.mark.story
def test_a_trained_model_tells_transformers_story(shared_data: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    folder = shared_data / "w_stories260k" / "hf"
    logging.disable_progress_bar()
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    prompts = [tokenizer(text).input_ids for text in ("Once upon a time", "Tim had a red ball. He", "The")]
    found = generate(model, tokenizer, prompts, Sampling(max_new_tokens=60), stop_ids=ending_ids(model, tokenizer))
    for prompt, answer in zip(prompts, found, strict=True):
        ids = torch.tensor([prompt])
        expected = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=60, do_sample=False)
        assert answer.ids == expected[0, len(prompt) :].tolist()
        assert answer.text == tokenizer.decode(answer.ids)
    assert "there was a little girl named Lily" in found[0].text


def test_the_first_logits_of_a_frozen_model_copy_no_weights(llama: Any, tokenizer: Any) -> None:
    """A product with a cut of the states would take a copy of the output matrix for every row."""
    frozen = copy.deepcopy(llama).requires_grad_(False)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True) as seen:
        found = answers(frozen, tokenizer, max_new_tokens=1)
    assert found == answers(llama, tokenizer, max_new_tokens=1)
    products = [(event.name, shape) for event in seen.events() for shape in event.input_shapes if WORDS in shape]
    assert ("aten::mm", [32, WORDS]) in products
    assert not [name for name, _ in products if name == "aten::bmm"]
