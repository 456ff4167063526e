"""Tokens and their mask: boundaries, what is refused, and what a cut keeps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from chat_templates import FAMILIES, expected, learned, talk, tokenizer_for
from tunesmith.core.errors import DataError
from tunesmith.evaluate.preview import token_table
from tunesmith.models.chat_template import TemplateEncoder
from tunesmith.models.mask import (
    ANSWER_CUT,
    CONTEXT_CUT,
    check_learned,
    cut,
    encode_completion,
    split_long,
    tokenise,
)


@pytest.fixture(params=FAMILIES)
def family(request):
    return FAMILIES[request.param]


def test_completions_and_texts():
    tokenizer = tokenizer_for(FAMILIES["chatml"])
    for prompt, completion in [
        ("Q: why? A:", " because"),
        ("Q: why? A: ", "because"),
        ("", "because"),
        ("a\n", "\n\nb 😀"),
    ]:
        encoded = encode_completion(tokenizer, prompt, completion)
        assert learned(tokenizer, [encoded]) == [completion + "</s>"]
        assert tokenizer.decode(encoded.ids) == prompt + completion + "</s>"
        start = encoded.spans[0][0]
        assert encoded.ids[:start].tolist() == tokenizer(prompt).input_ids  # as when the model is served
    whole = encode_completion(tokenizer, "", "All of it 😀")
    assert learned(tokenizer, [whole]) == ["All of it 😀</s>"]
    assert whole.learned.all()


def test_no_token_crosses_a_boundary():
    tokenizer = tokenizer_for(FAMILIES["chatml"])
    text = "the parcel was late"
    for at in range(1, len(text)):
        ids, starts, ends = tokenise(tokenizer, text, [at])
        assert at in starts
        assert not np.any((starts < at) & (ends > at))
        assert tokenizer.decode(ids) == text


def test_refusals():
    tokenizer = tokenizer_for(FAMILIES["llama3"])
    good = TemplateEncoder(tokenizer).encode(talk("Hi", "Hello"))
    stops = TemplateEncoder(tokenizer).stop_ids
    nothing = replace(good, learned=np.zeros(len(good), dtype=bool), spans=())
    endless = replace(good, learned=good.learned & ~np.isin(good.ids, stops))
    twice = replace(good, ids=np.concatenate([good.ids[:1], good.ids[:-1]]))
    assert check_learned([good], tokenizer, stops) == []
    assert "No token is learned" in check_learned([nothing], tokenizer, stops)[0]
    assert "1 of 2 examples have no learned token" in check_learned([good, nothing], tokenizer, stops)[0]
    assert "never stop" in check_learned([endless], tokenizer, stops)[0]
    assert "two beginning-of-sequence tokens" in check_learned([good, twice], tokenizer, stops)[0]
    assert "no example" in check_learned([], tokenizer, stops)[0]
    tokenizer.chat_template = None
    assert "no chat template" in check_learned([good], tokenizer, stops, chat=True)[0]


def test_cutting_keeps_the_answer_the_beginning_and_the_system_turn():
    family = FAMILIES["llama3"]
    tokenizer = tokenizer_for(family)
    long = talk("Hi " * 60, "One", "And? " * 60, "Two", system="Be brief.")
    encoded = TemplateEncoder(tokenizer).encode(long)
    assert tokenizer.decode(encoded.ids[: encoded.head]).endswith("Be brief.<|eot_id|>")
    limit = encoded.head + 30
    shorter, what = cut(encoded, limit)
    assert len(shorter) == limit == what.kept.sum()
    assert (what.reason, what.end_lost) == (CONTEXT_CUT, False)
    assert shorter.ids[: encoded.head].tolist() == encoded.ids[: encoded.head].tolist()
    assert learned(tokenizer, [shorter]) == [expected(family, "Two")]
    assert shorter.ids.tolist() == encoded.ids[what.kept].tolist()
    assert cut(encoded, len(encoded)) == (encoded, None)
    tiny, what = cut(encoded, encoded.head)  # the system turn is given up before the answer
    assert len(tiny) == encoded.head
    assert tiny.ids[0] == tokenizer.bos_token_id
    assert learned(tokenizer, [tiny]) == [expected(family, "Two")]


def test_an_earlier_answer_without_its_beginning_is_not_learned():
    family = FAMILIES["chatml"]
    tokenizer = tokenizer_for(family)
    encoded = TemplateEncoder(tokenizer).encode(talk("Hi", "One, two, three. " * 9, "And?", "Four"))
    (start, stop), last = encoded.spans
    shorter, what = cut(encoded, len(encoded) - (start + stop) // 2)
    assert learned(tokenizer, [shorter]) == [expected(family, "Four")]
    assert what.learned.tolist() == [last[0] <= at < last[1] for at in range(len(encoded))]
    assert what.kept[stop - 1]  # it is context
    table = token_table(encoded, tokenizer, cut=what)
    assert "".join(token["text"] for token in table if token["learned"]) == expected(family, "Four")


@pytest.mark.parametrize("limit", [2, 9, 30, 60, 90, 150, 999])
def test_of_a_long_conversation_every_answer_is_learned_once(family, limit):
    tokenizer = tokenizer_for(family)
    said = [f"Answer {number}. " * (1 + 3 * number % 5) for number in range(6)]
    asked = talk(*(text for number, answer in enumerate(said) for text in (f"Question {number}?", answer)))
    found = []
    for encoded in TemplateEncoder(tokenizer).encode_turns(asked):
        parts = split_long(encoded, limit)
        assert len(parts) == 1 or limit < len(encoded)
        for part in parts:
            shorter, what = cut(part, limit)
            assert len(shorter) <= limit
            assert len(shorter.spans) == len(part.spans)  # none is lost, at most the end of one
            found += [text.strip() for text in learned(tokenizer, [shorter if what and what.end_lost else part])]
    wanted = [expected(family, answer).strip() for answer in said]
    if limit >= 90:
        assert found == wanted
    else:
        assert len(found) == len(wanted)
        assert all(whole.startswith(text) for text, whole in zip(found, wanted, strict=True))


def test_an_answer_that_is_too_long_keeps_its_beginning_and_says_that_its_end_is_lost():
    tokenizer = tokenizer_for(FAMILIES["llama3"])
    encoded = TemplateEncoder(tokenizer).encode(talk("Hi " * 30, "one two three " * 40))
    shorter, what = cut(encoded, 40)
    assert len(shorter) == 40
    assert (what.reason, what.end_lost) == (ANSWER_CUT, True)
    assert shorter.learned.sum() == 30
    assert learned(tokenizer, [shorter])[0].startswith("one two three ")
    assert "never stop" in check_learned([shorter], tokenizer)[0]


def test_other_ways_with_long_rows():
    tokenizer = tokenizer_for(FAMILIES["chatml"])
    encoded = TemplateEncoder(tokenizer).encode(talk("Hi", "Hello"))
    dropped, what = cut(encoded, 5, "drop")
    assert dropped is None
    assert not what.kept.any()
    with pytest.raises(DataError, match=r"row 8: \d+ tokens, but at most 5 are allowed"):
        cut(encoded, 5, "error", row=8)
    without_newline, what = cut(encoded, len(encoded) - 1)  # the newline behind the end of the turn is no loss
    assert what is None
    assert without_newline.ids.tolist() == encoded.ids[:-1].tolist()


@pytest.mark.parametrize("limit", [2, 3, 7, 20, 50, 90, 400])
def test_a_cut_example_is_never_longer_than_the_limit(family, limit):
    tokenizer = tokenizer_for(family)
    for answer in ("Two", "Two, of course. " * 5):
        for encoded in TemplateEncoder(tokenizer).encode_turns(talk("Hi " * 9, "One", "And? " * 9, answer)):
            shorter, what = cut(encoded, limit)
            assert 1 <= len(shorter) <= limit
            assert shorter.learned.any()
            assert sum(stop - start for start, stop in shorter.spans) == shorter.learned.sum()
            assert what is None or shorter.ids.tolist() == encoded.ids[what.kept].tolist()
