"""Two answers and which of them is better, as public sets of preferences write it."""

from __future__ import annotations

from typing import Any

import pytest

from tunesmith.core.errors import DataError
from tunesmith.core.events import Event, Warned, ignore
from tunesmith.data.conversations import detect, read_examples

GOOD, BAD = "a good answer of some words", "a bad one of other words"
ASKED = "what is it good for?"


def rows(first: str, second: str, words: list[dict[str, Any]], prompt: str = "prompt") -> list[dict[str, Any]]:
    """One row for each of `words`: the first says that the first answer is better, the second that the second is."""
    answers = [(GOOD, BAD), (BAD, GOOD), *[("one", "another")] * len(words)]
    return [
        {prompt: f"{ASKED} {at}", first: answers[at][0], second: answers[at][1], **one} for at, one in enumerate(words)
    ]


def choice(name: str, *cells: Any) -> list[dict[str, Any]]:
    return [{name: cell} for cell in cells]


SETS = {
    "a and b": rows("response_a", "response_b", choice("preference", "a", "b")),
    "in capitals": rows("response_a", "response_b", choice("preference", "A", "B")),
    "models": rows("response_a", "response_b", choice("winner", "model_a", "model_b", "tie", "tie (bothbad)")),
    "the names of the columns": rows("response_a", "response_b", choice("preferred", "response_a", "response_b")),
    "signs": rows("answer_a", "answer_b", choice("verdict", "A>B", "B>>A", "A=B")),
    "one and two": rows("output_1", "output_2", choice("preference", 1, 2), "instruction"),
    "with a tie": rows("response_1", "response_2", choice("label", 1, 2, 0)),
    "numbers from a table": rows("responseA", "responseB", choice("choice", "1", "2", "tie")),
    "indices": rows("response_0", "response_1", choice("better_response_id", 0, 1)),
    "1 where the first is better": rows("human_ref_A", "human_ref_B", choice("labels", 1, 0), "history"),
    "flags": rows("response_a", "response_b", [
        {"winner_model_a": 1, "winner_model_b": 0, "winner_tie": 0},
        {"winner_model_a": 0, "winner_model_b": 1, "winner_tie": 0},
        {"winner_model_a": 0, "winner_model_b": 0, "winner_tie": 1},
    ]),
    "scores": rows("answer_0", "answer_1", [
        {"score_0": 1.0, "score_1": -1.0}, {"score_0": -0.5, "score_1": 0.5}, {"score_0": 0.0, "score_1": 0.0},
    ], "question"),
    "strength": rows("response_1", "response_2", choice("preference_strength", -2, 3, 0)),
    "words": rows("completion_a", "completion_b", choice("human_preference", "Response A", "response B", "both")),
    "names of models": rows("response_a", "response_b", [
        {"model_a": "x", "model_b": "y", "winner": won} for won in ("x", "y", "tie")
    ]),
    "sides": rows("answer_left", "answer_right", choice("choice", "left", "right")),
}  # fmt: skip


@pytest.mark.parametrize("name", SETS)
def test_the_better_answer_is_the_chosen_one(name: str) -> None:
    told: list[Event] = []
    found = read_examples(SETS[name], emit=told.append)
    assert found.form == "preference"
    assert [(one["chosen"], one["rejected"]) for one in found] == [(GOOD, BAD)] * 2
    assert [one["prompt"] for one in found] == [f"{ASKED} 0", f"{ASKED} 1"]
    ties = len(SETS[name]) - 2
    reasons = {"neither of the two answers is the better one": ties} if ties else {}
    assert found.ledger.counts()["reasons"]["dropped"] == reasons
    assert any(isinstance(event, Warned) and "neither of the two" in event.message for event in told) == bool(ties)


def test_of_pairs_from_votes_the_first_is_the_better() -> None:
    made = [{"qid": 1, "question": ASKED, "date": "2020-01-01", "response_j": GOOD, "response_k": BAD}]
    (one,) = read_examples(made, emit=ignore)
    assert (one["prompt"], one["chosen"], one["rejected"]) == (ASKED, GOOD, BAD)


def test_conversations_side_by_side() -> None:
    asked = {"role": "user", "content": ASKED}
    sides = [[asked, {"role": "assistant", "content": text}] for text in (GOOD, BAD)]
    row = {"conversation_a": sides[1], "conversation_b": sides[0], "winner": "model_b"}
    (one,) = read_examples([row], emit=ignore)
    assert (one["messages"], one["chosen"][0]["content"]) == ([asked], GOOD)


def test_texts_in_lists_of_one() -> None:
    row = {"prompt": f'["{ASKED}"]', "response_a": f'["{BAD}"]', "response_b": f'["{GOOD}"]', "winner": "model_b"}
    (one,) = read_examples([row], emit=ignore)
    assert (one["prompt"], one["chosen"]) == (ASKED, GOOD)


def test_numbers_that_can_mean_either_are_refused() -> None:
    with pytest.raises(DataError, match="can mean either"):
        read_examples(rows("response_a", "response_b", choice("preference", 0, 1)), emit=ignore)
    faulty = rows("response_a", "response_b", choice("preference", *["a", "b"] * 60, "purple"))
    with pytest.raises(DataError, match="'purple' names neither"):
        read_examples(faulty, emit=ignore)


def several(key: str, cell: Any, **others: Any) -> list[dict[str, Any]]:
    return [{"prompt": f"{ASKED} {n}", key: cell, **others} for n in range(12)]


UNREAD = {
    "scored": (several("completions", [{"response": GOOD, "overall_score": 5}, {"response": BAD}]), "several", "score"),
    "ranked": (several("answers", [{"answer": GOOD, "rank": 1.0}, {"answer": BAD, "rank": 2.0}]), "several", "rank"),
    "texts and scores": (several("responses", [GOOD, BAD], scores=[1, 0]), "scored by 'scores'", "chosen"),
    "texts": (several("generations", [GOOD, BAD]), "several answers", "chosen"),
    "right and wrong": (several("correct_answers", [GOOD, BAD], incorrect_answers=[BAD]), "several answers", "chosen"),
    "no word on it": (rows("response_a", "response_b", [{}] * 8), "no column says which", "winner"),
    "other words": (rows("response_a", "response_b", choice("winner", "x", "y")), "such as 'x', 'y'", "Write a, b"),
}  # fmt: skip


@pytest.mark.parametrize("form", [None, "preference"])
@pytest.mark.parametrize("name", UNREAD)
def test_what_is_not_read_is_named_with_the_way_out(name: str, form: str | None) -> None:
    given, told, fix = UNREAD[name]
    with pytest.raises(DataError) as caught:
        read_examples(given, emit=ignore, form=form)
    assert told in str(caught.value)
    assert fix in str(caught.value)


def test_choices_with_the_right_one_are_no_preferences() -> None:
    made = [{"question": f"{ASKED} {n}", "choices": [GOOD, BAD], "label": n % 2} for n in range(20)]
    assert detect(list(made[0]), made) is None


def test_pairs_to_classify_stay_what_they_are() -> None:
    made = [{"text_a": f"{GOOD} {n}", "text_b": BAD, "label": "ab"[n % 2]} for n in range(20)]
    assert detect(list(made[0]), made) is None
