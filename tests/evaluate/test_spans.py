"""Metrics of spans against counts by hand, under weights of rows, and of rows that were not read to their end."""

from __future__ import annotations

import numpy as np
import pytest

from tunesmith.core.events import ignore
from tunesmith.evaluate.measured import compute, from_arrays, resample, with_intervals
from tunesmith.evaluate.spans import count
from tunesmith.evaluate.targets.spans import Spans, Tagged

TRUTH = [["B-PER", "I-PER", "O"], ["B-LOC", "O"], ["O", "O", "B-PER"]]
GIVEN = [["B-PER", "I-PER", "O"], ["B-PER", "O"], ["B-LOC", "O", "B-PER"]]
TYPES = ("LOC", "PER")


def test_a_span_is_right_with_its_words_and_its_type() -> None:
    found = compute(count(TRUTH, GIVEN, TYPES))
    assert found["span_precision"] == pytest.approx(2 / 4)
    assert found["span_recall"] == pytest.approx(2 / 3)
    assert found["span_f1"] == pytest.approx(4 / 7)
    assert found["span_f1_macro"] == pytest.approx((0 + 2 * 2 / 5) / 2)
    assert found["word_accuracy"] == pytest.approx(6 / 8)


def test_types_have_their_own_line() -> None:
    rows = {row["label"]: row for row in count(TRUTH, GIVEN, TYPES).per_class()}
    assert (rows["PER"]["support"], rows["PER"]["predicted"], rows["PER"]["precision"]) == (2, 3, pytest.approx(2 / 3))
    assert (rows["LOC"]["support"], rows["LOC"]["f1"]) == (1, 0.0)


def test_a_weight_is_that_many_rows() -> None:
    measured = count(TRUTH, GIVEN, TYPES)
    weights = np.array([[2.0], [0.0], [1.0]])
    drawn = measured.take(np.array([0, 0, 2]))
    for name, value in compute(drawn).items():
        assert measured.values([name], weights)[name][0] == pytest.approx(value), name
    assert len(resample(measured, ["span_f1"], resamples=50, seed=0)["span_f1"]) == 50
    assert with_intervals(measured)["span_f1"]["high"] <= 1


def test_words_that_were_not_read_are_given_none() -> None:
    measured = count([["B-PER", "O", "B-PER"]], [["B-PER"]], TYPES)
    assert measured.given == [["B-PER", "O", "O"]]
    assert compute(measured)["span_recall"] == 0.5
    with pytest.raises(ValueError, match="2 words was given 3 tags"):
        count([["O", "O"]], [["O", "O", "O"]], TYPES)


def test_nothing_to_find_is_no_fault_and_no_success() -> None:
    assert compute(count([["O"]], [["O"]], TYPES))["span_f1"] == 0.0


def test_what_is_saved_is_worth_the_same() -> None:
    measured = count(TRUTH, GIVEN, TYPES)
    again = from_arrays(measured.arrays(), "spans", None)
    assert compute(again) == compute(measured)
    assert measured.same_rows(again)


def test_scores_are_decoded_row_by_row() -> None:
    target = Spans("spans", ["B-PER", "I-PER", "O"])
    scores = np.array([[0.8, 0.1, 0.1], [0.1, 0.7, 0.2], [0.2, 0.2, 0.6], [0.0, 0.1, 0.9]])
    one, other = target.decode(scores, np.array([3, 1]))
    assert (one.tags, other.tags) == (["B-PER", "I-PER", "O"], ["O"])
    found = target.answers([one, other], None)
    assert found[0]["spans"] == [{"text": "B-PER I-PER", "type": "PER", "start": 0, "end": 2, "probability": 0.7}]
    assert target.answers([one], None, 0.75)[0]["spans"] == []
    assert compute(target.measure([one, other], [one.tags, other.tags]))["word_log_loss"] == pytest.approx(
        -np.log([0.8, 0.7, 0.6, 0.9]).mean()
    )


def test_the_most_frequent_tag_of_a_word_is_a_baseline() -> None:
    from datasets import Dataset

    target = Spans("spans", ["B-LOC", "O"])
    rows = Dataset.from_dict({"tokens": [["in", "Turin"], ["in", "Oslo"]]})
    truth = [["O", "B-LOC"], ["O", "B-LOC"]]
    asked = Dataset.from_dict({"tokens": [["Turin", "in", "Rome"]]})
    wanted = [["B-LOC", "O", "B-LOC"]]
    found = target.baselines(
        (rows, asked), (truth, wanted), "word_tags", lambda some, emit: ([], []), seed=0, emit=ignore
    )
    assert list(found) == ["majority", "word_tags"]
    assert found["word_tags"].columns()["predicted"] == [["B-LOC", "O", "O"]]
    assert isinstance(Tagged(["O"]).tags, list)
