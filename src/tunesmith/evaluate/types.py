"""`Outcome`: what a model said about some rows, beside the truth. It does not know which model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypedDict

import numpy as np

from tunesmith.core.measured import LabelRow
from tunesmith.evaluate.metrics import TABLE, names_for
from tunesmith.evaluate.sample import Sample, View


class Interval(TypedDict):
    """A metric on one set of rows, with the bounds of its bootstrap interval."""

    value: float
    low: float
    high: float


Severity = Literal["info", "warning", "problem"]


class Finding(TypedDict):
    """One thing the evaluation proved: the evidence for it and what to do next."""

    name: str
    severity: Severity
    evidence: str
    action: str


def finding(name: str, severity: Severity, evidence: str, action: str) -> list[Finding]:
    """One, as rules give them: in a list that may have none."""
    return [{"name": name, "severity": severity, "evidence": evidence, "action": action}]


_TRUTH: dict[str, Any] = {"label": np.int64, "labels": np.int8, "number": np.float64}


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a model said about some rows: `Measured` by metrics of predictions that are right or wrong.

    kind "label":  truth int64 [n] class index;  scores float [n, k] probabilities, rows sum to 1
    kind "labels": truth int8 [n, k] of 0/1;     scores float [n, k] probabilities in [0, 1]
    kind "number": truth float64 [n];            scores float [n] predicted values

    `thresholds` float [k] decide "labels" (a label is given when its score reaches the threshold);
    None means 0.5. Arrays are converted to these types; shapes that do not fit raise ValueError.
    """

    kind: str
    truth: np.ndarray
    scores: np.ndarray
    label_names: list[str] | None
    thresholds: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.kind not in _TRUTH:
            raise ValueError(f"kind is {self.kind!r}; expected one of {', '.join(_TRUTH)}")
        # float32 probabilities lose enough digits to move a log loss; the arrays are small
        scores = np.asarray(self.scores, dtype=np.float64)
        truth = np.asarray(self.truth, dtype=_TRUTH[self.kind])
        object.__setattr__(self, "truth", truth)
        object.__setattr__(self, "scores", scores)
        if self.thresholds is not None:
            object.__setattr__(self, "thresholds", np.asarray(self.thresholds, dtype=np.float64))
        self._check_shapes()
        if self.kind != "number":
            self._check_probabilities()

    def _check_probabilities(self) -> None:
        """Refuse logits; bring rows of "label" to a sum of exactly 1, which half precision misses."""
        if self.scores.size and not 0 <= self.scores.min() <= self.scores.max() <= 1.01:
            ends = f"{self.scores.min():.3g} and {self.scores.max():.3g}"
            raise ValueError(f"scores lie between {ends}; expected probabilities")
        if self.kind == "label" and len(self):
            sums = self.scores.sum(axis=1, keepdims=True)
            furthest = float(sums[np.abs(sums - 1).argmax(), 0])
            if abs(furthest - 1) > 0.05:
                raise ValueError(f"the scores of a row sum to {furthest:.3g}; expected 1")
            object.__setattr__(self, "scores", self.scores / sums)

    def _check_shapes(self) -> None:
        dimensions = {"label": (1, 2), "labels": (2, 2), "number": (1, 1)}[self.kind]
        if (self.truth.ndim, self.scores.ndim) != dimensions or len(self.truth) != len(self.scores):
            raise ValueError(f"truth {self.truth.shape} and scores {self.scores.shape} do not fit kind {self.kind!r}")
        if self.kind == "labels" and self.truth.shape != self.scores.shape:
            raise ValueError(f"truth {self.truth.shape} and scores {self.scores.shape} differ in shape")
        if not np.isfinite(self.scores).all():
            bad = np.flatnonzero(~np.isfinite(self.scores.reshape(len(self.scores), -1)).all(axis=1))
            raise ValueError(f"scores are not finite in {len(bad)} rows, the first is row {bad[0]}")
        if self.kind == "number":
            return
        labels = self.scores.shape[1]
        if self.label_names is not None and len(self.label_names) != labels:
            raise ValueError(f"{len(self.label_names)} label names for {labels} scores")
        if self.kind == "label" and ((self.truth < 0) | (self.truth >= labels)).any():
            raise ValueError(f"truth holds a class outside 0..{labels - 1}")

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def labels(self) -> list[str]:
        """Label names, made up as "0", "1", ... where none were given; empty for numbers."""
        if self.kind == "number":
            return []
        return list(self.label_names or map(str, range(self.scores.shape[1])))

    def predicted(self) -> np.ndarray:
        """Class index int64 [n], 0/1 matrix int8 [n, k], or value float64 [n]."""
        if self.kind == "label":
            return self.scores.argmax(axis=1)
        if self.kind == "labels":
            return (self.scores >= (0.5 if self.thresholds is None else self.thresholds)).astype(np.int8)
        return self.scores

    def named(self, values: np.ndarray) -> list[Any]:
        """Truth or predictions [n] in the words of the data: a label, a list of labels, or a number each."""
        if self.kind == "label":
            return [self.labels[index] for index in values]
        if self.kind == "labels":
            return [[name for name, on in zip(self.labels, row, strict=True) if on] for row in values]
        return [float(value) for value in values]

    def take(self, rows: np.ndarray) -> Outcome:
        """The same for some rows only: indices or a boolean mask [n]."""
        return Outcome(self.kind, self.truth[rows], self.scores[rows], self.label_names, self.thresholds)

    def arrays(self) -> dict[str, np.ndarray]:
        cuts = {} if self.thresholds is None else {"thresholds": self.thresholds}
        return {"truth": self.truth, "scores": self.scores, **cuts}

    def columns(self) -> dict[str, list[Any]]:
        """What a table of predictions holds of each row."""
        return {"predicted": self.named(self.predicted()), "scores": list(np.atleast_2d(self.scores.T).T)}

    def per_class(self) -> list[LabelRow]:
        if self.kind == "number":
            return []
        sample = Sample(self.view(), np.ones((len(self), 1)))
        rows: list[LabelRow] = []
        columns = (sample.hits, sample.given, sample.support)
        for index, name in enumerate(self.labels):
            hits, given, support = (float(column[index, 0]) for column in columns)
            row: LabelRow = {
                "label": name,
                "precision": hits / given if given else 0.0,
                "recall": hits / support if support else 0.0,
                "f1": 2 * hits / (given + support) if given + support else 0.0,
                "support": int(support),
                "predicted": int(given),
            }
            if self.kind == "labels":
                row["threshold"] = 0.5 if self.thresholds is None else float(self.thresholds[index])
            rows.append(row)
        return rows

    # Measured

    @property
    def size(self) -> int:
        return self.scores.size

    def names(self) -> list[str]:
        """Of metrics."""
        return names_for(self.kind)

    def values(self, names: Sequence[str], weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
        sample = Sample(self.view(), np.ones((len(self), 1)) if weights is None else weights)
        return {name: TABLE[name].function(sample) for name in names}

    def same_rows(self, other: object) -> bool:
        return isinstance(other, Outcome) and self.kind == other.kind and np.array_equal(self.truth, other.truth)

    def view(self) -> View:
        """What metrics are made of, row by row."""
        return _view(self)


@lru_cache(maxsize=1)  # all metrics and resamples of one outcome come together; of millions of rows it is large
def _view(outcome: Outcome) -> View:
    return View(outcome.kind, outcome.truth, outcome.scores, outcome.predicted(), outcome.labels)
