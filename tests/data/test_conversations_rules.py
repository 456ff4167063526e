"""Every rule for examples: what is refused, with row, line and message; and the advice of `lint`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.core.errors import DataError
from tunesmith.core.events import ignore
from tunesmith.data.conversations import detect, divide, lint, read_examples, validate

USER = {"role": "user", "content": "Hi"}
ASSISTANT = {"role": "assistant", "content": "Hello"}
SYSTEM = {"role": "system", "content": "Be short."}
TOOLS = [{"type": "function", "function": {"name": "add"}}]
ROLES = "system, developer, user, assistant, tool"
KEYS = "role, content, weight, tool_calls, tool_call_id, name, reasoning_content"


def messages(row: Any, **given: Any) -> list[str]:
    """The problems of a row, without its place."""
    good = {"messages": [USER, ASSISTANT]}
    return [problem.message for problem in validate(read_examples([good, row], emit=ignore, check=False, **given))]


def chat(*said: Any, **more: Any) -> dict[str, Any]:
    return {"messages": list(said), **more}


def asks(*calls: Any) -> dict[str, Any]:
    return {"role": "assistant", "tool_calls": list(calls)}


def call(number: str = "c1", name: str = "add", arguments: str = "{}") -> dict[str, Any]:
    return {"id": number, "type": "function", "function": {"name": name, "arguments": arguments}}


def answer(number: str = "c1", content: str = "2") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": number, "content": content}


CHAT_FAULTS: list[tuple[dict[str, Any], list[str]]] = [
    (chat(USER), ['key "messages": no message has the role "assistant"']),
    (chat(USER, ASSISTANT, USER), ['message 3, key "role": the last message must be the assistant\'s']),
    (chat(USER, USER, ASSISTANT), ['message 2, key "role": follows another user message; make the two one']),
    (chat(SYSTEM, USER, ASSISTANT, {**ASSISTANT, "weight": 0}),
     ['message 4, key "role": follows another assistant message; make the two one']),
    (chat({"role": "user", "content": "é" * 2_000_001}, ASSISTANT),
     ['message 1, key "content": is 4,000,002 bytes long, and 4,000,000 are the most for one message']),
    (chat(USER, SYSTEM, ASSISTANT), ['message 2, key "role": a system message must be the first']),
    (chat(SYSTEM, {**SYSTEM, "role": "developer"}, USER, ASSISTANT),
     ['message 2, key "role": a developer message must be the first']),
    (chat(USER, {"role": "narrator", "content": "x"}, ASSISTANT),
     [f'message 2, key "role": "narrator" is not one of {ROLES}']),
    (chat(USER, {"content": "x"}, ASSISTANT), ['message 2, key "role": is missing']),
    (chat({"role": "user"}, ASSISTANT), ['message 1, key "content": is missing']),
    (chat({"role": "user", "content": " \n"}, ASSISTANT), ['message 1, key "content": is empty']),
    (chat(USER, {"role": "assistant", "content": ""}), ['message 2, key "content": is empty']),
    (chat({"role": "user", "content": 5}, ASSISTANT), ['message 1, key "content": is a number, not a string']),
    (chat({"role": "user", "content": []}, ASSISTANT), ['message 1, key "content": is a list, not a string']),
    (chat({"role": "user", "content": [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": {}}]},
          ASSISTANT),
     ['message 1, key "content": only text can be learned from, and this holds: image_url']),
    (chat({"role": "user", "content": "half \ud83d"}, ASSISTANT),
     ['message 1, key "content": holds half a character (\\ud83d, a surrogate without its other half)']),
    (chat({**USER, "colour": "red"}, ASSISTANT), [f'message 1, key "colour": is not known (known: {KEYS})']),
    (chat({**USER, "weight": 1}, ASSISTANT), ['message 1, key "weight": only assistant messages have one']),
    (chat(USER, {**ASSISTANT, "weight": 2}), ['message 2, key "weight": 2 is neither 0 nor 1']),
    (chat(USER, {**ASSISTANT, "weight": True}), ['message 2, key "weight": true is neither 0 nor 1']),
    (chat(USER, {**ASSISTANT, "weight": 0}),
     ['key "weight": it is 0 in every assistant message, so there is nothing to learn']),
    (chat("Hi", USER, ASSISTANT),
     ['message 1: is a string, not an object such as {"role": "user", "content": "..."}']),
    # tools
    (chat(USER, asks(call()), answer(), ASSISTANT),
     ['message 2, key "tool_calls": call 1 asks for "add", but the key "tools" holds none at all']),
    (chat(USER, asks(call(name="f")), answer(), ASSISTANT, tools=TOOLS),
     ['message 2, key "tool_calls": call 1 asks for "f", but the key "tools" holds only add']),
    (chat(USER, asks(call(arguments="{x")), answer(), ASSISTANT, tools=TOOLS),
     ['message 2, key "tool_calls": call 1 has "arguments" that are not valid JSON: Expecting property name '
      "enclosed in double quotes: line 1 column 2 (char 1)"]),
    (chat(USER, asks(call()), ASSISTANT, tools=TOOLS),
     ['message 3: the tool call "c1" before it is not answered by a tool message']),
    (chat(USER, asks(call("c1"), call("c2")), answer("c2"), ASSISTANT, tools=TOOLS),
     ['message 4: the tool call "c1" before it is not answered by a tool message']),
    (chat(USER, asks(call()), answer("c9"), answer(), ASSISTANT, tools=TOOLS),
     ['message 3, key "tool_call_id": "c9" answers no tool call before it']),
    (chat(USER, {"role": "tool", "content": "2"}, ASSISTANT), ['message 2, key "tool_call_id": is missing']),
    (chat(USER, asks(call()), answer(), asks(call()), answer(), ASSISTANT, tools=TOOLS),
     ['message 4, key "tool_calls": call 1 has the id "c1" of an earlier call']),
    (chat({**asks(call()), "role": "user"}, answer(), ASSISTANT, tools=TOOLS),
     ['message 1, key "tool_calls": only assistant messages have them']),
    (chat(USER, {"role": "assistant", "tool_calls": "add"}), ['message 2, key "tool_calls": is a string, not a list']),
    (chat(USER, asks("add"), tools=TOOLS),
     ['message 2, key "tool_calls": call 1 is not {"id": "call_1", "type": "function", "function": '
      '{"name": "f", "arguments": "{}"}}']),
    (chat(USER, ASSISTANT, tools=[{"type": "function"}]),
     ['key "tools": tool 1 is not {"type": "function", "function": {"name": "..."}}']),
    (chat(USER, ASSISTANT, tools={"a": 1}), ['key "tools": is an object, not a list']),
    # several at once
    (chat({"role": "narrator", "content": ""}, {**ASSISTANT, "weight": 3, "x": 1}),
     [f'message 1, key "role": "narrator" is not one of {ROLES}', 'message 1, key "content": is empty',
      f'message 2, key "x": is not known (known: {KEYS})', 'message 2, key "weight": 3 is neither 0 nor 1']),
]  # fmt: skip


@pytest.mark.parametrize(("row", "expected"), CHAT_FAULTS)
def test_chat_rules(row: dict[str, Any], expected: list[str]) -> None:
    assert messages(row, form="openai") == expected


@pytest.mark.parametrize(
    "row",
    [
        chat(SYSTEM, USER, ASSISTANT),
        chat({**SYSTEM, "role": "developer"}, USER, ASSISTANT),
        chat(USER, {**ASSISTANT, "weight": 0}, USER, {**ASSISTANT, "weight": 1}),
        chat({**USER, "name": "Ann"}, ASSISTANT),
        chat(USER, asks(call()), tools=TOOLS),  # to ask for a tool may be what is learned
        chat(USER, asks(call("c1"), call("c2")), answer("c2"), answer("c1", ""), ASSISTANT, tools=TOOLS),
        chat(ASSISTANT, USER, ASSISTANT, asks(call()), answer(), ASSISTANT, tools=TOOLS),  # a word before the call
        chat(USER, {**asks(call()), "content": "Let me see."}, answer(), ASSISTANT, tools=TOOLS),
        chat({"role": "user", "content": "whole \U0001f600"}, ASSISTANT),
    ],
)
def test_good_chats(row: dict[str, Any]) -> None:
    assert messages(row) == []


def test_shapes_that_are_no_chat() -> None:
    rows = [chat(USER, ASSISTANT), {"id": 1}, {"messages": 5}, {"messages": []}, {"messages": {"role": "user"}}]
    found = validate(read_examples(rows, emit=ignore, check=False))
    assert [(problem.row, problem.message) for problem in found] == [
        (2, 'key "messages": is missing'),
        (3, 'key "messages": is a number, not a list of messages'),
        (4, 'key "messages": there are no messages'),
        (5, 'key "messages": is an object, not a list of messages'),
    ]


def test_problems_speak_the_words_of_the_file() -> None:
    row = {"conversations": [{"from": "narrator", "value": "x"}, {"from": "gpt", "value": ""}]}
    found = validate(read_examples([row], emit=ignore, check=False))
    assert [problem.message for problem in found] == [
        f'message 1, key "from": "narrator" is not one of {ROLES}', 'message 2, key "value": is empty',
    ]  # fmt: skip
    row = {"conversations": [{"from": "human", "value": "x"}, {"from": "function_call", "value": "add(1)"}]}
    good = {"conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "y"}]}
    found = validate(read_examples([good, row], emit=ignore, check=False))
    assert [problem.message for problem in found] == [
        'message 2, key "value": is not valid JSON of a call, such as {"name": "f", "arguments": {"x": 1}}'
    ]
    contents = [{"role": "user", "parts": [{"text": "x"}, {"fileData": {}}]}, {"role": "model", "parts": []}]
    good = {"contents": [{"role": "user", "parts": [{"text": "x"}]}, {"role": "model", "parts": [{"text": "y"}]}]}
    found = validate(read_examples([good, {"contents": contents}], emit=ignore, check=False))
    assert [problem.message for problem in found] == [
        "message 1, key \"parts\": only text can be learned from, and this has 'fileData'"
    ]


def preference(**changed: Any) -> dict[str, Any]:
    row = {
        "input": {"messages": [USER]},
        "preferred_output": [ASSISTANT],
        "non_preferred_output": [{"role": "assistant", "content": "Go away"}],
    }
    return {**row, **changed}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (preference(), []),
        (preference(non_preferred_output=[ASSISTANT]),
         ['key "non_preferred_output": is the same as key "preferred_output"']),
        (preference(preferred_output=[]), ['key "preferred_output": there are no messages']),
        (preference(preferred_output=[USER]),
         ['key "preferred_output", message 1, key "role": only assistant and tool messages can answer',
          'key "preferred_output": no message has the role "assistant"']),
        (preference(preferred_output=[{"role": "assistant", "content": ""}]),
         ['key "preferred_output", message 1, key "content": is empty']),
        (preference(input={"messages": [USER, ASSISTANT]}),
         ['message 2, key "role": the prompt must not end with the assistant']),
        (preference(input={"messages": []}), ['key "messages": there are no messages']),
        (preference(input={}), ['key "messages": is missing']),
        (preference(input="Hi"), ['key "input": is a string, not an object such as {"messages": [...]}']),
        ({"prompt": "a", "chosen": "b", "rejected": "b"}, ['key "rejected": is the same as key "chosen"']),
        ({"prompt": "a", "chosen": "", "rejected": "b"}, ['key "chosen": is empty']),
        ({"prompt": [USER], "chosen": [ASSISTANT], "rejected": [SYSTEM]},
         ['key "rejected", message 1, key "role": a system message must be the first',
          'key "rejected", message 1, key "role": only assistant and tool messages can answer',
          'key "rejected": no message has the role "assistant"']),
    ],
)  # fmt: skip
def test_preference_rules(row: dict[str, Any], expected: list[str]) -> None:
    good = preference() if "input" in row else {"prompt": "x", "chosen": "y", "rejected": "z"}
    found = validate(read_examples([good, row], emit=ignore, check=False))
    assert [problem.message for problem in found] == expected


def test_feedback_and_flat_rules() -> None:
    good = {"prompt": "a", "completion": "b", "label": True}
    rows = [good, {**good, "label": None}, {**good, "prompt": [USER, ASSISTANT], "completion": [ASSISTANT]}]
    rows += [{**good, "label": "maybe"}, {**good, "completion": 5}]
    found = validate(read_examples([good] * 100 + rows[1:], emit=ignore, check=False))
    assert [(problem.row, problem.message) for problem in found] == [
        (101, 'key "label": is missing'),
        (102, 'message 2, key "role": the prompt must not end with the assistant'),
        (103, "key \"label\": 'maybe' is neither true nor false"),
        (104, 'key "completion": is a number, not a string'),
    ]
    rows = [
        {"prompt": "a", "completion": "b"},
        {"prompt": 1, "completion": "b"},
        {"prompt": "a\udc00", "completion": "b"},
    ]
    found = validate(read_examples(rows, emit=ignore, check=False))
    assert [(problem.row, problem.message) for problem in found] == [
        (2, 'key "prompt": is a number, not a string'),
        (3, 'key "prompt": holds half a character (\\udc00, a surrogate without its other half)'),
    ]


def test_all_problems_of_a_file_are_raised_together_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    lines = [
        json.dumps(chat(USER, ASSISTANT)),
        "",
        '{"messages": [',
        json.dumps(chat({"role": "user", "content": ""})),
        '["role"]',
        '"text"',
        json.dumps(chat(USER)),
    ]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError) as caught:
        read_examples(path, emit=ignore)
    hint = '{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}'
    assert [(problem.line, problem.row, problem.message) for problem in caught.value.problems] == [
        (3, 2, "this line is not valid JSON: Expecting value (character 15)"),
        (4, 3, 'message 1, key "content": is empty'),
        (4, 3, 'key "messages": no message has the role "assistant"'),
        (5, 4, f"this line is a list, not an object such as {hint}"),
        (6, 5, f"this line is a string, not an object such as {hint}"),
        (7, 6, 'key "messages": no message has the role "assistant"'),
    ]
    assert str(caught.value).startswith(f"{path}, line 3, row 2: this line is not valid JSON")
    examples = read_examples(path, emit=ignore, check=False)
    assert len(validate(examples)) == 6
    assert examples.ledger.counts()["reasons"]["dropped"] == {"can not be understood": 3}
    assert examples.ids.tolist() == [0, 2, 5]


@pytest.mark.parametrize("name", ["empty.jsonl", "empty.json", "empty.csv", "empty.txt"])
def test_an_empty_file(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("\n\n")
    with pytest.raises(DataError, match="the file is empty"):
        read_examples(tmp_path / name, emit=ignore)


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there are no rows"):
        read_examples([], emit=ignore)
    with pytest.raises(DataError, match=r"no example is left \(2: no text\)"):
        read_examples([{"text": ""}, {"text": " "}], emit=ignore, form="text")
    with pytest.raises(DataError, match="there is no such file"):
        read_examples(tmp_path / "none.jsonl", emit=ignore)
    with pytest.raises(DataError, match="can not read data from a int"):
        read_examples(5, emit=ignore)
    with pytest.raises(DataError, match="Did you mean 'text'"):
        read_examples([{"text": "a"}], emit=ignore, group="txt")


def test_only_broken_lines(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{\n" * 300)
    with pytest.raises(DataError) as caught:
        read_examples(tmp_path / "a.jsonl", emit=ignore)
    assert len(caught.value.problems) == 300


def test_deep_json_is_a_problem_and_no_crash(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "fine"}\n' + "[" * 100_000 + "\n")
    with pytest.raises(DataError, match="line 2, row 2: this line is not valid JSON"):
        read_examples(tmp_path / "a.jsonl", emit=ignore)


# --- Advice ------------------------------------------------------------------------------------


def advice(pairs: list[tuple[str, str]]) -> list[str]:
    return lint(read_examples([{"prompt": p, "completion": c} for p, c in pairs], emit=ignore))


def test_good_prompts_need_no_advice() -> None:
    assert advice([(f"question {n} ->", f" {n * 7} is it") for n in range(100)]) == [
        "All completions end with ' is it'; it is not needed, as the end is learned anyway."
    ]
    assert advice([(f"question {n} ->", f" {n * 7}") for n in range(100)]) == []


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("a ->", " b"), ("c ->", " d")], "There are 2 examples; a few hundred and more teach better."),
        ([("a ->", " b"), ("a ->", " b")], "1 examples are duplicates of earlier ones: row 2."),
        ([("a ->", " b" * 6_000), ("c ->", " d")], "1 examples are longer than 10,000 characters: row 1."),
        ([("a", " b"), ("c", " d")], "The prompts have no common end"),
        ([("a -> b ->", " b"), ("c ->", " d")], "All prompts end with ' ->', which 1 of them hold elsewhere too."),
        ([("Please answer: a ->", " b"), ("Please answer: c ->", " d")], "All prompts start with 'Please answer: '"),
        ([("a ->", "b"), ("c ->", " d")], "1 completions follow their prompt without a space"),
        ([("a ->", " The b"), ("c ->", " The d")], "All completions start with ' The '"),
        ([("a ->", " b END"), ("c ->", " d END")], "All completions end with ' END'; it is not needed"),
        ([("a ->", " B"), ("c ->", " d")], "More than a third of the completions are in upper case"),
        ([("a ->", " b"), ("a ->", " d")], "All prompts are the same"),
        ([("a ->", " b"), ("c ->", " b")], "All completions are the same"),
    ],
)
def test_advice(pairs: list[tuple[str, str]], expected: str) -> None:
    assert any(sentence.startswith(expected) for sentence in advice(pairs)), advice(pairs)


def test_no_advice_on_empty_prompts() -> None:
    assert advice([("", f"text {n * 77}") for n in range(100)]) == []


# --- Anything at all ---------------------------------------------------------------------------

KEYED = st.sampled_from([
    "messages", "conversations", "contents", "systemInstruction", "prompt", "completion", "label", "chosen", "rejected",
    "instruction", "input", "output", "history", "system", "query", "response", "source", "target", "references",
    "text", "tools", "functions", "preferred_output", "non_preferred_output",
    "role", "content", "from", "value", "parts", "weight", "tool_calls", "tool_call_id", "function_call", "function",
    "functionCall", "functionResponse", "functionDeclarations", "name", "arguments", "id", "type", "loss", "refusal",
])  # fmt: skip
LEAF = st.sampled_from(
    [None, True, 0, 1.5, "", "a", "user", "assistant", "tool", "human", "function_call", "{}", "[1]"]
)
VALUE = st.recursive(LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYED, inner, max_size=4))
GOOD_ROWS: list[dict[str, Any]] = [
    {"messages": [USER, ASSISTANT], "tools": TOOLS, "functions": None},
    {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}], "system": "c"},
    {"contents": [{"role": "user", "parts": [{"text": "a"}]}, {"role": "model", "parts": [{"text": "b"}]}],
     "systemInstruction": None, "tools": None},
    {"instruction": "a", "input": "b", "output": "c", "system": "d", "history": []},
    preference(),
    {"prompt": "a", "chosen": "b", "rejected": "c", "system": None, "tools": None},
    {"prompt": "a", "completion": "b", "label": True},
    {"prompt": [USER], "completion": [ASSISTANT]},
    {"source": "a", "target": "b", "references": []},
    {"translation": {"en": "a", "de": "b"}},
    {"text": "a"},
]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(good=st.sampled_from(GOOD_ROWS), changed=st.dictionaries(KEYED, VALUE, max_size=3), data=st.data())
def test_no_row_is_a_crash(good: dict[str, Any], changed: dict[str, Any], data: st.DataObject) -> None:
    """A broken row is a problem, or is left out; what passes is written in every format or refused."""
    bad = {**good, **changed, **{name: data.draw(VALUE) for name in data.draw(st.sets(st.sampled_from(list(good))))}}
    known = detect(list(good), [good])
    assert known is not None
    try:
        examples = read_examples([good] * 3 + [bad], emit=ignore, form=known.name, check=False)
    except DataError:  # the fourth row may spoil the columns of all
        return
    problems = validate(examples)
    assert all(problem.row == 4 and problem.message for problem in problems)
    counts = examples.ledger.counts()
    assert counts["used"] == len(examples)
    assert counts["used"] + counts["dropped"] == 4
    lint(examples)
    if not problems:
        divide(examples, validation=0.0, test=0.0, seed=0)
