"""Words for nothing are one list, whoever wrote them."""

from __future__ import annotations

import pytest

from tunesmith.data.nothing import labels_of_nothing, may_be_nothing, nothing_in_text, says_nothing


@pytest.mark.parametrize(
    "cell", ["", "N/A", " null ", "NaN", "#N/A", "-", "?", "k.A.", "sin datos", "н/д", "\u200b", "—"]
)
def test_words_for_nothing(cell: str) -> None:
    assert says_nothing(cell)


@pytest.mark.parametrize("cell", ["0", "no", "nano", "ok", "n", "None of these", "*****", "no answer from support"])
def test_words_that_say_something(cell: str) -> None:
    assert not says_nothing(cell)
    assert not nothing_in_text(cell)


def test_a_word_that_may_be_a_class_is_one_where_it_is_as_frequent() -> None:
    assert may_be_nothing("None")
    assert labels_of_nothing({"favor": 20, "against": 20, "None": 18}) == set()
    assert labels_of_nothing({"favor": 20, "against": 20, "None": 3, "n/a": 9}) == {"None", "n/a"}
    assert labels_of_nothing({"yes": 20, "none": 3}) == set()


def test_a_word_for_nothing_is_a_label_where_the_others_show_it() -> None:
    codes = dict.fromkeys(["DE", "ZA", "BW", "FR", "US"], 20)
    assert labels_of_nothing({**codes, "NA": 2, "n/a": 3}) == {"n/a"}  # Namibia
    assert labels_of_nothing({**codes, "TX": 9, "NA": 2}) == {"NA"}  # no countries
    assert labels_of_nothing({"DE": 5, "FR": 5, "NA": 5}) == {"NA"}
    names = dict.fromkeys(["Miller", "Smith", "Weber", "Novák"], 20)
    assert labels_of_nothing({**names, "Null": 12, "NULL": 9}) == {"NULL"}
    assert labels_of_nothing({**names, "Null": 2}) == {"Null"}
    assert labels_of_nothing({**dict.fromkeys(["spam", "ham", "news", "work"], 9), "Null": 9}) == {"Null"}


def test_a_question_mark_may_be_a_message_and_no_label() -> None:
    assert says_nothing("?")
    assert not nothing_in_text("?")
    assert nothing_in_text("None")
    assert nothing_in_text("--")
