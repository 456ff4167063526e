"""Rows whose label is suspected to be wrong: confident learning on out-of-fold probabilities.

Which rows: Northcutt, Jiang & Chuang (2021), "Confident learning", sections 3.1 (thresholds and the
confident joint) and 3.2 (ranking by normalised margin). Whether to speak at all: a hard task has many rows
that a linear model gets wrong, but ever fewer of them the surer it is; wrong labels do not grow fewer.
That floor is the lapse rate of a psychometric function (Wichmann & Hill 2001).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tunesmith.evaluate.linear import Blocks, Frozen, one_hot

FEWEST_ROWS = 200
"""Fewer training rows than this tell wrong labels from hard rows too badly."""

FEWEST_PER_LABEL = 8
"""Nor where the labels have fewer rows than this on average."""

_BINS = 100


@dataclass(frozen=True)
class Noise:
    """rows int64 [s]: suspected rows (positions into the probed rows), the most suspect first;
    suggested int64 [s]; probabilities float64 [s, 2]: of the label that stands there and of the suggested
    one. share: estimated share of wrong labels; low: its lower bound (one-sided 95 %)."""

    rows: np.ndarray
    suggested: np.ndarray
    probabilities: np.ndarray
    share: float
    low: float


def suspects(scores: np.ndarray, truth: np.ndarray) -> Noise:
    """From out-of-fold scores of a linear model, float [n, k], and the labels that stand there, int64 [n]."""
    probabilities = _calibrated(scores, truth)
    given = probabilities[np.arange(len(truth)), truth]
    seen = np.bincount(truth, minlength=scores.shape[1])
    mean = np.bincount(truth, given, minlength=scores.shape[1]) / np.maximum(seen, 1)
    threshold = np.where(seen > 0, mean, np.inf)
    confident = np.where(probabilities >= threshold, probabilities, -1.0)
    suggested = confident.argmax(axis=1)
    found = np.flatnonzero((confident.max(axis=1) > 0) & (suggested != truth))
    best = probabilities[found, suggested[found]]
    order = np.argsort(given[found] - best, kind="stable")
    found = found[order]
    share, low = lapse_rate(probabilities, truth)
    return Noise(found, suggested[found], np.c_[given[found], best[order]], share, low)


def of_rows(frozen: Frozen, blocks: Blocks, penalty: float) -> Noise | None:
    """None for anything but one label a row, and where there are too few rows."""
    if frozen.kind != "label":
        return None
    if len(frozen.truth) < max(FEWEST_ROWS, FEWEST_PER_LABEL * blocks.targets.shape[1]):
        return None
    return suspects(blocks.out_of_fold(penalty), frozen.truth)


def lapse_rate(probabilities: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """(share of wrong labels, its lower bound), by maximum likelihood and its profile.

    Whether the label is the one the model puts first is modelled as (1 - share) * sigmoid(slope * margin),
    margin being the log ratio of the first two probabilities: 0.5 where they tie, 1 - share far from it.
    """
    top = np.sort(probabilities, axis=1)[:, -2:]
    margin = np.log(top[:, 1] / top[:, 0])
    agrees = probabilities.argmax(axis=1) == truth
    order = np.argsort(margin, kind="stable")
    parts = [part for part in np.array_split(order, min(_BINS, len(order))) if len(part)]
    middle = np.array([margin[part].mean() for part in parts])
    right = np.array([agrees[part].sum() for part in parts], dtype=float)
    wrong = np.array([len(part) for part in parts]) - right
    shares, slopes = np.linspace(0.0, 0.5, 101), np.geomspace(0.05, 20.0, 80)
    curve = 1 / (1 + np.exp(-np.minimum(slopes[:, None] * middle, 40.0)))
    chance = np.clip((1 - shares[:, None, None]) * curve, 1e-9, 1 - 1e-4)  # [share, slope, bin]
    likelihood = (np.log(chance) @ right + np.log1p(-chance) @ wrong).max(axis=1)
    within = likelihood >= likelihood.max() - 2.71 / 2  # 90 % of a chi-square with one degree, so 95 % one-sided
    return float(shares[likelihood.argmax()]), float(shares[within].min())


def _calibrated(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Softmax at the temperature of the greatest likelihood (Guo et al. 2017, section 4.2)."""

    def softmax(sharpness: float) -> np.ndarray:
        shifted = np.exp(sharpness * (scores - scores.max(axis=1, keepdims=True)))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))

    def loss(sharpness: float) -> float:
        return -float(np.log(np.maximum(softmax(sharpness)[np.arange(len(truth)), truth], 1e-12)).mean())

    scores = scores.astype(np.float64)
    return np.maximum(softmax(min(np.geomspace(1.0, 64.0, 13), key=loss)), 1e-12)


def write(noise: Noise, frozen: Frozen, path: Path) -> None:
    """A table of the suspected rows, the most suspect first, for people to go through."""
    names = frozen.label_names or [str(label) for label in range(int(frozen.truth.max()) + 1)]
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row_id", "label", "suggested", "p_label", "p_suggested", "text"])
        for row, other, (mine, theirs) in zip(noise.rows, noise.suggested, noise.probabilities, strict=True):
            writer.writerow([
                int(frozen.row_ids[row]), names[frozen.truth[row]], names[other], f"{mine:.4f}", f"{theirs:.4f}",
                frozen.texts[row],
            ])  # fmt: skip


def blocks_of(frozen: Frozen) -> Blocks:
    """The probed training rows, dealt evenly by label (numbers: at random)."""
    if frozen.kind == "label":
        classes = len(frozen.label_names) if frozen.label_names else int(frozen.truth.max()) + 1
        return Blocks(frozen.features, one_hot(frozen.truth, classes), frozen.truth, frozen.seed)
    targets = np.asarray(frozen.truth, dtype=np.float64).reshape(len(frozen.truth), -1)
    return Blocks(frozen.features, targets, np.zeros(len(frozen.truth)), frozen.seed)
