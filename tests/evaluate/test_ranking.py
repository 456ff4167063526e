"""Documents in order: metrics by hand, ties, blocks, queries that count once."""

from __future__ import annotations

import numpy as np
import pytest

from tunesmith.evaluate import ranking
from tunesmith.evaluate.bm25 import BM25
from tunesmith.evaluate.measured import compute, paired_difference, with_intervals

TRUTH = np.array([[1, 1, 11, 0], [1, 1, 12, 0], [0, 1, 13, 0], [2, 2, 13, 0]], dtype=float)
"""Two queries: one with two relevant documents of three, one with a document of grade 2."""
KEYS = np.array([11.0, 12.0, 13.0, 14.0])
SCORES = np.array([[0.1, 0.9, 0.5, 0.5], [0.2, 0.3, 0.4, 0.6]])


def _measured(scores: np.ndarray) -> ranking.Ranked:
    asked = ranking.asked(TRUTH, KEYS)
    return ranking.ranked(asked, TRUTH, KEYS, lambda part: scores[part])


def test_metrics_are_those_of_a_list_by_hand() -> None:
    found = _measured(SCORES)
    assert found.queries == 2
    assert found.ranks.tolist() == [4, 1, 0, 2]
    values = compute(found)
    gain = lambda rank: 1 / np.log2(rank + 1)  # noqa: E731
    first = (gain(1) + gain(4)) / (gain(1) + gain(2))
    assert values["ndcg@10"] == pytest.approx((first + gain(2)) / 2)
    assert values["mrr"] == pytest.approx((1 + 1 / 2) / 2)
    assert values["map@100"] == pytest.approx(((1 + 2 / 4) / 2 + 1 / 2) / 2)
    assert values["recall@1"] == pytest.approx((1 / 2 + 0) / 2)
    assert values["recall@100"] == 1


def test_blocks_make_no_difference_and_resamples_are_of_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _measured(SCORES)
    monkeypatch.setattr(ranking, "_BLOCK", 1)
    assert compute(_measured(SCORES)) == compute(whole)
    assert with_intervals(whole)["mrr"]["low"] <= whole.values(["mrr"])["mrr"][0]
    assert paired_difference(whole, _measured(SCORES[:, ::-1]), "mrr")["difference"] > 0


def test_bm25_finds_rare_words_first() -> None:
    index = BM25(["the cat sat", "the dog sat", "the dog and the other dog", "a bird"])
    assert index.best(["the dog"], 4).tolist()[0][:2] == [2, 1]
    assert index.best(["zebra"], 2).tolist() == [[-1, -1]]
    # Lucene's form, by hand: one occurrence of a word that is in 1 of 4 documents, of length 2 (mean 3.5)
    idf = np.log1p((4 - 1 + 0.5) / (1 + 0.5))
    assert index.scores(["bird"])[0, 3] == pytest.approx(idf / (1 + 1.5 * (0.25 + 0.75 * 2 / 3.5)), rel=1e-5)
    assert index.pairs(["bird", "the dog"], np.array([3, 1]))[0] == pytest.approx(index.scores(["bird"])[0, 3])
    assert BM25(["...", "!"]).best(["a"], 1).tolist() == [[-1]]
