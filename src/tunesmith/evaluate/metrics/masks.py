"""Metrics of masks. Statistics of a picture: for each class the pixels that are rightly given it, those that are given
it, and those that have it; or pixels that are right, and all that count."""

from __future__ import annotations

import numpy as np

from tunesmith.evaluate.metrics.metric import SHARE, Metric

MASK = ("mask",)


def parts(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Right, given and wanted pixels [r, classes] of sums [r, 3 x classes]."""
    right, given, wanted = (sums[:, start::3] for start in range(3))
    return right, given, wanted


def ious(sums: np.ndarray) -> np.ndarray:
    """Intersection over union of each class [r, classes]; NaN where no pixel has it or is given it."""
    right, given, wanted = parts(sums)
    return _divided(right, given + wanted - right)


def dices(sums: np.ndarray) -> np.ndarray:
    """Dice, which is F1 of pixels, of each class [r, classes]; NaN as above."""
    right, given, wanted = parts(sums)
    return _divided(2 * right, given + wanted)


def _divided(over: np.ndarray, under: np.ndarray) -> np.ndarray:
    return np.divide(over, under, out=np.full(over.shape, np.nan), where=under > 0)


def _mean(each: np.ndarray) -> np.ndarray:
    """Over the classes that occur; NaN where none does."""
    known = np.isfinite(each)
    count = known.sum(axis=1)
    return np.divide(np.where(known, each, 0.0).sum(axis=1), count, out=np.full(len(each), np.nan), where=count > 0)


def _class_accuracy(sums: np.ndarray) -> np.ndarray:
    right, _, wanted = parts(sums)
    return _mean(_divided(right, wanted))


TABLE: dict[str, Metric] = {
    "miou": Metric(lambda sums: _mean(ious(sums)), True, MASK, SHARE, title="mean IoU", hub="mean_iou"),
    "dice": Metric(lambda sums: _mean(dices(sums)), True, MASK, SHARE, title="mean Dice"),
    "pixel_accuracy": Metric(
        lambda sums: _divided(sums[:, 0], sums[:, 1]), True, MASK, SHARE, title="accuracy of pixels"
    ),
    "class_accuracy": Metric(_class_accuracy, True, MASK, SHARE, title="accuracy of pixels, mean of classes"),
}
