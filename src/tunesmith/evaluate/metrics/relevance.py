"""Metrics of documents that are ordered for queries: functions of the sums of row statistics, a value and 1 a query."""

from __future__ import annotations

import numpy as np

from tunesmith.evaluate.metrics.metric import SHARE, Metric


def _mean(sums: np.ndarray) -> np.ndarray:
    return np.divide(sums[:, 0], sums[:, 1], out=np.full(len(sums), np.nan), where=sums[:, 1] > 0)


RELEVANCE = ("relevance",)

TABLE: dict[str, Metric] = {
    "ndcg@10": Metric(_mean, True, RELEVANCE, SHARE, title="NDCG@10", hub="ndcg_at_10"),
    "mrr": Metric(_mean, True, RELEVANCE, SHARE, title="MRR", hub="mrr"),
    "map@100": Metric(_mean, True, RELEVANCE, SHARE, title="MAP@100", hub="map_at_100"),
    "recall@1": Metric(_mean, True, RELEVANCE, SHARE, title="recall@1", hub="recall_at_1"),
    "recall@10": Metric(_mean, True, RELEVANCE, SHARE, title="recall@10", hub="recall_at_10"),
    "recall@100": Metric(_mean, True, RELEVANCE, SHARE, title="recall@100", hub="recall_at_100"),
}
