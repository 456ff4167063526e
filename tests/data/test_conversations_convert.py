"""Files of other formats hold the same examples, or the rows of which they could not are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tunesmith.core.errors import DataError, OptionError
from tunesmith.core.events import ignore
from tunesmith.data.conversations import convert, read_examples

USER = {"role": "user", "content": "What is 1 + 1?"}
ASSISTANT = {"role": "assistant", "content": "2"}
SYSTEM = {"role": "system", "content": "Be short."}
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object", "x": None}}}]


def call(number: int, arguments: str = '{"a": 1}') -> dict[str, Any]:
    return {"id": f"call_{number}", "type": "function", "function": {"name": "add", "arguments": arguments}}


PLAIN = [
    {"messages": [USER, ASSISTANT]},
    {"messages": [SYSTEM, USER, ASSISTANT, {"role": "user", "content": "Und\n„drei“?"}, ASSISTANT]},
]
CALLING = {
    "messages": [
        USER,
        {"role": "assistant", "tool_calls": [call(1), call(2, '{"a": [1, {"b": "ß"}]}')]},
        {"role": "tool", "tool_call_id": "call_1", "content": "2"},
        {"role": "tool", "tool_call_id": "call_2", "content": '{"sum": 2}'},
        ASSISTANT,
        USER,
        {"role": "assistant", "tool_calls": [call(3)]},
    ],
    "tools": TOOLS,
}
WEIGHTED = {"messages": [USER, {**ASSISTANT, "weight": 0}, USER, ASSISTANT]}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def content(source: Any) -> list[dict[str, Any]]:
    return list(read_examples(source, emit=ignore))


def round_trip(rows: list[Any], to: str, folder: Path) -> list[dict[str, Any]]:
    assert convert(rows, folder / "there.jsonl", to) == len(rows)
    assert convert(folder / "there.jsonl", folder / "back.jsonl", "openai") == len(rows)
    return lines(folder / "back.jsonl")


@pytest.mark.parametrize("to", ["openai", "messages", "sharegpt", "alpaca", "gemini"])
def test_plain_chats_come_back_from_everywhere(to: str, tmp_path: Path) -> None:
    assert round_trip(PLAIN, to, tmp_path) == PLAIN


@pytest.mark.parametrize("to", ["openai", "messages", "sharegpt", "gemini"])
def test_tool_calls_come_back(to: str, tmp_path: Path) -> None:
    back = round_trip([*PLAIN, CALLING], to, tmp_path)
    assert content(back) == content([*PLAIN, CALLING])


def test_weights_come_back_from_openai(tmp_path: Path) -> None:
    assert round_trip([WEIGHTED], "openai", tmp_path) == [WEIGHTED]


def test_what_is_written(tmp_path: Path) -> None:
    convert([CALLING], tmp_path / "a.jsonl", "messages")
    assert lines(tmp_path / "a.jsonl")[0]["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"a": 1}
    convert([CALLING], tmp_path / "a.jsonl", "sharegpt")
    row = lines(tmp_path / "a.jsonl")[0]
    assert [turn["from"] for turn in row["conversations"]] == [
        "human", "function_call", "observation", "observation", "gpt", "human", "function_call",
    ]  # fmt: skip
    assert json.loads(row["tools"])[0]["name"] == "add"
    convert(PLAIN, tmp_path / "a.jsonl", "alpaca")
    assert lines(tmp_path / "a.jsonl")[1] == {
        "instruction": "Und\n„drei“?", "input": "", "output": "2", "system": "Be short.",
        "history": [["What is 1 + 1?", "2"]],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("to", "row", "lost"),
    [
        ("alpaca", CALLING, "its messages are not user and assistant in turn"),
        ("alpaca", {"messages": [USER, ASSISTANT], "tools": TOOLS}, 'key "tools"'),
        ("alpaca", WEIGHTED, 'message 2, key "weight"'),
        ("sharegpt", WEIGHTED, 'message 2, key "weight"'),
        ("messages", WEIGHTED, 'message 2, key "weight"'),
        ("gemini", WEIGHTED, 'message 2, key "weight"'),
        ("sharegpt", {"messages": [{**USER, "name": "Ann"}, ASSISTANT]}, 'message 1, key "name"'),
        ("sharegpt", {"messages": [{**SYSTEM, "role": "developer"}, USER, ASSISTANT]}, 'message 1, key "role"'),
        ("alpaca", {"messages": [{"role": "user", "content": "\n"}, ASSISTANT]}, None),
        (
            "sharegpt",
            {"messages": [USER, {"role": "assistant", "content": "Hm.", "tool_calls": [call(1)]}], "tools": TOOLS},
            'message 2, key "content"',
        ),
        (
            "sharegpt",
            {
                "messages": [
                    USER,
                    {"role": "assistant", "tool_calls": [call(1), call(2)]},
                    {"role": "tool", "tool_call_id": "call_2", "content": "2"},
                    {"role": "tool", "tool_call_id": "call_1", "content": "3"},
                    ASSISTANT,
                ],
                "tools": TOOLS,
            },
            'message 3, key "tool_call_id"',
        ),
    ],
)
def test_what_a_format_can_not_hold_is_an_error(to: str, row: Any, lost: str | None, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        convert([PLAIN[0], row, PLAIN[0], row], tmp_path / "a.jsonl", to)
    if lost is not None:
        expected = f"the format {to!r} can not hold this: {lost}"
        assert [(problem.row, problem.message) for problem in caught.value.problems] == [(2, expected), (4, expected)]
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_survives_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("mine")
    with pytest.raises(DataError):
        convert([WEIGHTED], tmp_path / "a.jsonl", "alpaca")
    assert (tmp_path / "a.jsonl").read_text() == "mine"


@pytest.mark.parametrize("to", ["openai", "messages"])
def test_other_forms(to: str, tmp_path: Path) -> None:
    chosen = [{"role": "assistant", "content": "Two."}]
    preference = {"prompt": [SYSTEM, USER], "chosen": chosen, "rejected": [ASSISTANT], "tools": TOOLS}
    for rows in ([preference], [{"prompt": "a", "completion": "b"}]):
        convert(rows, tmp_path / "a.jsonl", to)
        assert content(tmp_path / "a.jsonl") == content(rows)
    strings = [{"prompt": "a", "chosen": "b", "rejected": "c"}]
    convert(strings, tmp_path / "a.jsonl", to)
    if to == "messages":
        assert content(tmp_path / "a.jsonl") == content(strings)
        return
    said = {"prompt": [{"role": "user", "content": "a"}]}
    said |= {key: [{"role": "assistant", "content": strings[0][key]}] for key in ("chosen", "rejected")}
    assert content(tmp_path / "a.jsonl") == content([said])  # as a user and an assistant say it
    with pytest.raises(DataError, match="its prompt is empty"):
        convert([{**strings[0], "prompt": " "}], tmp_path / "b.jsonl", to)


def test_feedback_as_messages(tmp_path: Path) -> None:
    for rows in (
        [{"messages": [USER, ASSISTANT], "label": False}],
        [{"prompt": "a", "completion": "b", "label": True}],
    ):
        convert(rows, tmp_path / "a.jsonl", "messages")
        assert content(tmp_path / "a.jsonl") == content(rows)


def test_options(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="Did you mean 'alpaca'"):
        convert(PLAIN, tmp_path / "a.jsonl", "alpacca")
    with pytest.raises(OptionError, match=r"of the form 'text'\nFormats for them: messages\."):
        convert([{"text": "a"}], tmp_path / "a.jsonl", "openai")


@pytest.mark.parametrize(
    "rows",
    [[{"text": "one"}, {"text": "two\nlines"}], [{"input_text": "ein", "target_text": "one"}],
     [{"input_text": "zwei", "target_text": "two", "references": ["two", "a pair"]}]],
)  # fmt: skip
def test_texts_and_pairs_as_messages(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    convert(rows, tmp_path / "a.jsonl", "messages")
    assert content(tmp_path / "a.jsonl") == content(rows)
    assert [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()] == rows


WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(str.strip)
CHATS = st.tuples(st.none() | WORDS, st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=3))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    chats=st.lists(CHATS, min_size=1, max_size=4),
    to=st.sampled_from(["openai", "messages", "sharegpt", "gemini", "alpaca"]),
)
def test_any_text_survives(chats: list[Any], to: str, tmp_path: Path) -> None:
    rows = []
    for system, turns in chats:
        said = [] if system is None else [{"role": "system", "content": system}]
        for asked, told in turns:
            said += [{"role": "user", "content": asked}, {"role": "assistant", "content": told}]
        rows.append({"messages": said})
    assert round_trip(rows, to, tmp_path) == rows


def test_prompt_and_completion_become_a_question_and_its_answer(tmp_path: Path) -> None:
    rows = [{"prompt": " What? ", "completion": "\nThat."}]
    said = [{"role": "user", "content": " What? "}, {"role": "assistant", "content": "\nThat."}]
    for to in ("sharegpt", "alpaca", "gemini"):
        assert convert(rows, tmp_path / f"{to}.jsonl", to) == 1
        (example,) = read_examples(tmp_path / f"{to}.jsonl", emit=ignore)
        assert (example["form"], example["messages"]) == ("chat", said)
        with pytest.raises(DataError, match=r"row 2: the format .* can not hold this: its prompt is empty"):
            convert([*rows, {"prompt": "", "completion": "x"}], tmp_path / "none.jsonl", to)


def test_columns_of_no_format_are_kept(tmp_path: Path) -> None:
    others = {"note": "of Monday", "score": 0.5, "parallel_tool_calls": False, "more": {"a": [1, None]}}
    row = {"messages": [USER, ASSISTANT], **others}
    for to in ("openai", "messages", "sharegpt", "alpaca", "gemini"):
        out = tmp_path / f"{to}.jsonl"
        convert([row], out, to)
        record = json.loads(out.read_text(encoding="utf-8"))
        assert {key: record[key] for key in others} == others


def test_a_column_whose_name_the_format_needs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match='key "output" of the input'):
        convert([{"messages": [USER, ASSISTANT], "output": "of Monday"}], tmp_path / "out.jsonl", "alpaca")


def test_verdicts_are_kept_or_refused(tmp_path: Path) -> None:
    rows = [{"prompt": f"Is it late, {n}?", "completion": f"It is {n}.", "label": float(n)} for n in range(2)]
    with pytest.raises(OptionError, match="feedback"):
        convert(rows, tmp_path / "out.jsonl", "openai")
    convert(rows, tmp_path / "out.jsonl", "messages")
    assert [example["label"] for example in read_examples(tmp_path / "out.jsonl", emit=ignore)] == [False, True]


def test_the_system_message_of_a_preference_is_kept(tmp_path: Path) -> None:
    sides = {"chosen": [USER, ASSISTANT], "rejected": [USER, {"role": "assistant", "content": "3"}]}
    row = {"prompt": [{"role": "system", "content": "Be brief."}, USER], **sides}
    for to in ("openai", "messages"):
        convert([row], tmp_path / "out.jsonl", to)
        (example,) = read_examples(tmp_path / "out.jsonl", emit=ignore)
        assert [message["content"] for message in example["messages"]] == ["Be brief.", USER["content"]]
