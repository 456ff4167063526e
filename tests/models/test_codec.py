"""Sources and targets of encoder-decoders, whatever their tokenizer is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from chat_templates import FAMILIES, said, talk, tokenizer_for
from tunesmith.core.errors import DataError, OptionError
from tunesmith.models.codec import CausalCodec, PairCodec
from tunesmith.tasks.preference import Preference, PreferenceOptions

ROW = {"form": "pair", "source": "the ball", "target": "der Ball"}


def many_languages() -> Any:
    from transformers import NllbTokenizer

    letters = [*"abcdefghijklmnopqrstuvwxyzB", "\u2581"]
    vocabulary = {token: number for number, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *letters])}
    return NllbTokenizer(vocab=vocabulary, merges=[], additional_special_tokens=["eng_Latn", "deu_Latn"])


def tokens(codec: PairCodec) -> tuple[list[str], list[str], list[str]]:
    """Of source and target, and those that are learned."""
    found, source = codec.sequence(ROW)
    written = codec.tokenizer.convert_ids_to_tokens(found.ids.tolist())
    learned = [token for token, one in zip(written, found.learned, strict=True) if one]
    assert found.learned[slice(*found.spans[0])].all()
    assert found.learned.sum() == len(learned) == found.spans[0][1] - found.spans[0][0]
    return written[:source], written[source:], learned


def test_the_languages_asked_for_stand_before_source_and_answer() -> None:
    codec = PairCodec(many_languages(), "", "deu_Latn", "eng_Latn")
    source, target, learned = tokens(codec)
    assert (source[0], target[0]) == ("deu_Latn", "eng_Latn")
    assert learned == target[1:]  # the language is given, not learned
    assert codec.first == codec.tokenizer.convert_tokens_to_ids("eng_Latn")


def test_languages_are_those_of_the_tokenizer_where_none_is_asked_for() -> None:
    tokenizer = many_languages()
    assert PairCodec(tokenizer).languages == ("eng_Latn", "eng_Latn")
    tokenizer.src_lang, tokenizer.tgt_lang = "eng_Latn", "deu_Latn"
    assert PairCodec(tokenizer).languages == ("eng_Latn", "deu_Latn")


def test_unknown_languages_are_refused() -> None:
    with pytest.raises(OptionError, match="no language 'deu_latn'") as refused:
        PairCodec(many_languages(), "", None, "deu_latn")
    assert "deu_Latn" in str(refused.value.fix)
    with pytest.raises(OptionError, match="knows no languages"):
        PairCodec(tokenizer_for(FAMILIES["chatml"]), "", None, "deu_Latn")


def test_a_tokenizer_that_knows_no_offsets_is_enough() -> None:
    """Marian's has none."""
    fast = tokenizer_for(FAMILIES["chatml"])

    class Slow(SimpleNamespace):
        def __call__(self, text: str = "", text_target: str = "", **_: Any) -> Any:
            return fast(text or text_target)

    slow = Slow(is_fast=False, eos_token_id=fast.eos_token_id, convert_ids_to_tokens=fast.convert_ids_to_tokens)
    source, target, learned = tokens(PairCodec(slow))
    assert learned == target
    assert target[-1] == fast.eos_token
    assert source == fast.convert_ids_to_tokens(fast(ROW["source"]).input_ids)


def test_answers_that_differ_in_what_the_template_trims_are_no_preference() -> None:
    task = Preference(PreferenceOptions())
    pair = {"form": "preference", "messages": talk("Hi"), "tools": None, "row": 3}
    pair |= {"chosen": [said("assistant", "Hello")], "rejected": [said("assistant", "Hello \n")]}
    assert len(task.encode(pair, pair, CausalCodec(tokenizer_for(FAMILIES["chatml"])), 99)) == 2
    with pytest.raises(DataError, match="differ in white space alone"):
        task.encode(pair, pair, CausalCodec(tokenizer_for(FAMILIES["llama3"])), 99)
