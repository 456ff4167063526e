"""The bundled chat and preference examples: valid for OpenAI's rules, in one house style, about nobody real."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
CHAT, PREFERENCES = EXAMPLES / "support_chat.jsonl", EXAMPLES / "support_preferences.jsonl"
Row = dict[str, Any]

SIGNATURE = "\n– Mira, Velotide"
GREETING = re.compile(r"(?:Hi ([^\W\d_]+)|Hello), ")
DEADLINE = re.compile(r"\bby (the |next |today|tonight|tomorrow|noon|midnight|day \d|\w+day\b|\d)")
MONEY = re.compile(r"[$£€%]|\b(?:pounds?|quid|euros?|percent|per cent)\b", re.IGNORECASE)
AMERICAN = re.compile(
    r"\b(?:colors?|centers?|gray|tires?|aluminum|favorites?|catalogs?|meters?|plow|checks? in the mail"
    r"|(?:apolog|organ|real|recogn|personal)iz\w+)\b",
    re.IGNORECASE,
)
NAME_LINE = re.compile(r"\n[-– ]*([A-Z]\w+)(?: [A-Z][\w-]+)?$")


def lines_of(path: Path) -> list[Row]:
    text = path.read_bytes().decode("utf-8", errors="strict")
    assert text.endswith("}\n")
    assert "\r" not in text
    assert not text.startswith("\ufeff")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def chat() -> list[Row]:
    return lines_of(CHAT)


@pytest.fixture(scope="module")
def preferences() -> list[Row]:
    return lines_of(PREFERENCES)


def user_text(messages: list[Row]) -> str:
    return "\n".join(message["content"] for message in messages if message["role"] == "user")


def word_count(messages: list[Row]) -> int:
    return sum(len((message.get("content") or "").split()) for message in messages)


def style_faults(answer: str) -> list[str]:
    """Which rules of the house style an answer breaks."""
    body = answer.removesuffix(SIGNATURE)
    sentences = re.split(r"(?<=[.?!])\s+", body)
    rules = {
        "signature": answer.endswith(SIGNATURE),
        "greeting": GREETING.match(body),
        "three sentences": len(sentences) <= 3,
        "next step last": sentences[-1].startswith("Next: ") and body.count("Next: ") == 1,
        "deadline": DEADLINE.search(sentences[-1]),
        "calm": "!" not in body,
        "no sums": not MONEY.search(body),
        "British spelling": not AMERICAN.search(body),
    }
    return [rule for rule, kept in rules.items() if not kept]


def learned(row: Row) -> Iterator[tuple[list[Row], str]]:
    """Each learned answer of a conversation, after the messages before it."""
    for index, message in enumerate(row["messages"]):
        if message["role"] == "assistant" and message.get("weight", 1) and message.get("content"):
            yield row["messages"][:index], message["content"]


def known_name(before: list[Row]) -> str | None:
    """The customer's first name as signed on a last line or already used in a greeting."""
    name = None
    for message in before:
        pattern = {"user": NAME_LINE.search, "assistant": GREETING.match}.get(message["role"])
        match = pattern(message.get("content") or "") if pattern else None
        name = match[1] if match and match[1] else name
    return name


def name_fault(before: list[Row], answer: str) -> str | None:
    """Why the greeting's name is not the one the conversation tells."""
    match = GREETING.match(answer)
    greeted, known = match[1] if match else None, known_name(before)
    told = " ".join(message.get("content") or "" for message in before)
    if greeted and not re.search(rf"\b{greeted}\b", told, re.IGNORECASE):
        return f"{greeted} is invented"
    return f"greets {greeted}, not {known}" if known and greeted != known else None


def check_messages(messages: list[Row], tools: list[Row]) -> None:
    """OpenAI's rules for the messages of a training file, as far as these files use them."""
    names = {tool["function"]["name"] for tool in tools}
    open_calls: list[str] = []
    for index, message in enumerate(messages):
        assert set(message) <= {"role", "content", "weight", "tool_calls", "tool_call_id"}
        role, content = message["role"], message.get("content")
        assert role in {"system", "user", "assistant", "tool"}
        assert role != "system" or index == 0
        assert (isinstance(content, str) and content.strip() == content != "") or message.get("tool_calls")
        assert role == "assistant" or not {"weight", "tool_calls"} & set(message)
        assert message.get("weight", 1) in (0, 1)
        if role == "tool":
            open_calls.remove(message["tool_call_id"])
            continue
        assert not open_calls, "a call must be answered before the conversation goes on"
        for call in message.get("tool_calls", []):
            assert set(call) == {"id", "type", "function"}
            assert call["type"] == "function"
            assert call["function"]["name"] in names
            assert isinstance(json.loads(call["function"]["arguments"]), dict)
            open_calls.append(call["id"])
    assert not open_calls


def shingle_similarity(texts: list[str]) -> tuple[float, str, str]:
    """The two most alike texts and the Jaccard similarity of their sets of three words."""
    sets = []
    for text in texts:
        words = re.findall(r"\w+", text.lower())
        sets.append({tuple(words[n : n + 3]) for n in range(max(1, len(words) - 2))})
    pairs = itertools.combinations(zip(sets, texts, strict=True), 2)
    return max((len(one & two) / len(one | two), first, second) for (one, first), (two, second) in pairs)


def test_chat_follows_the_rules_of_the_format(chat: list[Row]) -> None:
    for row in chat:
        assert set(row) <= {"messages", "tools"}
        check_messages(row["messages"], row.get("tools", []))
        last = row["messages"][-1]
        assert last["role"] == "assistant"
        assert last.get("weight", 1) == 1
        assert last["content"]
        assert any(message["role"] == "user" for message in row["messages"])
    ids = [call["id"] for row in chat for message in row["messages"] for call in message.get("tool_calls", [])]
    assert len(ids) == len(set(ids))


def test_chat_has_the_promised_kinds(chat: list[Row]) -> None:
    turns = [sum(message["role"] != "system" for message in row["messages"]) for row in chat]
    assert len(chat) >= 230
    assert sum(4 <= count <= 6 for count in turns) >= 40
    assert max(turns) <= 6
    assert 25 <= sum(row["messages"][0]["role"] == "system" for row in chat) <= 40
    assert sum("tools" in row and any("tool_calls" in m for m in row["messages"]) for row in chat) >= 5
    assert sum(any(message.get("weight") == 0 for message in row["messages"][:-1]) for row in chat) >= 5


def test_preferences_follow_the_rules_of_the_format(preferences: list[Row]) -> None:
    assert len(preferences) >= 70
    for row in preferences:
        assert set(row) == {"input", "preferred_output", "non_preferred_output"}
        assert set(row["input"]) == {"messages"}
        check_messages(row["input"]["messages"], [])
        assert row["input"]["messages"][-1]["role"] == "user"
        for answer in (row["preferred_output"], row["non_preferred_output"]):
            assert len(answer) == 1
            assert set(answer[0]) == {"role", "content"}
            assert answer[0]["role"] == "assistant"
            assert answer[0]["content"].strip()


def test_every_learned_answer_is_in_the_house_style(chat: list[Row], preferences: list[Row]) -> None:
    answers = [pair for row in chat for pair in learned(row)]
    for row in preferences:
        answers += learned(row["input"])
        answers.append((row["input"]["messages"], row["preferred_output"][0]["content"]))
    faults = {answer: style_faults(answer) for _, answer in answers}
    assert {answer: found for answer, found in faults.items() if found} == {}
    assert [fault for before, answer in answers if (fault := name_fault(before, answer))] == []


def test_what_is_not_learned_breaks_the_house_style(chat: list[Row], preferences: list[Row]) -> None:
    unlearned = [message["content"] for row in chat for message in row["messages"] if message.get("weight") == 0]
    unlearned += [row["non_preferred_output"][0]["content"] for row in preferences]
    assert [answer for answer in unlearned if not style_faults(answer)] == []


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("Hello, it left. Next: it arrives by Friday.", "signature"),
        ("Dear Ann, it left. Next: it arrives by Friday." + SIGNATURE, "greeting"),
        ("Hello, it left. It is fast. It is red. Next: it arrives by Friday." + SIGNATURE, "three sentences"),
        ("Hello, it left. It arrives by Friday." + SIGNATURE, "next step last"),
        ("Hello, it left. Next: it arrives soon." + SIGNATURE, "deadline"),
        ("Hello, it left! Next: it arrives by Friday." + SIGNATURE, "calm"),
        ("Hello, you get 20 pounds. Next: they arrive by Friday." + SIGNATURE, "no sums"),
        ("Hello, the tire left. Next: it arrives by Friday." + SIGNATURE, "British spelling"),
    ],
)
def test_the_style_rule_finds_each_fault(answer: str, fault: str) -> None:
    assert fault in style_faults(answer)


def test_no_two_conversations_are_alike(chat: list[Row], preferences: list[Row]) -> None:
    prompts = [user_text(row["messages"]) for row in chat] + [
        user_text(row["input"]["messages"]) for row in preferences
    ]
    assert shingle_similarity(prompts)[0] < 0.6
    answers = [answer.removesuffix(SIGNATURE) for row in chat for _, answer in learned(row)]
    answers += [row["preferred_output"][0]["content"].removesuffix(SIGNATURE) for row in preferences]
    assert shingle_similarity(answers)[0] < 0.4


def test_lengths_are_mixed(chat: list[Row]) -> None:
    assert max(word_count(row["messages"]) for row in chat) <= 200
    words = np.array([len(user_text(row["messages"]).split()) for row in chat])
    assert (words <= 8).sum() >= 15
    assert (words >= 50).sum() >= 10
    assert words.std() > 10


def test_length_does_not_tell_the_preferred_answer(preferences: list[Row]) -> None:
    lengths = np.array(
        [[len(row[key][0]["content"]) for key in ("preferred_output", "non_preferred_output")] for row in preferences]
    )
    longer = (lengths[:, 0] > lengths[:, 1]).mean()
    assert 0.35 <= longer <= 0.65


@pytest.mark.parametrize(
    ("said", "answer", "fault"),
    [
        ("it broke\nAnn", "Hi Ann, sorry.", None),
        ("it broke\nAnn Lee", "Hello, sorry.", "greets None, not Ann"),
        ("it broke", "Hi Ann, sorry.", "Ann is invented"),
    ],
)
def test_the_name_rule(said: str, answer: str, fault: str | None) -> None:
    assert name_fault([{"role": "user", "content": said}], answer) == fault


@pytest.mark.parametrize("path", [CHAT, PREFERENCES], ids=lambda path: path.stem)
def test_nobody_real_can_be_reached(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    domains = re.findall(r"[\w.+-]+@([\w-]+(?:\.[\w-]+)+)", text)
    assert all(re.search(r"(?:^|\.)example\.(?:com|org|net)$", domain) for domain in domains)
    assert re.findall(r"\+?\d(?:[\s().-]?\d){7,}", text) == []
    assert re.findall(r"https?:|www\.", text) == []
    assert "\ufffd" not in text
    assert "Ã" not in text
