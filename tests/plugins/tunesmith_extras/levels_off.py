"""How many levels an answer is off: labels are taken as a ladder, in the order of the alphabet."""

from __future__ import annotations

import numpy as np

from tunesmith.evaluate.metrics.metric import ERROR, Metric
from tunesmith.evaluate.sample import Sample


def levels_off(sample: Sample) -> np.ndarray:
    return sample.mean(np.abs(sample.view.predicted - sample.view.truth))


METRIC = Metric(levels_off, higher_is_better=False, kinds=("label",), range=ERROR)
