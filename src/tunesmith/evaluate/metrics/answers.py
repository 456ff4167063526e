"""Metrics of answers that stand in a context: means over questions. `exact_match` has its line beside that of texts,
`f1` beside that of spans."""

from __future__ import annotations

from tunesmith.evaluate.metrics.metric import SHARE, Metric
from tunesmith.evaluate.metrics.texts import ratio

ANSWERS = ("answers",)

TABLE: dict[str, Metric] = {
    "f1_has_answer": Metric(ratio, True, ANSWERS, SHARE, title="F1 where there is an answer"),
    "no_answer_accuracy": Metric(ratio, True, ANSWERS, SHARE, title="accuracy where there is no answer"),
}
