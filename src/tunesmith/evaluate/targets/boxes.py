"""Boxes around the things in a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, cast

import numpy as np
from datasets import Dataset

from tunesmith.core.events import Emit
from tunesmith.core.measured import Measured
from tunesmith.data import looks
from tunesmith.engine.target import Target
from tunesmith.evaluate.boxes import MOST, Boxes, BoxMatches, overlaps

_PRIORS = 400
"""Training boxes of a label that are tried as a prior."""
_SAME = 0.5
"""Intersection over union from which on two boxes are about the same."""
_SURE, _LIKE = 0.1, 0.98
"""Least score of an answer that must be there again, and its overlap with itself."""


class BoxTarget(Target):
    """Predictions are `Boxes`, one a row: in shares of the picture, or in its pixels where they were read from a file.
    A target is {"width", "height", "boxes": [...]} in pixels, as `data.target_kinds.boxes` reads it."""

    said: ClassVar[str] = "boxes around things, each with a label"
    score: ClassVar[str] = "map"
    constant: ClassVar[str] = "box_prior"
    price: ClassVar[str | None] = None
    has_probabilities: ClassVar[bool] = False
    by_cheap: ClassVar[bool] = False
    one_answer: ClassVar[bool] = False
    has_thresholds: ClassVar[bool] = True

    def truth(self, values: Sequence[Mapping[str, Any]]) -> list[Boxes]:
        index = {name: at for at, name in enumerate(self.label_names or ())}
        found = []
        for row in values:
            used = [one for one in row["boxes"] if one["used"]]
            names, boxes = [index[one["label"]] for one in used], [one["box"] for one in used]
            size = (float(row["width"]), float(row["height"]))
            found.append(Boxes.of(names, boxes, None, [one["crowd"] for one in used], size))
        return found

    def decode(self, scores: np.ndarray, counts: np.ndarray | None) -> list[Boxes]:
        """`scores` [n, k, 6]: label (-1: none), score, and left, top, right and bottom as shares of the picture."""
        found = []
        for row in np.asarray(scores, dtype=np.float64):
            some = row[row[:, 0] >= 0]
            found.append(Boxes.of(some[:, 0], some[:, 2:], some[:, 1], None, (1.0, 1.0)))
        return found

    def measure(
        self, predictions: Sequence[Boxes], truth: Sequence[Boxes], thresholds: np.ndarray | None = None
    ) -> Measured:
        given = [one.scaled(of.size) for one, of in zip(predictions, truth, strict=True)]
        return BoxMatches(list(truth), given, list(self.label_names or ()), thresholds)

    def tune(self, validation: Measured) -> np.ndarray | None:
        """Of each label the score from which on boxes have the best F1."""
        matches = cast(BoxMatches, validation)
        return np.array([_best_cut(*matches.precision_recall(at)) for at in range(len(matches.label_names))])

    def difference(self, one: np.ndarray, other: np.ndarray) -> float:
        """Of what is sure enough to be an answer: the score by which one that has no like on the other side is sure, or
        by which the scores of two differ."""
        worst = 0.0
        for first, second in zip(self.decode(one, None), self.decode(other, None), strict=True):
            for mine, theirs in ((first, second), (second, first)):
                sure = mine.take(mine.scores >= _SURE)
                near = (overlaps(sure.boxes, theirs.boxes) > _LIKE) & (sure.labels[:, None] == theirs.labels)
                apart = np.where(near, np.abs(sure.scores[:, None] - theirs.scores), sure.scores[:, None])
                worst = max(worst, float(apart.min(1, initial=1.0).max(initial=0.0)))
        return worst

    def answers(
        self, predictions: Sequence[Boxes], thresholds: np.ndarray | None, threshold: float | None = None,
        rows: Dataset | None = None,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """{"objects": [{"label", "probability", "box"}]}, the surest first; a box is left, top, right and bottom in
        pixels of the picture as it is looked at (turned as its EXIF says)."""
        names = self.label_names or []
        tuned = np.full(len(names), 0.5) if thresholds is None else thresholds
        cuts = tuned if threshold is None else np.full(len(names), threshold)
        found = []
        for at, one in enumerate(predictions):
            size = None if rows is None else looks.look(rows[at]["image"]).size
            some = one.take(one.scores >= cuts[one.labels]).scaled(None if size is None else (size[0], size[1]))
            found.append({"objects": [
                {"label": names[label], "probability": round(float(score), 6), "box": [round(x, 2) for x in box]}
                for label, score, box in zip(some.labels, some.scores, some.boxes.tolist(), strict=True)
            ]})  # fmt: skip
        return found

    def from_columns(self, columns: Mapping[str, Any]) -> list[Boxes]:
        index = {name: at for at, name in enumerate(self.label_names or ())}
        return [
            Boxes.of([index[one["label"]] for one in row], [one["box"] for one in row], [one["score"] for one in row])
            for row in columns["predicted"]
        ]

    def baselines(
        self, rows: tuple[Dataset, Dataset], truths: tuple[Any, Any], cheap: str | None,
        features: Callable[[np.ndarray, Emit], tuple[Any, Any]], *, seed: int, emit: Emit,
    ) -> dict[str, Measured]:  # fmt: skip
        """The same boxes in every picture: where boxes of each label are most often."""
        prior = most_frequent(truths[0], len(self.label_names or ()), seed)
        return {self.constant: self.measure([prior] * len(truths[1]), truths[1])}


def most_frequent(truth: Sequence[Boxes], labels: int, seed: int) -> Boxes:
    """Boxes in shares, at most `MOST` of a label: training boxes, none about the same as another. The score of one is
    the share of pictures in which a box of its label overlaps it by half at least."""
    chance, found = np.random.default_rng(seed), list[Boxes]()
    for label in range(labels):
        of_label = [one.scaled((1.0, 1.0)).take(one.labels == label) for one in truth]
        every = np.concatenate([np.zeros((0, 4)), *(one.boxes for one in of_label)])
        picture = np.repeat(np.arange(len(truth)), [len(one) for one in of_label])
        tried = np.sort(chance.permutation(len(every))[:_PRIORS])
        near = overlaps(every[tried], every) >= _SAME
        scores = np.array([len(np.unique(picture[line])) for line in near]) / max(1, len(truth))
        kept: list[int] = []
        for at in np.argsort(-scores, kind="stable"):
            if len(kept) < MOST and not near[at][tried[kept]].any():
                kept.append(int(at))
        found.append(Boxes.of([label] * len(kept), every[tried[kept]], scores[kept]))
    parts = zip(*((one.labels, one.boxes, one.scores) for one in found), strict=True)
    labels_of, boxes, scores = (np.concatenate(part) for part in parts)
    return Boxes.of(labels_of, boxes, scores, size=(1.0, 1.0))


def _best_cut(recall: np.ndarray, precision: np.ndarray, scores: np.ndarray) -> float:
    """0.5 where no box is right."""
    sums = precision + recall
    f1 = np.divide(2 * precision * recall, sums, out=np.zeros(len(sums)), where=sums > 0)
    if not f1.any():
        return 0.5
    best = int(np.argmax(f1))
    lower = scores[best + 1] if best + 1 < len(scores) else scores[best]
    return float((scores[best] + lower) / 2)
