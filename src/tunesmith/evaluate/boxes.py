"""Boxes beside the true ones, as COCO counts them: which match, once, and average precision under any weights.

A box that was given is right where it overlaps a true one of its label, which no surer box has taken, by a least
intersection over union. What is matched with what does not depend on how often a picture is drawn, so the matches are
found once, and a bootstrap only adds up. Source of every rule: Lin et al. (2014), "Microsoft COCO: Common Objects in
Context", and its evaluation code, to which a test holds this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from tunesmith.core.measured import LabelRow
from tunesmith.evaluate.bootstrap import interval, weightings
from tunesmith.evaluate.metrics import TABLE, names_for

OVERLAPS = np.linspace(0.5, 0.95, 10)
"""Least intersections over union."""
RECALLS = np.linspace(0.0, 1.0, 101)
"""Where the precision is read off."""
AREAS: dict[str, tuple[float, float]] = {
    "all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10),
}  # fmt: skip
"""Square pixels of the true boxes that count, both ends included."""
MOST = 100
"""Boxes that are counted of a picture and a label: the surest."""
_RESAMPLES = 200
"""Of pictures, for the intervals of each label."""
_AT_ONCE = 2_000_000
"""Boxes times resamples in memory."""
_TINY = float(np.spacing(1))


@dataclass(frozen=True)
class Boxes:
    """The boxes of one picture. labels int64 [n]; boxes float64 [n, 4], left, top, right and bottom in its pixels;
    scores float64 [n] of boxes that were given; crowd bool [n]: true boxes around many things, which whatever
    lies within them neither finds nor misses."""

    labels: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    crowd: np.ndarray
    size: tuple[float, float] | None = None
    """Width and height of the picture in what the boxes are measured in: pixels, or (1, 1) where they are shares."""

    @classmethod
    def of(
        cls, labels: Any, boxes: Any, scores: Any = None, crowd: Any = None, size: tuple[float, float] | None = None
    ) -> Boxes:
        names = np.asarray(labels, dtype=np.int64).reshape(-1)
        count = len(names)
        return cls(
            names, np.asarray(boxes, dtype=np.float64).reshape(count, 4),
            np.ones(count) if scores is None else np.asarray(scores, dtype=np.float64).reshape(count),
            np.zeros(count, dtype=bool) if crowd is None else np.asarray(crowd, dtype=bool).reshape(count), size,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: np.ndarray) -> Boxes:
        return Boxes(self.labels[chosen], self.boxes[chosen], self.scores[chosen], self.crowd[chosen], self.size)

    def scaled(self, size: tuple[float, float] | None) -> Boxes:
        """In a picture of another size; as they are where either is not known."""
        if size is None or self.size is None or size == self.size:
            return self
        factors = np.array([size[0] / self.size[0], size[1] / self.size[1]] * 2)
        return replace(self, boxes=self.boxes * factors, size=size)


def areas(boxes: np.ndarray) -> np.ndarray:
    """Square pixels of boxes [n, 4], float64 [n]."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def overlaps(given: np.ndarray, truth: np.ndarray, crowd: np.ndarray | None = None) -> np.ndarray:
    """Intersection over union of boxes [n, 4] with [m, 4], float64 [n, m]; with a crowd, over the given one alone."""
    low = np.maximum(given[:, None, :2], truth[None, :, :2])
    high = np.minimum(given[:, None, 2:], truth[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    union = areas(given)[:, None] + areas(truth)[None] - shared
    if crowd is not None:
        union = np.where(crowd[None], areas(given)[:, None], union)
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


class _Ranked(NamedTuple):
    """Boxes given of one label and the true ones of one range of areas, the surest first.

    rows int64 [d]: of which picture; right, void bool [overlaps, d]: it found a true box, it does not count; wanted
    float64 [pictures]; scores float64 [d].
    """

    rows: np.ndarray
    right: np.ndarray
    void: np.ndarray
    wanted: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True, eq=False)
class BoxMatches:
    """See `core.measured.Measured`. `thresholds` float64 [labels]: the score from which on a box is an answer."""

    truth: list[Boxes]
    given: list[Boxes]
    label_names: list[str]
    thresholds: np.ndarray | None = None
    kind: str = "boxes"

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def size(self) -> int:
        return len(OVERLAPS) * max(sum(map(len, self.given)), 1)

    def names(self) -> list[str]:
        """Of sizes that no true box has nothing is told."""
        found = np.concatenate([areas(one.boxes[~one.crowd]) for one in self.truth]) if self.truth else np.zeros(0)
        absent = {f"map_{name}" for name, (low, high) in AREAS.items() if not ((found >= low) & (found <= high)).any()}
        return [name for name in names_for(self.kind) if name not in absent]

    def values(self, names: Sequence[str], weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
        sample = BoxSample(self, np.ones((len(self), 1)) if weights is None else weights)
        return {name: TABLE[name].function(sample) for name in names}

    def take(self, rows: np.ndarray) -> BoxMatches:
        chosen = np.arange(len(self))[rows]
        truth, given = ([side[int(at)] for at in chosen] for side in (self.truth, self.given))
        return BoxMatches(truth, given, self.label_names, self.thresholds)

    def same_rows(self, other: object) -> bool:
        return isinstance(other, BoxMatches) and len(self) == len(other) and all(
            np.array_equal(ours.labels, theirs.labels) and np.allclose(ours.boxes, theirs.boxes)
            for ours, theirs in zip(self.truth, other.truth, strict=True)
        )  # fmt: skip

    def arrays(self) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        for side, pictures in (("true_boxes", self.truth), ("given_boxes", self.given)):
            rows = np.repeat(np.arange(len(pictures)), [len(one) for one in pictures])
            parts = [np.column_stack([one.labels, one.boxes, one.scores, one.crowd]) for one in pictures]
            found[side] = np.column_stack([rows, np.concatenate([np.zeros((0, 7)), *parts])])
        cuts = {} if self.thresholds is None else {"thresholds": self.thresholds}
        return {**found, **cuts, "pictures": np.array(len(self))}

    def columns(self) -> dict[str, list[Any]]:
        """Of each picture the boxes that were given, whatever their score."""
        return {"predicted": [
            [{"label": self.label_names[label], "score": float(score), "box": box.tolist()}
             for label, score, box in zip(one.labels, one.scores, one.boxes, strict=True)]
            for one in self.given
        ]}  # fmt: skip

    def answers(self, row: int) -> Boxes:
        """The boxes of a picture that are sure enough to be answers."""
        one = self.given[row]
        return one.take(one.scores >= self.cuts()[one.labels])

    def counted(self) -> tuple[list[str], list[str]]:
        """For each picture how many boxes of which label are answers, and are true: '12 cup, 1 fork'."""

        def told(one: Boxes) -> str:
            counts = np.bincount(one.labels, minlength=len(self.label_names))
            some = zip(counts.tolist(), self.label_names, strict=True)
            return ", ".join(f"{many} {name}" for many, name in some if many) or "nothing"

        return [told(self.answers(row)) for row in range(len(self))], [told(one) for one in self.truth]

    def cuts(self) -> np.ndarray:
        """Of each label the score from which on a box is an answer, float64 [labels]."""
        return np.full(len(self.label_names), 0.5) if self.thresholds is None else self.thresholds

    def per_class(self) -> list[LabelRow]:
        """Of boxes that overlap by half at least; with average precisions of the label alone."""
        return self._labels

    @cached_property
    def _labels(self) -> list[LabelRow]:
        sample = BoxSample(self, np.ones((len(self), 1)))
        found: list[LabelRow] = []
        for label, name in enumerate(self.label_names):
            ranked = self.ranked(label, "all")
            answers = (ranked.scores >= self.cuts()[label]) & ~ranked.void[0]
            right, given, wanted = int((ranked.right[0] & answers).sum()), int(answers.sum()), int(ranked.wanted.sum())
            one: LabelRow = {
                "label": name, "precision": right / given if given else 0.0,
                "recall": right / wanted if wanted else 0.0,
                "f1": 2 * right / (given + wanted) if given + wanted else 0.0,
                "support": wanted, "predicted": given, "threshold": float(self.cuts()[label]),
                "ap": _or_zero(sample.of_label(label, OVERLAPS, "all")),
                "ap50": _or_zero(sample.of_label(label, OVERLAPS[:1], "all")),
            }  # fmt: skip
            if wanted:
                one["ap_low"], one["ap_high"] = self._spread(label, one["ap"])
            found.append(one)
        return found

    def _spread(self, label: int, value: float) -> tuple[float, float]:
        """The interval of a label's average precision over pictures."""
        step = max(1, _AT_ONCE // max(1, len(self.ranked(label, "all").rows)))
        drawn = [
            BoxSample(self, weights[:, start : start + step]).of_label(label, OVERLAPS, "all")
            for weights in weightings(len(self), _RESAMPLES, 0)
            for start in range(0, weights.shape[1], step)
        ]
        return interval(value, np.concatenate(drawn), 0.95, rows=len(self), limits=(0.0, 1.0))

    def ranked(self, label: int, area: str) -> _Ranked:
        """What was given of a label, the surest first."""
        if (label, area) not in self._ranked:
            parts: dict[int, _Ranked] = {}
            for row, (truth, given, shared) in self._pairs[label].items():
                parts[row] = _match(given, truth, shared, AREAS[area])
            self._ranked[label, area] = _together(parts, len(self))
        return self._ranked[label, area]

    @cached_property
    def _ranked(self) -> dict[tuple[int, str], _Ranked]:
        return {}

    @cached_property
    def _pairs(self) -> list[dict[int, tuple[Boxes, Boxes, np.ndarray]]]:
        """Of each label, by the number of the picture: the true boxes, those given, and how they overlap."""
        found: list[dict[int, tuple[Boxes, Boxes, np.ndarray]]] = [{} for _ in self.label_names]
        for row, (truth, given) in enumerate(zip(self.truth, self.given, strict=True)):
            for label in np.union1d(truth.labels, given.labels).tolist():
                wanted, some = truth.take(truth.labels == label), given.take(given.labels == label)
                some = some.take(np.argsort(-some.scores, kind="stable")[:MOST])
                found[label][row] = (wanted, some, overlaps(some.boxes, wanted.boxes, wanted.crowd))
        return found

    def precision_recall(self, label: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Recall, precision and score, float64 [d] each, of boxes that overlap by half at least, the surest first."""
        ranked = self.ranked(label, "all")
        counted = ~ranked.void[0]
        right, score = ranked.right[0][counted], ranked.scores[counted]
        hits, given = np.cumsum(right), np.arange(1, len(right) + 1)
        return hits / max(ranked.wanted.sum(), 1), hits / given, score


@dataclass(frozen=True)
class BoxSample:
    """Matches under r weightings of the pictures, float64 [pictures, r]: what metrics of boxes are given."""

    matches: BoxMatches
    weights: np.ndarray

    def mean(self, least: np.ndarray, area: str) -> np.ndarray:
        """Mean average precision over labels and the overlaps `least`, float64 [r]; NaN where there is no true box."""
        names = range(len(self.matches.label_names))
        each = np.stack([self.of_label(label, least, area) for label in names])
        known = np.isfinite(each)
        counted = known.sum(0)
        sums = np.where(known, each, 0.0).sum(0)
        return np.divide(sums, counted, out=np.full(len(sums), np.nan), where=counted > 0)

    def of_label(self, label: int, least: np.ndarray, area: str) -> np.ndarray:
        """Average precision of one label, the mean over the overlaps `least`, float64 [r]."""
        ranked = self.matches.ranked(label, area)
        wanted = ranked.wanted @ self.weights
        drawn = self.weights[ranked.rows]
        chosen = [int(np.flatnonzero(np.isclose(OVERLAPS, one))[0]) for one in least]
        found = np.zeros((len(chosen), self.weights.shape[1]))
        for place, overlap in enumerate(chosen):
            counted = ~ranked.void[overlap]
            found[place] = _average_precision(ranked.right[overlap][counted], drawn[counted], wanted)
        return np.where(wanted > 0, found.mean(0), np.nan)


def _average_precision(right: np.ndarray, drawn: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Over 101 recalls, float64 [r], of boxes given, the surest first: `right` bool [d], `drawn` [d, r] how often."""
    result = np.zeros(drawn.shape[1])
    if not right.any():
        return result
    hits = np.cumsum(drawn * right[:, None], axis=0)
    precision = hits / (np.cumsum(drawn, axis=0) + _TINY)
    precision = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    for column, (reached, best, many) in enumerate(zip(hits.T, precision.T, wanted, strict=True)):
        if many > 0:
            at = np.searchsorted(reached / many, RECALLS, side="left")
            result[column] = best[at[at < len(best)]].sum() / len(RECALLS)
    return result


def _match(given: Boxes, truth: Boxes, shared: np.ndarray, limits: tuple[float, float]) -> _Ranked:
    """The boxes of one picture and label: each given one, the surest first, takes the free true one that it overlaps
    most; true ones that do not count only where there is no other."""
    size = areas(truth.boxes)
    idle = truth.crowd | (size < limits[0]) | (size > limits[1])
    right = np.zeros((len(OVERLAPS), len(given)), dtype=bool)
    void = np.zeros_like(right)
    taken = np.zeros((len(OVERLAPS), len(truth)), dtype=bool)
    least, each = np.minimum(OVERLAPS, 1 - 1e-10)[:, None], np.arange(len(OVERLAPS))
    for number in np.flatnonzero((shared >= OVERLAPS[0]).any(1)) if len(truth) else ():
        near = (shared[number] >= least) & (~taken | truth.crowd)
        counted = near & ~idle
        near = np.where(counted.any(1, keepdims=True), counted, near)
        # of equals the last, as COCO's own loop has it
        best = len(truth) - 1 - np.where(near, shared[number], -1.0)[:, ::-1].argmax(1)
        found = near[each, best]
        taken[each[found], best[found]] = True
        right[:, number], void[:, number] = found & ~idle[best], found & idle[best]
    of = areas(given.boxes)
    void |= ~right & ((of < limits[0]) | (of > limits[1]))
    return _Ranked(
        np.zeros(len(given), dtype=np.int64), right, void, np.array([(~idle).sum()], np.float64), given.scores
    )


def _together(parts: Mapping[int, _Ranked], pictures: int) -> _Ranked:
    """The parts of pictures, by their number, as one."""
    none = np.zeros((len(OVERLAPS), 0), dtype=bool)
    every = [*parts.values(), _Ranked(np.zeros(0, dtype=np.int64), none, none, np.zeros(1), np.zeros(0))]
    wanted = np.zeros(pictures)
    for row, part in parts.items():
        wanted[row] = part.wanted[0]
    rows = np.concatenate([part.rows + row for row, part in parts.items()] or [np.zeros(0, dtype=np.int64)])
    scores = np.concatenate([part.scores for part in every])
    order = np.argsort(-scores, kind="stable")
    right = np.concatenate([part.right for part in every], axis=1)[:, order]
    void = np.concatenate([part.void for part in every], axis=1)[:, order]
    return _Ranked(rows[order], right, void, wanted, scores[order])


def _or_zero(value: np.ndarray) -> float:
    return float(np.nan_to_num(value[0]))


def from_arrays(arrays: Mapping[str, np.ndarray], label_names: list[str] | None) -> BoxMatches:
    """The inverse of `BoxMatches.arrays`."""

    def pictures(table: np.ndarray) -> list[Boxes]:
        found = [table[table[:, 0] == row] for row in range(int(arrays["pictures"]))]
        return [Boxes.of(one[:, 1], one[:, 2:6], one[:, 6], one[:, 7]) for one in found]

    truth, given = (pictures(arrays[name]) for name in ("true_boxes", "given_boxes"))
    return BoxMatches(truth, given, list(label_names or ()), arrays.get("thresholds"))
