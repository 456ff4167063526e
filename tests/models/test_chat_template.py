"""What is learned of a conversation is exactly the assistant's text and the end of its turn, for every template."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
from transformers import AddedToken, AutoTokenizer

import chat_templates as made
from chat_templates import FAMILIES, called, expected, learned, said, talk, tokenizer_for
from tunesmith.core.errors import DataError, ModelError
from tunesmith.models import rendering
from tunesmith.models.chat_template import TemplateEncoder
from tunesmith.models.codec import CausalCodec
from tunesmith.models.mask import check_learned, encode_completion

ANSWERS = [
    "Hello there.",
    "é, 😀 and 日本語 👩‍👩‍👧",
    "two\n\nlines\n",
    "  spaces  ",
    "\n\nnewlines\n",
    "<b>x</b> [INST] ### Response:\n",
    "1",
]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture(params=FAMILIES)
def family(request):
    return FAMILIES[request.param]


@pytest.mark.parametrize("trim_offsets", [False, True])
@pytest.mark.parametrize("answer", ANSWERS)
def test_the_answer_and_the_end_of_the_turn_are_learned_and_nothing_else(family, answer, trim_offsets):
    if "[INST]" in family.special and "[INST]" in answer:
        pytest.skip("a special token of this family")
    tokenizer = tokenizer_for(family, trim_offsets=trim_offsets)
    encoder = TemplateEncoder(tokenizer)
    messages = talk("Hi, how\nare you? 😀", answer, " Why? ", "Because.", "So?", answer)
    examples = encoder.encode_turns(messages)
    assert len(examples) == (3 if family.turn_by_turn else 1)
    assert learned(tokenizer, examples) == [expected(family, text) for text in (answer, "Because.", answer)]
    assert encoder.end_of_turn[-1] in encoder.stop_ids
    assert check_learned(examples, tokenizer, encoder.stop_ids, chat=True) == []
    for example in examples:
        assert all(example.ids[stop - 1] == encoder.end_of_turn[-1] for _, stop in example.spans)
    if not family.turn_by_turn:
        text = tokenizer.apply_chat_template(messages, tokenize=False)
        assert tokenizer.decode(examples[0].ids, clean_up_tokenization_spaces=False) == text


def test_the_context_is_what_the_model_is_served(family):
    """The ids before a learned turn are those of the prompt, tokenised by itself."""
    tokenizer = tokenizer_for(family)
    encoder = TemplateEncoder(tokenizer)
    for answer in ("Yes", "\n\nYes", " Yes"):
        messages = talk("Hi", "Hello", "Why? ", answer)
        last = encoder.encode(messages[:-1], completion=messages[-1:])
        start = last.spans[-1][0]
        if family is not FAMILIES["generation late"]:
            assert last.ids[:start].tolist() == encoder.prompt(messages[:-1]).tolist()


def test_weights(family):
    tokenizer = tokenizer_for(family)
    encoder = TemplateEncoder(tokenizer)
    messages = talk("Hi", "One", "And?", "Two", "And?", "Three")
    messages[3]["weight"] = 0
    messages[5]["weight"] = 1
    texts = learned(tokenizer, encoder.encode_turns(messages))
    assert texts == [expected(family, "One"), expected(family, "Three")]
    messages[5]["weight"] = 0
    assert learned(tokenizer, encoder.encode_turns(messages)) == [expected(family, "One")]
    messages[1]["weight"] = 0
    with pytest.raises(DataError, match=r"row 7: there is no assistant message to learn"):
        encoder.encode_turns(messages, row=7)


def test_system_turns(family):
    tokenizer = tokenizer_for(family)
    encoder = TemplateEncoder(tokenizer)
    messages = talk("Hi", "Hello", system="Be brief.")
    if not family.system:
        with pytest.raises(DataError, match=r"no system role|leaves out message 1 \(system\)"):
            encoder.encode(messages)
        return
    encoded = encoder.encode(messages)
    assert learned(tokenizer, [encoded]) == [expected(family, "Hello")]
    assert "Be brief." in tokenizer.decode(encoded.ids[~encoded.learned])
    developer = [said("developer", "Be brief."), *messages[1:]]
    assert encoder.encode(developer).ids.tolist() == encoded.ids.tolist()


def test_a_system_text_that_is_shown_before_the_last_question_only():
    tokenizer = tokenizer_for(FAMILIES["mistral v3"])
    encoder = TemplateEncoder(tokenizer)
    messages = talk("Hi", "Hello", "Why? ", "\nBecause.", system="Be brief.")
    examples = encoder.encode_turns(messages)
    assert [tokenizer.decode(example.ids) for example in examples] == [
        "<s>[INST] Be brief.\n\nHi[/INST] Hello</s>",
        "<s>[INST] Hi[/INST] Hello</s>[INST] Be brief.\n\nWhy? [/INST] \nBecause.</s>",
    ]
    assert learned(tokenizer, examples) == [" Hello</s>", " \nBecause.</s>"]
    assert examples[1].ids[: examples[1].spans[0][0]].tolist() == encoder.prompt(messages[:-1]).tolist()


def test_a_completion_is_learned_and_its_context_is_not(family):
    tokenizer = tokenizer_for(family)
    encoder = TemplateEncoder(tokenizer)
    context = talk("Hi", "Hello", "Why?")
    chosen = encoder.encode(context, completion=[said("assistant", "Because")])
    rejected = encoder.encode(context, completion=[said("assistant", "No")])
    assert learned(tokenizer, [chosen, rejected]) == [expected(family, "Because"), expected(family, "No")]
    start = chosen.spans[0][0]
    assert chosen.ids[:start].tolist() == rejected.ids[:start].tolist()


def test_several_turns_as_one_example_are_refused_where_history_reads_differently():
    messages = talk("Hi", "Hello", "Why?", "Because")
    assert len(TemplateEncoder(tokenizer_for(FAMILIES["chatml"])).encode(messages).spans) == 2
    with pytest.raises(DataError, match=r"row 3: .*2 assistant turns differently once they are history"):
        TemplateEncoder(tokenizer_for(FAMILIES["qwen3"])).encode(messages, row=3)


def test_special_tokens_in_the_data_are_refused(family):
    encoder = TemplateEncoder(tokenizer_for(family))
    for token in {*family.special, family.eos} - {"[/INST]"}:
        forged = f"Hi{token}\n{token}assistant"
        for messages in (talk(forged, "Hello"), talk("Hi", forged), talk("Hi", "Hello", forged, "Yes")):
            with pytest.raises(DataError, match=r"row 5: message \d .*: the text .* is a special token"):
                encoder.encode_turns(messages, row=5)


def test_special_tokens_hidden_in_tools_are_refused():
    encoder = TemplateEncoder(tokenizer_for(FAMILIES["tools"]))
    with pytest.raises(DataError, match="special token"):
        encoder.encode([said("user", "Hi"), called('{"city": "\\u003c|im_end|>"}')], [TOOL])
    with pytest.raises(DataError, match=r"the tools: the text '<\|im_end\|>'"):
        encoder.encode(talk("Hi", "Yes"), [{**TOOL, "description": "<|im_end|>"}])


@pytest.mark.parametrize("name", ["tools", "text arguments"])
@pytest.mark.parametrize("arguments", ['{"city": "Köln"}', {"city": "Köln"}])
def test_tool_calls_are_learned_as_rendered(name, arguments):
    tokenizer = tokenizer_for(FAMILIES[name])
    messages = [said("user", "Weather?"), called(arguments), said("tool", '{"sun": true}'), said("assistant", "Sunny.")]
    encoded = TemplateEncoder(tokenizer).encode(messages, [TOOL])
    call, answer = learned(tokenizer, [encoded])
    assert call.startswith("<tool_call>\n")
    assert call.endswith("\n</tool_call><|im_end|>")
    assert json.loads(call.removeprefix("<tool_call>").removesuffix("</tool_call><|im_end|>")) == {
        "name": "weather", "arguments": {"city": "Köln"},
    }  # fmt: skip
    assert answer == "Sunny.<|im_end|>"
    messages[1]["content"] = "Let me look."
    assert learned(tokenizer, [TemplateEncoder(tokenizer).encode(messages, [TOOL])])[0] == "Let me look.\n" + call


def test_arguments_in_a_form_of_the_template_are_learned_and_python_is_not():
    """A template that prints an object as Python does gets the arguments as JSON text."""
    messages = [said("user", "Weather?"), called({"city": "Köln"})]
    for template, form in [
        (made.TAGGED_ARGUMENTS, "<city>Köln</city>"),
        (made.PYTHON_ARGUMENTS, '{"city": "Köln"}'),
    ]:
        tokenizer = tokenizer_for(replace(FAMILIES["tools"], template=template))
        text = learned(tokenizer, [TemplateEncoder(tokenizer).encode(messages, [TOOL])])[0]
        assert text == '<tool_call>\n{"name": "weather", "arguments": ' + form + "}\n</tool_call><|im_end|>"


def test_another_end_after_tool_calls_is_learned_and_stops_generation():
    family = replace(
        FAMILIES["tools"], template=made.TOOL_CALL_END, special=("<|im_start|>", "<|im_end|>", "<|eom_id|>")
    )
    tokenizer = tokenizer_for(family)
    encoder = TemplateEncoder(tokenizer)
    encoded = encoder.encode([said("user", "Weather?"), called("{}"), said("tool", "sun"), said("assistant", "Sun.")])
    assert [text[-10:] for text in learned(tokenizer, [encoded])] == ["<|eom_id|>", "<|im_end|>"]
    assert tokenizer.convert_tokens_to_ids("<|eom_id|>") in encoder.stop_ids


def test_ids_of_calls_are_as_the_template_takes_them():
    """Mistral's takes nine letters and digits."""
    tokenizer = tokenizer_for(replace(FAMILIES["tools"], template=made.NINE_LETTERS))
    encoder = TemplateEncoder(tokenizer)

    def written(*ids):
        calls = [{**called("{}")["tool_calls"][0], "id": number} for number in ids]
        answers = [said("tool", "sun", tool_call_id=number) for number in ids]
        messages = [said("user", "Weather?"), said("assistant", None, tool_calls=calls), *answers]
        return tokenizer.decode(encoder.encode([*messages, said("assistant", "Sunny.")]).ids)

    found = written("call_1", "call_abc")
    assert found.count("call00000") == found.count("call00001") == 2
    assert "call_" not in found
    assert written("abcdefgh1").count("abcdefgh1") == 2


def test_a_template_that_writes_only_the_first_of_several_calls_is_refused():
    encoder = TemplateEncoder(tokenizer_for(replace(FAMILIES["tools"], template=made.FIRST_CALL_ONLY)))
    one, two = called('{"city": "Paris"}'), called('{"city": "weather"}')
    assert encoder.encode([said("user", "Weather?"), one]).learned.any()
    both = said("assistant", None, tool_calls=[*one["tool_calls"], *two["tool_calls"]])
    for calls in (both["tool_calls"], both["tool_calls"][::-1]):
        with pytest.raises(DataError, match=r"leaves out or rewrites a part of message 2"):
            encoder.encode([said("user", "Weather?"), {**both, "tool_calls": calls}])


def test_what_a_template_would_leave_out_is_refused():
    chatml = FAMILIES["chatml"]
    with pytest.raises(DataError, match=r"row 2: .* leaves out message 1 \(system\)"):
        TemplateEncoder(tokenizer_for(replace(chatml, template=made.SILENT_SYSTEM))).encode(
            talk("Hi", "Hello", system="Be brief."), row=2
        )
    encoder = TemplateEncoder(tokenizer_for(chatml))
    with pytest.raises(DataError, match="does not write tool calls"):
        encoder.encode([said("user", "Weather?"), called("{}")])
    with pytest.raises(DataError, match="no place for tools"):
        encoder.encode(talk("Hi", "Hello"), [TOOL])
    mistral = TemplateEncoder(tokenizer_for(FAMILIES["mistral"]))
    with pytest.raises(DataError, match=r"leaves out message 2 \(tool\)"):
        mistral.encode([said("user", "Weather?"), said("tool", "sun"), said("assistant", "Sun.")])


def test_messages_that_the_template_refuses_are_named():
    with pytest.raises(DataError, match=r"row 4: .*up to message 3: roles must alternate"):
        TemplateEncoder(tokenizer_for(FAMILIES["llama2"])).encode(
            [said("user", "a"), said("assistant", "b"), said("assistant", "c")], row=4
        )
    with pytest.raises(DataError, match="begins with the assistant"):
        TemplateEncoder(tokenizer_for(FAMILIES["gemma"])).encode([said("assistant", "b")])
    with pytest.raises(DataError, match="content of message 1 is not text"):
        TemplateEncoder(tokenizer_for(FAMILIES["gemma"])).encode(
            [said("user", [{"type": "text"}]), said("assistant", "b")]
        )


# --- Templates and tokenizers ---------------------------------------------------------------------


def test_marks_of_the_template_agree_with_transformers():
    tokenizer = tokenizer_for(replace(FAMILIES["generation"], template=made.GENERATION_EXACT))
    messages = talk("Hi", "Hello 😀", "Why?", "Because.\n")
    there = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
    here = TemplateEncoder(tokenizer).encode(messages)
    assert here.ids.tolist() == there["input_ids"]
    assert here.learned.astype(int).tolist() == there["assistant_masks"]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (None, "has no chat template"),
        (made.RAISES, "fails on a question and an answer"),
        (made.NO_ANSWERS, "does not write a question and its answer"),
        ("{% for m in messages %}", "fails on a question and an answer"),
        (made.ESCAPES, "unsafe"),
        ("{{ messages.append(1) }}" + made.CHATML, "unsafe"),
    ],
)
def test_broken_and_hostile_templates_are_refused(template, message):
    tokenizer = tokenizer_for(FAMILIES["chatml"])
    tokenizer.chat_template = template
    with pytest.raises(ModelError, match=message):
        TemplateEncoder(tokenizer)


def test_a_template_that_does_not_finish_is_refused(monkeypatch):
    monkeypatch.setattr(rendering, "SECONDS", 0.05)
    with pytest.raises(ModelError, match="did not finish"):
        TemplateEncoder(tokenizer_for(replace(FAMILIES["chatml"], template=made.SLOW)))


def test_a_tokenizer_without_an_end_is_refused():
    tokenizer = tokenizer_for(FAMILIES["chatml"])
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="no end-of-sequence token"):
        TemplateEncoder(tokenizer)
    with pytest.raises(ModelError, match="no end-of-sequence token"):
        encode_completion(tokenizer, "", "Hello")


@pytest.mark.parametrize("name", ["llama3", "zephyr"])
def test_the_beginning_of_sequence_comes_once(name):
    """Whether the template writes it (llama3), the tokenizer adds it (zephyr), or both."""
    tokenizer = tokenizer_for(FAMILIES[name], add_bos=True)
    assert tokenizer("Hi").input_ids[0] == tokenizer.bos_token_id
    encoder = TemplateEncoder(tokenizer)
    examples = [
        encoder.encode(talk("Hi", "Hello", system="Be brief.")),
        encode_completion(tokenizer, "Hi", "Hello"),
        encode_completion(tokenizer, "", "Hello"),
        encode_completion(tokenizer, "", "<s>Hello"),
    ]
    for example in examples:
        assert (example.ids == tokenizer.bos_token_id).sum() == 1
        assert example.ids[0] == tokenizer.bos_token_id
        assert not example.learned[0]
        assert learned(tokenizer, [example])[0].startswith("Hello")
    assert encoder.prompt(talk("Hi"))[0] == tokenizer.bos_token_id


def test_tokens_that_swallow_the_white_space_behind_them():
    family = FAMILIES["phi3"]
    tokenizer = tokenizer_for(replace(family, special=()))
    tokens = [AddedToken(token, rstrip=True, special=True) for token in family.special]
    tokenizer.add_special_tokens({"additional_special_tokens": tokens})
    for answer in ("Hello", "\n  Hello \n"):
        encoded = TemplateEncoder(tokenizer).encode(talk("Hi", answer, "Why?", answer))
        assert learned(tokenizer, [encoded]) == [answer + "<|end|>"] * 2


@pytest.mark.parametrize("name", ["llama2", "mistral", "zephyr", "alpaca", "chatml", "llama3", "trailing space"])
@pytest.mark.parametrize("answer", ANSWERS[:4])
def test_a_sentencepiece_like_tokenizer(shared_data, name, answer):
    family = FAMILIES[name]
    tokenizer = AutoTokenizer.from_pretrained(shared_data / "w_stories260k" / "hf")
    tokenizer.add_special_tokens({"additional_special_tokens": list(family.special)})
    tokenizer.chat_template = family.template
    encoder = TemplateEncoder(tokenizer)
    examples = encoder.encode_turns(talk("Hi", answer, "Why?", "Because"))
    texts = learned(tokenizer, examples)
    for text, wanted in zip(texts, (answer, "Because"), strict=True):
        # this tokenizer writes a space behind a special token, and reads none at the start
        assert text.replace(" </s>", "</s>").lstrip(" ") == expected(family, wanted).replace(" </s>", "</s>").lstrip(
            " "
        )
    for example in examples:
        assert (example.ids == tokenizer.bos_token_id).sum() in (1, 2 if name == "llama2" else 1)
        assert example.ids[0] == tokenizer.bos_token_id
    assert check_learned(examples, tokenizer, encoder.stop_ids, chat=True) == []


def test_short_conversations_encode_fast():
    tokenizer = tokenizer_for(FAMILIES["llama3"])
    encoder = TemplateEncoder(tokenizer)
    start = time.perf_counter()
    for number in range(400):
        encoder.encode(talk(f"What is {number} and why?", f"It is {number}, because it was.", system="Be brief."))
    assert time.perf_counter() - start < 400 * 0.006  # 1.5 ms is the aim; a busy machine is slower


def test_what_is_asked_and_wanted_is_the_last_answer_that_is_learned() -> None:
    codec = CausalCodec(tokenizer_for(FAMILIES["tools"]))
    good = talk("Is it good?", "Yes.")
    bad = {"form": "chat", "messages": [*good, said("user", "Sure?"), said("assistant", "No!", weight=0)]}
    assert codec.references(bad) == ["Yes."]
    assert codec.question(bad) == "Is it good?"
    assert codec.prompt(bad).tolist() == codec.prompt_of(good[:1]).tolist()
    call = {"form": "chat", "messages": [said("user", "Weather?"), called('{"city": "Paris"}')], "tools": [TOOL]}
    assert codec.references(call) == ['<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>']
    assert codec.prompt(call).tolist() == codec.prompt_of(call["messages"][:1], [TOOL]).tolist()


def test_a_question_is_shown_after_the_turns_before_it() -> None:
    one, two = talk("Is it good?", "Which?"), talk("The lamp.", "Yes.")
    assert CausalCodec.question({"messages": one}) == "Is it good?"
    asked = "user: Is it good?\nassistant: Which?\nuser: The lamp."
    assert CausalCodec.question({"messages": [*one, *two]}) == asked
