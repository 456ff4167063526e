"""Tags of words: schemes are one, spans are what conlleval counts, cells are read or refused."""

from __future__ import annotations

import pytest

from tunesmith.data.tags import Span, as_bio, is_tag, items_of, scheme_of, spans_of

BIO = ["B-PER", "I-PER", "O", "B-LOC", "B-LOC", "I-LOC", "O"]
SAME = {
    "BIO": BIO,
    "IOB1": ["I-PER", "I-PER", "O", "I-LOC", "B-LOC", "I-LOC", "O"],
    "BILOU": ["B-PER", "L-PER", "O", "U-LOC", "B-LOC", "L-LOC", "O"],
    "BIOES": ["B-PER", "E-PER", "O", "S-LOC", "B-LOC", "E-LOC", "O"],
}


@pytest.mark.parametrize("scheme", SAME)
def test_every_scheme_says_the_same(scheme: str) -> None:
    assert as_bio(SAME[scheme]) == BIO
    assert scheme_of([SAME[scheme]]) == scheme


def test_spans_are_words_with_a_type() -> None:
    assert spans_of(BIO) == [Span(0, 2, "PER"), Span(3, 4, "LOC"), Span(4, 6, "LOC")]
    assert spans_of(["I-PER", "I-LOC", "I-LOC"]) == [Span(0, 1, "PER"), Span(1, 3, "LOC")]
    assert spans_of(["NOUN", "NOUN", "O"]) == [Span(0, 1, "NOUN"), Span(1, 2, "NOUN")]
    assert spans_of(["PER", "I-PER"]) == [Span(0, 1, "PER"), Span(1, 2, "PER")]


def test_tags_without_a_letter_are_of_their_word() -> None:
    assert as_bio(["NOUN", "NOUN"]) == ["NOUN", "NOUN"]
    assert scheme_of([["NOUN", "VERB"]]) is None
    assert is_tag("O")
    assert is_tag("B-PER")
    assert not is_tag("Berlin")


def test_cells_are_lists_however_they_are_written() -> None:
    for cell in (["a", "b"], "['a', 'b']", '["a", "b"]', "a b", ("a", "b")):
        assert items_of(cell) == ["a", "b"], cell
    assert items_of([3, 0]) == ["3", "0"]
    assert items_of(None) is items_of("") is items_of([]) is None


@pytest.mark.parametrize("cell", [["a", " "], ["a", ["b"]], ["a", None], {"a": 1}, 7])
def test_what_is_no_list_of_words_is_refused(cell: object) -> None:
    with pytest.raises(ValueError, match=r"stands in the list|is no list"):
        items_of(cell)
