"""Metrics of written answers: functions of the sums of row statistics, which `text_metrics` counts.

Exact match, token F1, ROUGE and rates lie in 0..1; BLEU and chrF in 0..100, as sacrebleu prints them.
"""

from __future__ import annotations

import numpy as np

from tunesmith.evaluate.metrics.metric import ERROR, PERCENT, SHARE, Metric

CHRF_ORDER, CHRF_BETA = 6, 2
_BLEU_ORDER = 4


def ratio(sums: np.ndarray) -> np.ndarray:
    """Statistics (over, under)."""
    over, under = sums[:, 0], sums[:, 1]
    return np.divide(over, under, out=np.full(len(sums), np.nan), where=under > 0)


def _bleu(sums: np.ndarray) -> np.ndarray:
    """BLEU (Papineni et al. 2002), exponential smoothing as in mteval-v13a; sacrebleu's numbers.

    Statistics: length, closest reference length, right n-grams for n = 1..4, n-grams for n = 1..4.
    """
    length, wanted = sums[:, 0], sums[:, 1]
    right, total = sums[:, 2 : 2 + _BLEU_ORDER], sums[:, 2 + _BLEU_ORDER :]
    # each order without a hit halves the precision that it is given once more
    halved = 2.0 ** np.cumsum((right == 0) & (total > 0), axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(right > 0, right, 1 / halved) / total
        score = np.exp(np.log(precision).mean(axis=1) + np.minimum(0, 1 - wanted / length))
    return np.where((right.sum(axis=1) > 0) & (total > 0).all(axis=1), 100 * score, 0.0)


def chrf(sums: np.ndarray) -> np.ndarray:
    """chrF2 (Popović 2015): F of the mean precision and recall of character 1- to 6-grams.

    Statistics: n-grams given, n-grams wanted and n-grams right, for each n.
    """
    given, wanted, right = (sums[:, start::3] for start in range(3))
    counted = (given > 0) & (wanted > 0)
    orders = np.maximum(counted.sum(axis=1), 1)
    precision, recall = (
        np.divide(right, under, out=np.zeros_like(right), where=counted).sum(axis=1) / orders
        for under in (given, wanted)
    )
    factor = CHRF_BETA**2
    over, under = (1 + factor) * precision * recall, factor * precision + recall
    return 100 * np.divide(over, under, out=np.zeros_like(over), where=under > 0)


TEXT = ("text",)

TABLE: dict[str, Metric] = {
    "exact_match": Metric(ratio, True, ("text", "answers"), SHARE, title="exact match", hub="exact_match"),
    "token_f1": Metric(ratio, True, TEXT, SHARE, title="token F1"),
    "rouge1": Metric(ratio, True, TEXT, SHARE, title="ROUGE-1"),
    "rouge2": Metric(ratio, True, TEXT, SHARE, title="ROUGE-2"),
    "rougeL": Metric(ratio, True, TEXT, SHARE, title="ROUGE-L"),
    "bleu": Metric(_bleu, True, TEXT, PERCENT, title="BLEU"),
    "chrf": Metric(chrf, True, TEXT, PERCENT, title="chrF"),
    "length_ratio": Metric(ratio, None, TEXT, ERROR, title="length ratio"),
    "stop_rate": Metric(ratio, True, TEXT, SHARE, title="stop rate"),
}
