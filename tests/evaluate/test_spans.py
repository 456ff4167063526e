"""Metrics of spans against counts by hand, under weights of rows, and of rows that were not read to their end."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tunesmith.core.events import ignore
from tunesmith.data.surfaces import SurfaceForms
from tunesmith.data.tags import Span, as_bio, may_follow, spans_of
from tunesmith.evaluate.measured import compute, from_arrays, resample, with_intervals
from tunesmith.evaluate.span_sections import kinds_of_error
from tunesmith.evaluate.spans import TrueTags, count
from tunesmith.evaluate.targets.spans import Spans, Tagged, found_in, gazetteer, valid_path

TRUTH = TrueTags([["B-PER", "I-PER", "O"], ["B-LOC", "O"], ["O", "O", "B-PER"]])
GIVEN = [["B-PER", "I-PER", "O"], ["B-PER", "O"], ["B-LOC", "O", "B-PER"]]
TYPES = ("LOC", "PER")


def test_a_span_is_right_with_its_words_and_its_type() -> None:
    found = compute(count(TRUTH, GIVEN, TYPES))
    assert found["precision"] == pytest.approx(2 / 4)
    assert found["recall"] == pytest.approx(2 / 3)
    assert found["f1"] == pytest.approx(4 / 7)
    assert found["entity_f1_macro"] == pytest.approx((0 + 2 * 2 / 5) / 2)
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
    assert len(resample(measured, ["f1"], resamples=50, seed=0)["f1"]) == 50
    assert with_intervals(measured)["f1"]["high"] <= 1


def test_words_that_were_not_read_are_given_none() -> None:
    measured = count(TrueTags([["B-PER", "O", "B-PER"]]), [["B-PER"]], TYPES)
    assert measured.given == [["B-PER", "O", "O"]]
    assert compute(measured)["recall"] == 0.5
    with pytest.raises(ValueError, match="2 words was given 3 tags"):
        count(TrueTags([["O", "O"]]), [["O", "O", "O"]], TYPES)


def test_nothing_to_find_is_no_fault_and_no_success() -> None:
    assert compute(count(TrueTags([["O"]]), [["O"]], TYPES))["f1"] == 0.0


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
    whole = {"text": "B-PER I-PER", "type": "PER", "start": 0, "end": 11, "first_word": 0, "end_word": 2}
    assert found[0]["spans"] == [{**whole, "probability": 0.7}]
    assert target.answers([one], None, 0.75)[0]["spans"] == []
    assert compute(target.measure([one, other], TrueTags([one.tags, other.tags])))["word_log_loss"] == pytest.approx(
        -np.log([0.8, 0.7, 0.6, 0.9]).mean()
    )


def test_a_part_of_an_entity_counts_half() -> None:
    truth = TrueTags([["B-PER", "I-PER", "O", "B-LOC"], ["B-PER", "O"]])
    found = compute(count(truth, [["B-PER", "O", "O", "B-LOC"], ["B-LOC", "O"]], TYPES))
    assert found["partial_f1"] == pytest.approx(2 * 1.5 / 6)
    assert found["f1"] == pytest.approx(2 / 6)


def test_unseen_entities_are_counted_apart() -> None:
    words = [["Ada", "in", "turin"], ["Oslo", "is", "Oslo"]]
    truth = TrueTags([["B-PER", "O", "B-LOC"], ["B-LOC", "O", "O"]], words)
    seen = SurfaceForms.of([["Turin"]], [["B-LOC"]])
    assert seen is not None
    assert "turin" in SurfaceForms(seen.record())
    measured = count(truth, [["O", "O", "B-LOC"], ["B-LOC", "O", "B-LOC"]], TYPES, seen=seen)
    found = compute(measured)
    assert (found["seen_recall"], found["unseen_recall"]) == (1.0, 0.5)
    assert found["unseen_f1"] == pytest.approx(2 / 4)
    assert measured.is_new(0, spans_of(truth.tags[0])[0])
    assert "unseen_f1" not in compute(count(truth, truth.tags, TYPES))
    assert "unseen_f1" not in compute(count(TrueTags([["O"]], [["a"]]), [["O"]], TYPES, seen=seen)), "undefined"


def test_no_entity_is_gone_on_with_that_was_not_begun() -> None:
    names = ["B-LOC", "B-PER", "I-LOC", "I-PER", "O"]
    scores = np.array([[0.4, 0, 0, 0, 0.6], [0.1, 0, 0.6, 0, 0.3], [0, 0.45, 0, 0.5, 0.05], [0, 0, 0.4, 0, 0.6]])
    one, other = Spans("spans", names).decode(scores, np.array([3, 1]))
    assert one.tags == ["B-LOC", "I-LOC", "B-PER"]
    assert other.tags == ["O"]
    free = valid_path(scores, np.array([3, 1]), np.ones((6, 5), dtype=bool))
    assert free.tolist() == scores.argmax(1).tolist()
    every = itertools.product(range(5), repeat=3)
    follows = np.array(may_follow(names), dtype=bool)

    def valid(path: tuple[int, ...]) -> bool:
        return all(follows[before, at] for before, at in zip((-1, *path[:-1]), path, strict=True))

    drawn = np.random.default_rng(3).dirichlet(np.ones(5), 3)
    best = max(filter(valid, every), key=lambda path: sum(np.log(drawn[at, tag]) for at, tag in enumerate(path)))
    assert valid_path(drawn, np.array([3]), follows).tolist() == list(best)


def test_entities_of_the_training_rows_are_looked_up() -> None:
    rows = [["New", "York", "new"], ["may", "may"], ["York"], ["may"]]
    known = gazetteer(rows, [["B-LOC", "I-LOC", "O"], ["B-DATE", "O"], ["B-LOC"], ["O"]])
    assert known == {("New", "York"): "LOC", ("York",): "LOC"}
    assert found_in(["in", "New", "York", "York"], known) == ["O", "B-LOC", "I-LOC", "B-LOC"]


def test_seqeval_counts_the_same() -> None:
    scorer = pytest.importorskip("seqeval.metrics")
    drawn = np.random.default_rng(1)
    names = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    sides = [[list(drawn.choice(names, 9, p=[0.4, 0.15, 0.15, 0.15, 0.15])) for _ in range(200)] for _ in range(2)]
    truth, given = ([as_bio(row) for row in side] for side in sides)
    given = [[tag if drawn.random() < 0.4 else right for tag, right in zip(*both, strict=True)]
             for both in zip(given, truth, strict=True)]  # fmt: skip
    found = compute(count(TrueTags(truth), given, TYPES))
    assert found["f1"] == pytest.approx(scorer.f1_score(truth, given), abs=1e-6)
    assert found["precision"] == pytest.approx(scorer.precision_score(truth, given), abs=1e-6)
    assert found["recall"] == pytest.approx(scorer.recall_score(truth, given), abs=1e-6)
    assert found["entity_f1_macro"] == pytest.approx(scorer.f1_score(truth, given, average="macro"), abs=1e-6)
    by_type = {row["label"]: row["f1"] for row in count(TrueTags(truth), given, TYPES).per_class()}
    theirs = scorer.classification_report(truth, given, output_dict=True)
    assert by_type == {kind: pytest.approx(theirs[kind]["f1-score"], abs=1e-6) for kind in TYPES}


def test_the_most_frequent_tag_of_a_word_is_a_baseline() -> None:
    from datasets import Dataset

    target = Spans("spans", ["B-LOC", "O"])
    rows = Dataset.from_dict({"tokens": [["in", "Turin"], ["in", "Oslo"]]})
    truth = [["O", "B-LOC"], ["O", "B-LOC"]]
    asked = Dataset.from_dict({"tokens": [["Turin", "in", "Rome"]]})
    wanted = [["B-LOC", "O", "B-LOC"]]
    found = target.baselines(
        (rows, asked),
        (TrueTags(truth), TrueTags(wanted)),
        "word_tags",
        lambda some, emit: ([], []),
        seed=0,
        emit=ignore,
    )
    assert list(found) == ["majority", "gazetteer", "word_tags"]
    assert found["gazetteer"].columns()["predicted"] == [["B-LOC", "O", "O"]]
    assert found["word_tags"].columns()["predicted"] == [["B-LOC", "O", "O"]]
    assert isinstance(Tagged(["O"]).tags, list)


def test_mistakes_are_told_apart() -> None:
    wanted = [Span(0, 2, "PER"), Span(3, 4, "LOC"), Span(5, 6, "LOC"), Span(7, 9, "PER"), Span(10, 11, "LOC")]
    found = [Span(0, 2, "PER"), Span(3, 4, "PER"), Span(7, 8, "PER"), Span(10, 12, "PER"), Span(13, 14, "LOC")]
    kinds = [kind for kind, _, _ in kinds_of_error(wanted, found)]
    assert kinds == ["right", "type", "missed", "boundary", "both", "spurious"]
