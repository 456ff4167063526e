"""Which training examples stand before a question, and how."""

from __future__ import annotations

from typing import Any

import pytest

from tunesmith.evaluate.few_shot import FewShot, begun, count_answers

SUBJECTS = ["refund", "password", "parcel", "invoice", "holiday"]


def pair(subject: str) -> dict[str, Any]:
    return {"row": 1, "form": "pair", "source": f"where is my {subject}", "target": f"about {subject}"}


def chat(subject: str, **extra: Any) -> dict[str, Any]:
    messages = [
        {"role": "system", "content": f"system of {subject}"},
        {"role": "user", "content": f"where is my {subject}"},
        {"role": "assistant", "content": f"about {subject}", **extra},
    ]
    return {"row": 1, "form": "chat", "messages": messages, "tools": None}


@pytest.fixture
def pairs() -> FewShot:
    return FewShot([pair(subject) for subject in SUBJECTS])


def test_the_nearest_examples_stand_last(pairs: FewShot) -> None:
    query = {"form": "pair", "source": "i lost the password of my invoice invoice"}
    shown = str(pairs.prompt(query, 2)).split("\n\n")
    assert shown == [
        "where is my password\nabout password",
        "where is my invoice\nabout invoice",
        "i lost the password of my invoice invoice\n",
    ]


def test_the_querys_own_row_gives_no_answer_away(pairs: FewShot) -> None:
    prompt = pairs.prompt(pair("parcel"), 5)
    assert "about parcel" not in prompt
    assert prompt.count("about") == 4


def test_fewer_examples_where_more_do_not_fit(pairs: FewShot) -> None:
    query = {"form": "pair", "source": "the password, please"}
    prompt = pairs.prompt(query, 4, fits=lambda text: text.count("about") <= 1)
    assert prompt == "where is my password\nabout password\n\nthe password, please\n"
    assert pairs.prompt(query, 4, fits=lambda text: False) == "the password, please\n"


def test_chat_examples_become_earlier_turns_under_the_querys_system_message() -> None:
    query = chat("parcels")
    messages = FewShot([chat(subject) for subject in SUBJECTS]).prompt(query, 1, lambda prompt: True)
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert [message["content"] for message in messages] == [
        "system of parcels", "where is my parcel", "about parcel", "where is my parcels",
    ]  # fmt: skip


def test_examples_with_tool_calls_bad_feedback_and_texts_are_not_shown() -> None:
    called = chat("refund", tool_calls=[{"id": "1"}])
    disliked = {"form": "feedback", "prompt": "a refund", "messages": None, "completion": "no", "label": False}
    liked = {**disliked, "prompt": "b refund", "completion": "yes", "label": True}
    shown = FewShot([called, disliked, liked, {"form": "text", "text": "refund"}])
    query = {"form": "completion", "prompt": "a refund?", "completion": ""}
    assert shown.prompt(query, 9) == "b refund\nyes\n\na refund?\n"


def test_an_answer_that_is_not_learned_is_neither_shown_nor_asked_for() -> None:
    rows = [chat(subject) for subject in ("refund", "parcel")]
    for row in rows:
        row["messages"] += [{"role": "user", "content": "so?"}, {"role": "assistant", "content": "bad", "weight": 0}]
    messages = FewShot(rows[:1]).prompt(rows[1], 1)
    assert [message["content"] for message in messages] == [
        "system of parcel", "where is my refund", "about refund", "where is my parcel",
    ]  # fmt: skip


def test_a_conversation_up_to_one_of_its_answers() -> None:
    row = chat("refund")
    row["messages"] += [*chat("parcel", weight=0)["messages"][1:], *chat("card")["messages"][1:]]
    assert count_answers(row) == 2
    assert [len(begun(row, number)["messages"]) for number in (0, 1)] == [3, 7]
    assert (begun(pair("refund"), 0), count_answers(pair("refund"))) == (pair("refund"), 1)


def test_preferences_show_the_chosen_answer() -> None:
    def preference(subject: str) -> dict[str, Any]:
        asked = [{"role": "user", "content": subject}]
        said = [[{"role": "assistant", "content": f"{subject} {end}"}] for end in ("good", "bad")]
        return {"form": "preference", "messages": asked, "chosen": said[0], "rejected": said[1], "tools": None}

    messages = FewShot([preference("one")]).prompt(preference("two"), 3)
    assert [message["content"] for message in messages] == ["one", "one good", "two"]


def test_texts_with_nothing_to_count_and_no_examples_still_give_a_prompt() -> None:
    assert FewShot([{"form": "pair", "source": "", "target": "x"}]).prompt(pair("a"), 1) == "\nx\n\nwhere is my a\n"
    assert FewShot([]).prompt(pair("a"), 3) == "where is my a\n"
