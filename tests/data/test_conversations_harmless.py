"""What is harmless in a conversation is accepted and told; words for nothing are no texts."""

from __future__ import annotations

from typing import Any

import pytest

from tunesmith.core.events import Event, Warned, ignore
from tunesmith.data.conversations import ReadRequest, read_examples

USER = {"role": "user", "content": "What is the weather in Oslo?"}
ASSISTANT = {"role": "assistant", "content": "Cold."}
CHAT = [USER, ASSISTANT]


def read(*rows: Any, **given: Any) -> Any:
    return read_examples(list(rows), emit=ignore, **given)


# --- What is harmless ---------------------------------------------------------------------------


def test_what_logs_keep_beside_a_message_is_left_out_and_told() -> None:
    log = {"refusal": None, "annotations": [], "audio": None, "function_call": None, "tool_calls": None, "id": "m1",
           "finish_reason": "stop", "colour": ""}  # fmt: skip
    events: list[Event] = []
    (example,) = read_examples([{"messages": [USER, {**ASSISTANT, **log}]}], emit=events.append)
    assert example["messages"] == CHAT
    told = " ".join(event.message for event in events if isinstance(event, Warned))
    assert all(key in told for key in ("annotations", "finish_reason", "colour"))
    assert "refusal" not in told


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", "thinking"])
def test_thoughts_have_one_name(key: str) -> None:
    example = read({"messages": [USER, {**ASSISTANT, key: "It is winter."}]})[0]
    assert example["messages"][1] == {**ASSISTANT, "reasoning_content": "It is winter."}
    assert read({"messages": [USER, {**ASSISTANT, key: ""}]})[0]["messages"] == CHAT


def test_an_empty_system_message_is_left_out_and_told() -> None:
    events: list[Event] = []
    said = [
        {"from": "system", "value": " "},
        {"from": "human", "value": USER["content"]},
        {"from": "gpt", "value": "Cold."},
    ]
    (example,) = read_examples([{"conversations": said, "system": ""}], emit=events.append)
    assert example["messages"] == CHAT
    assert [event.message for event in events if isinstance(event, Warned)] == [
        "1 rows: an empty system message is left out"
    ]


def test_a_greeting_is_told() -> None:
    events: list[Event] = []
    read_examples([{"messages": [{"role": "assistant", "content": "Welcome."}, *CHAT]}] * 2, emit=events.append)
    assert any(isinstance(event, Warned) and "2 rows: the conversation begins" in event.message for event in events)


# --- Words for nothing ---------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["nan", "None", "NULL", "N/A", "<NA>", "k.A.", "-", "無し"])
def test_words_for_nothing_in_cells_beside_the_question_are_empty(word: str) -> None:
    row = {"instruction": USER["content"], "input": word, "output": "Cold.", "system": word}
    events: list[Event] = []
    (example,) = read_examples([row], emit=events.append)
    assert example["messages"] == CHAT
    told = [event.message for event in events if isinstance(event, Warned)]
    said = "1 rows: a word for nothing in {!r} is read as an empty cell"
    assert sorted(told) == [said.format("input"), said.format("system")]
    kept = read(row, form=ReadRequest(keep_nothing=True))[0]
    assert kept["messages"][1]["content"] == f"{USER['content']}\n{word}"


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ({"instruction": "What is it like?", "output": "nan"}, "output"),
        ({"question": "What is it like?", "answer": "NULL"}, "answer"),
        ({"question": "N/A", "answer": "Cold it is."}, "question"),
        ({"prompt": "What is it like?", "completion": "None"}, "completion"),
        ({"prompt": "What is it like?", "chosen": "Cold.", "rejected": "#N/A"}, "rejected"),
        ({"document": "It is a long text.", "summary": "n/a"}, "summary"),
    ],
)
def test_an_answer_that_is_a_word_for_nothing_is_dropped_and_counted(row: dict[str, str], column: str) -> None:
    good = {name: f"{name} of a good row" for name in row}
    examples = read(good, row, {**good, next(iter(good)): "another one"})
    assert len(examples) == 2
    (reason,) = examples.ledger.counts()["reasons"]["dropped"]
    assert reason in (f"a word for nothing in {column!r}", f"no {column}")
    assert len(read(good, row, form=ReadRequest(keep_nothing=True))) == 2


@pytest.mark.parametrize(
    ("asks", "answers"), [("User", "Assistant"), ("human", "gpt"), ("USER ", "ai"), ("user", "bot")]
)
def test_usual_names_of_roles_are_read_and_told(asks: str, answers: str) -> None:
    events: list[Event] = []
    row = {"messages": [{**USER, "role": asks}, {**ASSISTANT, "role": answers}]}
    (example,) = read_examples([row], emit=events.append)
    assert example["messages"] == CHAT
    assert any(isinstance(event, Warned) and repr(answers) in event.message for event in events)
