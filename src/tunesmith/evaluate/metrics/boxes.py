"""Metrics of boxes: functions of `evaluate.boxes.BoxSample`, named as COCO's are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tunesmith.evaluate.metrics.metric import SHARE, Metric

BOXES = ("boxes",)
_ALL = np.linspace(0.5, 0.95, 10)


def _mean(least: np.ndarray, area: str = "all") -> Callable[[Any], np.ndarray]:
    return lambda sample: sample.mean(least, area)


def _metric(function: Callable[[Any], np.ndarray], title: str) -> Metric:
    return Metric(function, True, BOXES, SHARE, title=title, costly=True)


TABLE: dict[str, Metric] = {
    "map": _metric(_mean(_ALL), "mAP 50:95"),
    "map50": _metric(_mean(_ALL[:1]), "mAP 50"),
    "map75": _metric(_mean(_ALL[5:6]), "mAP 75"),
    "map_small": _metric(_mean(_ALL, "small"), "mAP 50:95, small boxes"),
    "map_medium": _metric(_mean(_ALL, "medium"), "mAP 50:95, medium boxes"),
    "map_large": _metric(_mean(_ALL, "large"), "mAP 50:95, large boxes"),
}
