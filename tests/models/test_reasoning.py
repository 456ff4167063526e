"""What is learned where a template keeps, drops or writes the thoughts before an answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

import chat_templates as made
from chat_templates import FAMILIES, Family, called, learned, said, talk, tokenizer_for
from tunesmith.core.errors import DataError
from tunesmith.models import rendering
from tunesmith.models.chat_template import TemplateEncoder

THOUGHT = "<think>\nLet me see.\n</think>\n\nFour."


def test_reasoning_that_the_template_keeps_in_the_last_turn():
    tokenizer = tokenizer_for(FAMILIES["qwen3"])
    examples = TemplateEncoder(tokenizer).encode_turns(talk("2+2?", THOUGHT, "Sure?", "Yes."))
    assert learned(tokenizer, examples) == [THOUGHT + "<|im_end|>", "<think>\n\n</think>\n\nYes.<|im_end|>"]
    assert "Let me see" not in tokenizer.decode(examples[1].ids)  # history is as the template shows it


def test_a_generation_prompt_with_an_empty_thought():
    tokenizer = tokenizer_for(FAMILIES["qwen3"])
    encoder = TemplateEncoder(tokenizer, {"enable_thinking": False})
    assert learned(tokenizer, [encoder.encode(talk("2+2?", "Four."))]) == ["Four.<|im_end|>"]
    assert learned(tokenizer, [encoder.encode(talk("2+2?", "<think>\n</think>\nFour."))]) == ["Four.<|im_end|>"]
    with pytest.raises(DataError, match=r"the generation prompt .* closes it"):
        encoder.encode(talk("2+2?", THOUGHT))


@pytest.mark.parametrize(
    ("answer", "learns"),
    [
        (THOUGHT, "Let me see.\n</think>\n\nFour.</s>"),
        ("<think>\n\n</think>\n\nFour.", "\n</think>\n\nFour.</s>"),
        ("Let me see.</think>Four.", "Let me see.</think>Four.</s>"),
    ],
)
def test_reasoning_that_the_template_drops_is_learned_behind_the_generation_prompt(answer, learns):
    tokenizer = tokenizer_for(
        Family(made.R1, "</s>", ("<|User|>", "<|Assistant|>"), ("<think>", "</think>"), bos="<s>")
    )
    encoder = TemplateEncoder(tokenizer)
    examples = encoder.encode_turns(talk("2+2?", answer, "Sure?", answer))
    assert learned(tokenizer, examples) == [learns, learns]
    assert tokenizer.decode(examples[0].ids) == "<s><|User|>2+2?<|Assistant|><think>\n" + learns
    assert tokenizer.decode(examples[1].ids).startswith("<s><|User|>2+2?<|Assistant|>Four.</s><|User|>Sure?")
    with pytest.raises(DataError, match=r"row 9: .*begins the answer with .*<think>") as refused:
        encoder.encode(talk("2+2?", "Four."), row=9)
    assert "reasoning before the answer" in refused.value.fix


def test_a_role_header_is_not_learned_though_the_template_marks_it():
    family = Family(made.R1_MARKED, "</s>", ("<|User|>", "<|Assistant|>"), ("<think>", "</think>"), bos="<s>")
    tokenizer = tokenizer_for(family)
    assert learned(tokenizer, [TemplateEncoder(tokenizer).encode(talk("2+2?", "Four."))]) == ["Four.</s>"]


def test_a_call_whose_token_begins_as_the_tag_of_reasoning_does_is_learned_whole():
    special = ("<|User|>", "<|Assistant|>", "<|call|>")
    tokenizer = tokenizer_for(Family(made.R1_CALLS, "</s>", special, ("<think>", "</think>"), bos="<s>"))
    encoded = TemplateEncoder(tokenizer).encode([said("user", "Weather?"), called('{"city": "Paris"}')])
    assert learned(tokenizer, [encoded]) == ['<|call|>weather{"city": "Paris"}</s>']


def test_a_second_thought_of_the_template_is_not_learned():
    tokenizer = tokenizer_for(replace(FAMILIES["qwen3"], template=made.THINKS_TWICE))
    encoder = TemplateEncoder(tokenizer)
    assert learned(tokenizer, [encoder.encode(talk("2+2?", "Four."))]) == ["\n</think>\n\nFour.<|im_end|>"]
    assert learned(tokenizer, [encoder.encode(talk("2+2?", THOUGHT))]) == ["Let me see.\n</think>\n\nFour.<|im_end|>"]


def test_an_answer_that_the_template_rewrites_is_refused():
    family = replace(FAMILIES["chatml"], template=made.CHATML.replace("{{ m.content }}", "{{ m.content | lower }}"))
    encoder = TemplateEncoder(tokenizer_for(family))
    assert encoder.encode(talk("hi", "hello")).learned.any()
    with pytest.raises(DataError, match=r"rewrites a part of message 2"):
        encoder.encode(talk("hi", "Hello"))


def test_reasoning_is_no_part_of_what_is_compared() -> None:
    assert rendering.without_reasoning("<think>\nhm\n</think>\n\nFour.") == "Four."
    assert rendering.without_reasoning(" Four. ") == "Four."
