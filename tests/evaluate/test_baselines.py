"""Baselines learn what can be learned from words, see training rows only, and never warn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from tunesmith.core.events import Decided, Event, Warned, ignore
from tunesmith.evaluate.baselines import simple_baselines
from tunesmith.evaluate.measured import compute
from tunesmith.modalities.text import Text

TOPICS = (
    ["card", "lost", "bank", "stolen", "wallet"],
    ["parcel", "delivery", "late", "courier", "box"],
    ["password", "login", "account", "locked", "email"],
)


def texts_about(topics: np.ndarray, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    filler = ["the", "my", "is", "please", "when", "help"]
    return [" ".join([*rng.choice(TOPICS[topic], 3), *rng.choice(filler, 4)]) for topic in topics]


def rows(count: int, seed: int) -> tuple[np.ndarray, list[str]]:
    topics = np.random.default_rng(seed).integers(0, 3, count)
    return topics, texts_about(topics, seed)


def run(kind: Any, train: tuple[Any, Any], test: tuple[Any, Any], names: Any, **more: Any) -> Any:
    learned, asked = _table(train[1]), _table(test[1])

    def features(chosen: np.ndarray, emit: Any) -> Any:
        return Text().cheap_features(learned.select(chosen), asked, emit)

    more = {"emit": ignore, **more}
    return simple_baselines(kind, (train[0], test[0]), names, Text.cheap, features, seed=0, **more)


def _table(texts: list[Any]) -> Dataset:
    if not texts or isinstance(texts[0], str):
        return Dataset.from_dict({"text": texts})
    first, second = zip(*texts, strict=True)
    return Dataset.from_dict({"text": first, "text_pair": second})


@pytest.mark.parametrize("classes", [2, 3])
def test_single_label(classes: int) -> None:
    train, test = rows(300, 0), rows(100, 1)
    train, test = ((topics % classes, texts) for topics, texts in (train, test))
    found = run("label", train, test, list("abc"[:classes]))
    assert list(found) == ["majority", "tfidf_logistic_regression"]
    shares = np.bincount(train[0], minlength=classes) / 300
    np.testing.assert_allclose(found["majority"].scores[0], shares)
    assert compute(found["tfidf_logistic_regression"])["accuracy"] > 0.95


def test_a_class_that_no_training_row_has_gets_nothing() -> None:
    found = run("label", rows(300, 0), rows(50, 1), ["a", "b", "c", "unseen"])
    assert found["tfidf_logistic_regression"].scores[:, 3].max() == 0


def test_several_labels_get_thresholds() -> None:
    (topics, texts), (test_topics, test_texts) = rows(400, 0), rows(100, 1)
    train = (np.eye(3, dtype=np.int8)[topics], texts)
    test = (np.eye(3, dtype=np.int8)[test_topics], test_texts)
    found = run("labels", train, test, list("abc"))["tfidf_logistic_regression"]
    assert found.thresholds is not None
    assert compute(found)["f1_micro"] > 0.95


def test_numbers() -> None:
    (topics, texts), (test_topics, test_texts) = rows(300, 0), rows(100, 1)
    found = run("number", (topics * 2.0, texts), (test_topics * 2.0, test_texts), None)
    assert list(found) == ["mean", "tfidf_ridge"]
    assert compute(found["tfidf_ridge"])["r2"] > 0.8
    assert found["tfidf_ridge"].scores.max() <= 4.0


def test_pairs_compare_their_texts() -> None:
    """Same topic or not: no single word tells, only the relation of the two texts."""
    rng = np.random.default_rng(0)

    def pairs(count: int, seed: int) -> tuple[np.ndarray, list[tuple[str, str]]]:
        left, same = rng.integers(0, 3, count), rng.integers(0, 2, count)
        right = np.where(same, left, (left + 1) % 3)
        both = zip(texts_about(left, seed), texts_about(right, seed + 1), strict=True)
        return same, list(both)

    found = run("label", pairs(600, 5), pairs(200, 7), ["different", "same"])
    assert compute(found["tfidf_logistic_regression"])["accuracy"] > 0.8


def test_test_texts_are_never_fitted() -> None:
    train, test = rows(200, 0), rows(50, 1)
    alone = run("label", train, (test[0][:1], test[1][:1]), list("abc"))
    among = run("label", train, test, list("abc"))
    name = "tfidf_logistic_regression"
    np.testing.assert_allclose(alone[name].scores[0], among[name].scores[0])


def test_many_rows_are_cut_and_it_is_said() -> None:
    heard: list[Event] = []
    run("label", rows(300, 0), rows(20, 1), list("abc"), max_rows=100, emit=heard.append)
    assert [(event.what, event.value) for event in heard if isinstance(event, Decided)] == [("baseline_rows", 100)]


def test_texts_without_words_leave_the_prior_and_a_warning() -> None:
    heard: list[Event] = []
    found = run("label", ([0, 1], ["", " "]), ([0], [""]), ["a", "b"], emit=heard.append)
    assert list(found) == ["majority"]
    assert isinstance(heard[0], Warned)


def test_language_without_spaces() -> None:
    train = ([0, 1] * 20, ["我的卡丢了怎么办", "包裹什么时候到"] * 20)
    found = run("label", train, ([0, 1], ["卡丢了", "包裹到了吗"]), ["card", "parcel"])
    assert compute(found["tfidf_logistic_regression"])["accuracy"] == 1.0
