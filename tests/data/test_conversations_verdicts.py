"""Judged answers are read as such, or named: a bad answer is never learned as a good one in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tunesmith.core.errors import DataError
from tunesmith.core.events import Decided, Event, Warned, ignore
from tunesmith.data.conversations import Examples, read_examples
from tunesmith.data.conversations.verdict import says

CHAT = ("chat", "completion", "text")


def chat(number: int, answer: str = "It is") -> list[dict[str, str]]:
    return [
        {"role": "user", "content": f"Is gate {number} open today?"},
        {"role": "assistant", "content": f"{answer} {number}."},
    ]


def answered(number: int) -> dict[str, str]:
    return {"prompt": f"Is gate {number} open today?", "completion": f"It is {number}."}


def judged(cells: list[Any], name: str = "label", base: Any = answered) -> list[dict[str, Any]]:
    return [{**base(number), name: cell} for number, cell in enumerate(cells)]


def read(rows: Any, emit: Any = ignore, **given: Any) -> Examples:
    return read_examples(rows, emit=emit, **given)


def labels(rows: Any, **given: Any) -> list[bool]:
    examples = read(rows, **given)
    assert examples.form == "feedback"
    return [example["label"] for example in examples]


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (True, False), (1, 0), (1.0, 0.0), ("1.0", "0.0"), (1, -1), ("+1", "-1"), ("T", "F"), ("true ", " False"),
        ("yes", "no"), ("Good", "BAD"), ("chosen", "rejected"), ("accepted", "declined"), ("👍🏽", "👎"), ("✅", "❌"),
        ("thumbs_up", "thumbs-down"), (":+1:", ":-1:"), ("ja", "nein"), ("gut", "schlecht"), ("oui", "non"),
        ("好", "差"), ("верно", "неверно"), ("like", "dislike"), ("+", "-"),
        ("on", "off"), ("approved", "denied"), ("ok", "nok"), ("win", "loss"), ("safe", "unsafe"),
    ],
)  # fmt: skip
def test_the_words_of_a_verdict(good: Any, bad: Any) -> None:
    assert labels(judged([bad, good, good, bad])) == [False, True, True, False]


@pytest.mark.parametrize(
    "name",
    ["kto_tag", "verdict", "is_good", "isCorrect", "accepted", "preferred", "feedback", "thumbs", "score", "Rating",
     "human label", "user_rating", "bewertung", "оценка", "评价"],
)  # fmt: skip
def test_the_names_of_columns_that_judge(name: str) -> None:
    assert labels(judged([0, 1, 1, 0], name)) == [False, True, True, False]


def test_true_says_bad_where_the_name_does() -> None:
    assert labels(judged([True, False], "is_bad")) == [False, True]
    assert labels(judged([True, False], "rejected")) == [False, True]
    assert labels(judged([1, 0], "toxic")) == labels(judged(["yes", "no"], "is_hallucinated")) == [False, True]


def test_the_column_that_judges_most_rows_does() -> None:
    rows = judged([True, False, True, False])
    assert labels([*rows[:3], {**rows[3], "chosen": True}]) == [True, False, True, False]


def test_words_that_judge_need_no_name() -> None:
    assert labels(judged(["👍", "👎"], "reaktion")) == [True, False]
    assert labels(judged(["good", "bad"], "how_it_was")) == [True, False]
    assert read(judged(["en", "de"], "lang")).form == "completion"
    assert read(judged([True, False], "has_code")).form == "completion"


@pytest.mark.parametrize(
    "base",
    [
        lambda n: {"messages": chat(n)},
        lambda n: {"conversations": [{"from": "human", "value": f"Is gate {n} open today?"},
                                     {"from": "gpt", "value": f"It is {n}."}]},
        lambda n: {"instruction": f"Is gate {n} open today?", "input": "", "output": f"It is {n}."},
        lambda n: {"question": f"Is gate {n} open today?", "answer": f"It is surely {n}."},
        lambda n: {"contents": [{"role": "user", "parts": [{"text": f"Is gate {n} open today?"}]},
                                {"role": "model", "parts": [{"text": f"It is {n}."}]}]},
    ],
)  # fmt: skip
def test_every_format_of_answers_can_be_judged(base: Any) -> None:
    examples = read(judged(["no", "yes"], "is_helpful", base))
    assert [example["label"] for example in examples] == [False, True]
    assert [message["role"] for message in examples[0]["messages"]] == ["user"]
    assert examples[0]["completion"][0]["content"].endswith("0.")


def test_a_verdict_in_a_list_of_one_object() -> None:
    assert labels(judged([[{"label": "bad"}], [{"label": "good"}]], "annotations")) == [False, True]


def test_a_verdict_within_an_object_and_in_a_table(tmp_path: Path) -> None:
    rows = judged([{"by": "ann", "rating": 0}, {"by": "bo", "rating": 1}], "metadata")
    assert labels(rows) == [False, True]
    file = tmp_path / "judged.csv"
    texts = [json.dumps(row["metadata"]).replace('"', '""') for row in rows]
    lines = [f'{row["prompt"]},{row["completion"]},"{text}"' for row, text in zip(rows, texts, strict=True)]
    file.write_text("\n".join(["prompt,completion,metadata", *lines]), encoding="utf-8")
    assert labels(file) == [False, True]


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("rating", [1, 2, 3, 4, 5]), ("score", [0.1, 0.9]), ("stars", ["*", "*****"]), ("label", [-1, 0, 1]),
        ("label", ["billing", "refund"]), ("winner", ["model_a", "tie"]), ("rating", [1, 1]), ("note", [1, 2, 6]),
        ("quality", ["high", "low"]), ("评分", [5, 1]), ("meta", [{"user": {"score": 4}}, {"user": {"score": 2}}]),
    ],
)  # fmt: skip
def test_what_can_not_be_read_as_a_verdict_stops(name: str, cells: list[Any]) -> None:
    rows = judged(cells, name)
    with pytest.raises(DataError, match="seems to judge the answers") as refused:
        read(rows)
    assert str(refused.value.problems[0].column).startswith(name)
    assert "--task chat" in str(refused.value.fix)
    goes_on = read(rows, form=CHAT)
    assert (goes_on.form, len(goes_on)) == ("completion", len(cells))


def test_pairs_of_texts_have_no_verdicts() -> None:
    rows = [{"document": f"a long text of gate {n}", "summary": f"gate {n}", "score": n % 2} for n in range(4)]
    with pytest.raises(DataError, match="--task seq2seq"):
        read(rows)
    assert read(rows, form=("pair",)).form == "pair"


def test_remarks_and_plain_columns_do_not_stop() -> None:
    remark = "it was a friendly and rather short answer to read"
    for name, cells in [("feedback", [remark] * 4), ("note", ["a", "b", "c"]), ("label", [None, ""]), ("topic", ["x"])]:
        events: list[Event] = []
        assert read(judged(cells, name), events.append).form == "completion"
        assert any(isinstance(event, Decided) and event.what == "skipped columns" for event in events)


def test_counts_of_verdicts_are_told_and_one_kind_alone_is_warned_of() -> None:
    events: list[Event] = []
    read(judged(["bad", "good", "good"]), events.append)
    (found,) = [event for event in events if isinstance(event, Decided) and event.what == "verdicts"]
    assert found.value == {"good": 2, "bad": 1}
    read(judged(["good", "good"]), events.append)
    assert any(isinstance(event, Warned) and "all 2 answers are good" in event.message for event in events)


def test_a_number_of_another_scale_is_a_fault_of_its_row() -> None:
    rows = judged([0, 1] * 60 + [-1])
    with pytest.raises(DataError, match=r'row 121: key "label": .-1. is neither true nor false'):
        read(rows)


@pytest.mark.parametrize("asked", [CHAT, "chat", "completion"])
def test_asked_for_as_chat_no_verdict_is_read(asked: Any) -> None:
    if asked != "completion":
        assert read(judged([True, False], base=lambda n: {"messages": chat(n)}), form=asked).form == "chat"
    if asked != "chat":
        assert read(judged([True, False]), form=asked).form == "completion"


def test_a_label_beside_a_prompt_and_a_response_may_be_a_class() -> None:
    def base(n: int) -> dict[str, str]:
        return {"prompt": f"Is gate {n} open today?", "response": f"It is surely {n}."}

    with pytest.raises(DataError, match="no known format"):
        read(judged([0, 1], base=base))
    assert labels(judged([0, 1], base=base), form=("preference", "feedback")) == [False, True]
    assert labels(judged(["good", "bad"], base=base)) == [True, False]


WORSE = {
    "rejected_response": {"messages": chat(1), "rejected_response": "No."},
    "rejected_messages": {"messages": chat(1), "rejected_messages": chat(1, "No,")},
    "a turn": {"conversations": chat(1), "rejected": {"from": "gpt", "value": "No."}},
    "rejected beside output": {"instruction": "Is gate 1 open today?", "output": "It is 1.", "rejected": "No, never."},
    "rejected_completion": {"prompt": "Is gate 1 open today?", "completion": "It is 1.", "rejected_completion": "No."},
    "negative_response": {"messages": chat(1), "negative_response": "No."},
    "positive and negative": {
        "query": "Is gate 1 open today?",
        "answer_positive": "It is 1.",
        "answer_negative": "No.",
    },
    "good and bad": {"question": "Is gate 1 open today?", "good_answer": "It is 1.", "bad_answer": "No."},
    "named by the side": {"prompt": "Is gate 1 open today?", "response_chosen": "It is 1.", "response_rejected": "No."},
    "one whole, one answer": {"chosen": chat(1), "rejected": "No."},
    "whole, and the conversation again": {"messages": chat(1), "chosen": chat(1), "rejected": chat(1, "No,")},
}


@pytest.mark.parametrize("row", WORSE.values(), ids=list(WORSE))
def test_a_rejected_side_under_every_name(row: dict[str, Any]) -> None:
    (example,) = read([row])
    assert example["form"] == "preference"
    asked = example["prompt"] if example["messages"] is None else example["messages"][-1]["content"]
    good, bad = (
        side if isinstance(side, str) else side[-1]["content"] for side in (example["chosen"], example["rejected"])
    )
    assert (asked, good, bad[:2]) == ("Is gate 1 open today?", "It is 1.", "No")


def test_answers_of_yes_and_no_are_answers() -> None:
    rows = [{"prompt": f"Is gate {n} open today?", "chosen": "Yes", "rejected": "No"} for n in range(3)]
    assert read(rows)[0]["chosen"] == "Yes"


def test_says() -> None:
    assert [says(cell) for cell in (True, "Yes!", 0.0, "(bad)", "maybe", 2, None, [1])] == [
        True, True, False, False, None, None, None, None,
    ]  # fmt: skip
