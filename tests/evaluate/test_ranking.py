"""Documents in order: metrics by hand, ties, blocks, queries that count once."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

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


def test_metrics_agree_with_an_independent_oracle() -> None:
    """NDCG as scikit-learn has it, average precision too; reciprocal rank and recall by sorting. Some queries have no
    relevant document, and count nothing."""
    chance = np.random.default_rng(3)
    queries, documents = 40, 150
    gains = chance.integers(0, 4, (queries, documents)) * (chance.random((queries, documents)) < 0.05)
    gains[7] = 0
    scores = chance.random((queries, documents))
    keys = 1000.0 + np.arange(documents)
    truth = np.array([[gains[query, at], query + 1, keys[at], 0] for query in range(queries)
                      for at in chance.permutation(documents)[:120]], dtype=float)  # fmt: skip
    known = np.zeros((queries, documents))
    known[truth[:, 1].astype(int) - 1, truth[:, 2].astype(int) - 1000] = truth[:, 0]
    asked = ranking.asked(truth, keys)
    found = ranking.ranked(asked, truth, keys, lambda part: scores[(truth[asked.first[part], 1] - 1).astype(int)])
    some = np.flatnonzero(known.any(1))
    assert found.queries == len(some) < queries
    order = np.take_along_axis(known[some] > 0, np.argsort(-scores[some], axis=1), axis=1)
    values = compute(found)
    assert values["ndcg@10"] == pytest.approx(ndcg_score(known[some], scores[some], k=10), abs=1e-12)
    assert values["mrr"] == pytest.approx(np.mean(1 / (1 + order.argmax(1))), abs=1e-12)
    for k in (1, 10, 100):
        assert values[f"recall@{k}"] == pytest.approx(np.mean(order[:, :k].sum(1) / order.sum(1)), abs=1e-12)
    deep = order[:, :100] * np.cumsum(order, axis=1)[:, :100] / np.arange(1, 101)
    assert values["map@100"] == pytest.approx(np.mean(deep.sum(1) / order.sum(1)), abs=1e-12)
    low, high = (with_intervals(found)["ndcg@10"][end] for end in ("low", "high"))
    spread = np.std([ndcg_score(known[[at]], scores[[at]], k=10) for at in some]) / np.sqrt(len(some))
    assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.15)  # queries are drawn anew, not rows


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
