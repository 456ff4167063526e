"""Every format of text to generate is recognised from its columns, and becomes the internal form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tunesmith.core.errors import DataError, OptionError
from tunesmith.core.events import Decided, Event, Warned, ignore
from tunesmith.data.conversations import detect, read_examples

USER = {"role": "user", "content": "What is the weather in Oslo?"}
ASSISTANT = {"role": "assistant", "content": "Cold."}
CHAT = [USER, ASSISTANT]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "default": None}}}


def call(number: str, arguments: str = '{"city": "Oslo"}') -> dict[str, Any]:
    return {"id": number, "type": "function", "function": {"name": "weather", "arguments": arguments}}


CALLED = [
    USER,
    {"role": "assistant", "content": None, "tool_calls": [call("call_1")]},
    {"role": "tool", "tool_call_id": "call_1", "content": "-3 C"},
    ASSISTANT,
]


def read(*rows: Any, **given: Any) -> Any:
    return read_examples(list(rows), emit=ignore, **given)


def first(*rows: Any, **given: Any) -> dict[str, Any]:
    example: dict[str, Any] = read(*rows, **given)[0]
    return example


# --- One row of each format --------------------------------------------------------------------

CHAT_ROWS: dict[str, Any] = {
    "openai": {"messages": CHAT},
    "openai as a JSON string": {"messages": json.dumps(CHAT)},
    "role/content in conversations": {"conversations": CHAT},
    "text parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": USER["content"]}]}, ASSISTANT]},
    "refusal": {"messages": [USER, {"role": "assistant", "content": None, "refusal": "Cold."}]},
    "sharegpt": {"conversations": [{"from": "human", "value": USER["content"]}, {"from": "gpt", "value": "Cold."}]},
    "gemini": {
        "contents": [
            {"role": "user", "parts": [{"text": USER["content"]}]},
            {"role": "model", "parts": [{"text": "Co"}, {"text": "ld."}]},
        ]
    },
    "alpaca": {"instruction": USER["content"], "input": "", "output": "Cold."},
    "dolly": {"instruction": USER["content"], "context": "", "response": "Cold.", "category": "open_qa"},
    "query": {"query": USER["content"], "response": "Cold."},
    "question and answer": {"question": USER["content"], "answer": "Cold."},
    "Frage und Antwort": {"Frage": USER["content"], "Antwort": "Cold."},
    "вопрос и ответ": {"Вопрос": USER["content"], "Ответ": "Cold."},
    "質問と回答": {"質問": USER["content"], "回答": "Cold."},
    "réponse, letters and accents apart": {"Question": USER["content"], "Re\u0301ponse": "Cold."},
    "user and assistant": {"user": USER["content"], "assistant": "Cold."},
    "Chinese alpaca": {"指令": USER["content"], "输入": "", "输出": "Cold."},
    "prompt and response": {"prompt": USER["content"], "response": "Cold."},
    "prompt and completion as messages": {"prompt": [USER], "completion": [ASSISTANT]},
    "as Python prints it": {"messages": str(CHAT), "tools": ""},
    "null in words": {"messages": json.dumps(CHAT), "tools": "null"},
    "no history in words": {"instruction": USER["content"], "input": "", "output": "Cold.", "history": "null"},
    "another sharegpt": {
        "conversations": [{"from": "prompter", "value": USER["content"]}, {"from": "ai", "value": "Cold."}]
    },
}


@pytest.mark.parametrize("row", CHAT_ROWS.values(), ids=list(CHAT_ROWS))
def test_chats(row: dict[str, Any]) -> None:
    assert first(row) == {"row": 1, "form": "chat", "messages": CHAT, "tools": None}


def test_json_in_a_cell_may_have_line_breaks_in_its_texts() -> None:
    said = json.dumps([USER, {"role": "assistant", "content": "Cold. Very."}]).replace("Cold. ", "Cold.\n")
    assert first({"messages": said})["messages"][1]["content"] == "Cold.\nVery."


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "system", "content": "Be short."}, *CHAT]},
        {"conversations": [{"from": "system", "value": "Be short."}, {"from": "human", "value": USER["content"]},
                           {"from": "gpt", "value": "Cold."}]},
        {"conversations": [{"from": "human", "value": USER["content"]}, {"from": "gpt", "value": "Cold."}],
         "system": "Be short."},
        {"systemInstruction": {"role": "system", "parts": [{"text": "Be short."}]},
         "contents": [{"role": "user", "parts": [{"text": USER["content"]}]},
                      {"role": "model", "parts": [{"text": "Cold."}]}]},
        {"instruction": USER["content"], "output": "Cold.", "system": "Be short."},
        {"query": USER["content"], "response": "Cold.", "system": "Be short."},
    ],
)  # fmt: skip
def test_a_system_message_from_everywhere(row: dict[str, Any]) -> None:
    assert first(row)["messages"] == [{"role": "system", "content": "Be short."}, *CHAT]


TOOL_ROWS: dict[str, Any] = {
    "openai": {"messages": CALLED, "tools": [TOOL]},
    "legacy functions": {
        "messages": [
            USER,
            {"role": "assistant", "content": None, "function_call": call("")["function"]},
            {"role": "function", "name": "weather", "content": "-3 C"},
            ASSISTANT,
        ],
        "functions": [TOOL["function"]],
    },
    "arguments as objects, no ids": {
        "messages": [
            USER,
            {"role": "assistant", "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
            {"role": "tool", "content": "-3 C"},
            ASSISTANT,
        ],
        "tools": json.dumps([TOOL]),
    },
    "sharegpt": {
        "conversations": [
            {"from": "human", "value": USER["content"]},
            {"from": "function_call", "value": '{"name": "weather", "arguments": {"city": "Oslo"}}'},
            {"from": "observation", "value": "-3 C"},
            {"from": "gpt", "value": "Cold."},
        ],
        "tools": json.dumps([TOOL["function"]]),
    },
    "gemini": {
        "contents": [
            {"role": "user", "parts": [{"text": USER["content"]}]},
            {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {"city": "Oslo"}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {"output": "-3 C"}}}]},
            {"role": "model", "parts": [{"text": "Cold."}]},
        ],
        "tools": [{"functionDeclarations": [TOOL["function"]]}],
    },
    "gemini's Python client": {
        "contents": [
            {"role": "user", "parts": [{"text": USER["content"]}]},
            {"role": "model", "parts": [{"function_call": {"name": "weather", "args": {"city": "Oslo"}}}]},
            {"role": "user", "parts": [{"function_response": {"name": "weather", "response": {"output": "-3 C"}}}]},
            {"role": "model", "parts": [{"text": "Cold."}]},
        ],
        "tools": [{"function_declarations": [TOOL["function"]]}],
    },
}


@pytest.mark.parametrize("row", TOOL_ROWS.values(), ids=list(TOOL_ROWS))
def test_tools_and_calls(row: dict[str, Any]) -> None:
    example = first(row)
    assert example["tools"] == [TOOL]
    assert example["messages"] == CALLED


def test_weights_stay_and_other_names_of_them_are_known() -> None:
    said = [USER, {**ASSISTANT, "weight": 0}, USER, {**ASSISTANT, "weight": 1.0}]
    assert [message.get("weight") for message in first({"messages": said})["messages"]] == [None, 0, None, 1]
    said = [USER, {**ASSISTANT, "loss": False}, USER, {**ASSISTANT, "train": True}]
    assert [message.get("weight") for message in first({"messages": said})["messages"]] == [None, 0, None, 1]


def test_what_the_assistant_said_in_a_prompt_is_not_learned() -> None:
    found = first({"prompt": [USER, ASSISTANT, USER], "completion": [ASSISTANT]})["messages"]
    assert found == [USER, {**ASSISTANT, "weight": 0}, USER, ASSISTANT]


def test_alpaca_with_input_and_history() -> None:
    row = {"instruction": "Add.", "input": "1 + 1", "output": "2", "history": [["Hi.", "Hello."]]}
    assert [(m["role"], m["content"]) for m in first(row)["messages"]] == [
        ("user", "Hi."), ("assistant", "Hello."), ("user", "Add.\n1 + 1"), ("assistant", "2"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "about", "answer"),
    [("instruction", "input", "answer"), ("instruction", "context", "completion"), ("anweisung", "eingabe", "antwort")],
)
def test_what_an_instruction_is_about_is_never_lost(asked: str, about: str, answer: str) -> None:
    example = first({asked: "Translate:", about: "cold", answer: "kalt"})
    assert example["messages"][0]["content"] == "Translate:\ncold"


def test_prompt_and_completion_have_no_template() -> None:
    assert first({"prompt": "2 + 2 =", "completion": " 4"}) == {
        "row": 1, "form": "completion", "prompt": "2 + 2 =", "completion": " 4",
    }  # fmt: skip


GOOD, BAD = {"role": "assistant", "content": "Cold."}, {"role": "assistant", "content": "No idea."}
PREFERENCE_ROWS: dict[str, Any] = {
    "openai": {"input": {"messages": [USER]}, "preferred_output": [GOOD], "non_preferred_output": [BAD]},
    "messages": {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
    "whole conversations": {"chosen": [USER, GOOD], "rejected": [USER, BAD]},
    "a prompt and whole conversations": {"prompt": USER["content"], "chosen": [USER, GOOD], "rejected": [USER, BAD]},
    "sharegpt": {
        "conversations": [{"from": "human", "value": USER["content"]}],
        "chosen": {"from": "gpt", "value": "Cold."},
        "rejected": {"from": "gpt", "value": "No idea."},
    },
    "messages and strings": {"prompt": [USER], "chosen": "Cold.", "rejected": "No idea."},
}


@pytest.mark.parametrize("row", PREFERENCE_ROWS.values(), ids=list(PREFERENCE_ROWS))
def test_preferences(row: dict[str, Any]) -> None:
    assert first(row) == {
        "row": 1, "form": "preference", "messages": [USER], "chosen": [GOOD], "rejected": [BAD], "tools": None,
    }  # fmt: skip


def test_preferences_of_strings() -> None:
    plain = {"row": 1, "form": "preference", "messages": None, "tools": None}
    row = {"prompt": "Hi", "chosen": "Hello", "rejected": "Go"}
    assert first(row) == {**plain, **row}
    shared = "\n\nHuman: Hi\n\nAssistant:"
    assert first({"chosen": f"{shared} I am well", "rejected": f"{shared} I hate you"}) == {
        **plain, "prompt": shared, "chosen": " I am well", "rejected": " I hate you",
    }  # fmt: skip


def test_system_before_a_preference() -> None:
    row = {"system": "Be kind.", "question": "Hi", "chosen": "Hello", "rejected": "Go"}
    assert [message["content"] for message in first(row)["messages"]] == ["Be kind.", "Hi"]


@pytest.mark.parametrize(("label", "truth"), [(True, True), (False, False), ("true", True), ("0", False), (1, True)])
def test_feedback(label: Any, truth: bool) -> None:
    example = first({"prompt": "Hi", "completion": "Hello", "label": label})
    assert example == {
        "row": 1, "form": "feedback", "messages": None, "prompt": "Hi", "completion": "Hello", "label": truth,
        "tools": None,
    }  # fmt: skip


def test_feedback_without_a_prompt() -> None:
    example = first({"completion": "Hello", "label": True})
    assert (example["form"], example["prompt"], example["completion"]) == ("feedback", "", "Hello")
    example = first({"completion": CHAT, "label": True})
    assert (example["messages"], example["completion"]) == ([USER], [ASSISTANT])


@pytest.mark.parametrize("wrong", ["maybe", None, 2])
def test_a_wrong_judgement_is_a_fault_of_its_row_and_makes_no_other_format(wrong: Any) -> None:
    rows = [{"prompt": "Hi", "completion": str(n), "label": bool(n % 2)} for n in range(4)]
    rows[2]["label"] = wrong
    with pytest.raises(DataError, match=r'row 3: key "label": (is missing|.* is neither true nor false)') as refused:
        read(*rows)
    assert len(refused.value.problems) == 1


def test_a_preference_without_its_prompt_is_a_fault() -> None:
    rows = [{"prompt": prompt, "chosen": "Hello", "rejected": "Go"} for prompt in ("Hi", None)]
    with pytest.raises(DataError, match='row 2: key "prompt": is missing'):
        read(*rows)


def test_feedback_on_messages() -> None:
    for row in ({"messages": CHAT, "label": False}, {"prompt": [USER], "completion": [ASSISTANT], "label": False}):
        example = first(row)
        assert (example["form"], example["label"]) == ("feedback", False)
        assert (example["messages"], example["completion"]) == ([USER], [ASSISTANT])


@pytest.mark.parametrize(
    "row",
    [
        {"source": "a b", "target": "c"},
        {"source": ["a", "b"], "target": ["c"]},
        {"document": "a b", "summary": "c"},
        {"article": "a b", "highlights": "c"},
        {"dialogue": "a b", "summary": "c", "topic": "x"},
        {"text": "a b", "summary": "c"},
        {"src": "a b", "tgt": "c"},
        {"input": "a b", "output": "c"},
        {"translation": {"en": "a b", "de": "c"}},
    ],
)
def test_pairs(row: dict[str, Any]) -> None:
    example = first(row)
    assert (example["form"], example["source"], example["target"]) == ("pair", "a b", "c")


def test_references() -> None:
    assert first({"source": "a", "target": ["b", "c"]})["references"] == ["b", "c"]
    assert first({"source": "a", "target": "b", "references": '["b", "d"]'})["references"] == ["b", "d"]
    assert first({"source": "a", "target": "b"})["references"] is None


def test_text_alone() -> None:
    assert first({"text": "Once upon a time.", "url": "x"}) == {"row": 1, "form": "text", "text": "Once upon a time."}


# --- What is no generative data ----------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        {"text": "good", "label": "pos"},
        {"text": "good", "category": "a"},
        {"text": "good", "anything": "a"},
        {"id": "1", "text": "good", "label": 0},
        {"source": "good", "target": 1},
        {"text": "good", "summary": "nice", "score": 5},
        {"question": "Is it?", "answer": "It is so.", "label": 1},
        {"query": "shoes", "response": "red shoes", "label": 1},
        {"question": "Is it?", "passage": "It is.", "answer": True},
        {"messages": "I forgot my password", "label": "account"},
        {"sentence1": "a", "sentence2": "b", "score": 1.0},
        {"input": "a b c", "output": "1"},
        {"tokens": ["a"], "tags": ["O"]},
        {"column_1": "a"},
        {"instruction": "a", "instances": [{"input": "", "output": "b"}]},
    ],
)
def test_tables_to_classify_are_left_to_other_tasks(row: dict[str, Any]) -> None:
    assert detect(list(row), [row] * 3) is None


def test_few_repeated_answers_are_classes() -> None:
    rows = [{"question": f"Is {n} even?", "answer": "no" if n % 2 else "yes"} for n in range(20)]
    assert detect(["question", "answer"], rows) is None
    found = detect(["question", "answer"], rows, "pair")
    assert found is not None
    assert found.columns == {"source": "question", "target": "answer"}


def test_classes_beside_questions_of_any_language_are_classes() -> None:
    row = {"Frage": "Wie warm muss der Teig sein?", "Antwort": "Etwa zwanzig Grad."}
    assert detect(list(row), [row] * 3).name == "query-response"  # type: ignore[union-attr]
    assert detect([*row, "Kategorie"], [{**row, "Kategorie": "Brot"}] * 3) is None
    assert detect([*row, "Bewertung"], [{**row, "Bewertung": "gut"}] * 3).form == "feedback"  # type: ignore[union-attr]
    ids = {"user": "u17", "assistant": "a3"}
    assert detect(list(ids), [ids] * 12) is None
    texts = {"Eingabe": row["Frage"], "Ausgabe": row["Antwort"]}
    assert detect(list(texts), [texts] * 3).form == "pair"  # type: ignore[union-attr]


@pytest.mark.parametrize("names", [("question", "answer"), ("source", "target"), ("document", "summary")])
def test_texts_and_their_answers_are_a_chat_or_a_pair_as_asked(names: tuple[str, str]) -> None:
    row = dict(zip(names, ("What is it like?", "Cold."), strict=True))
    assert first(row, form=("chat", "completion", "text"))["messages"][1]["content"] == "Cold."
    assert first(row, form=("pair",))["target"] == "Cold."


def test_a_form_may_be_asked_for() -> None:
    row = {"text": "a text", "label": "x"}
    assert read(row, form="text").form == "text"
    with pytest.raises(DataError, match=r"no known format of text to generate \(columns: text, label\)"):
        read(row)
    with pytest.raises(OptionError, match="Did you mean 'preference'"):
        read(row, form="preferences")


def test_the_format_and_what_is_left_out_are_told() -> None:
    events: list[Event] = []
    read_examples(
        [{"instruction": "a", "output": "b", "id": 1}, {"instruction": "a", "output": ""}], emit=events.append
    )
    assert events == [
        Decided("format", "alpaca", "the columns 'instruction' and 'output'"),
        Decided("skipped columns", ["id"], "the format 'alpaca' has no use for them"),
        Warned("dropped rows", "1 rows are left out: no output"),
    ]
