"""Rows whose label is suspected to be wrong, by a linear model that has not seen them.

A hard task has many rows that the model gets wrong, but ever fewer of them the surer it is; wrong labels do
not grow fewer. That floor is the lapse rate of a psychometric function (Wichmann & Hill 2001): it says
whether to speak at all, and of how many rows. Which rows: those where the label has the least of the score,
as in the ranking by normalised margin of Northcutt, Jiang & Chuang (2021), section 3.2.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tunesmith.core.files import new_file
from tunesmith.core.text import quoted_formula
from tunesmith.evaluate.linear import Blocks, Frozen

FEWEST_ROWS = 200
"""Fewer training rows than this tell wrong labels from hard rows too badly."""

FEWEST_PER_LABEL = 8
"""Nor where the labels have fewer rows than this on average."""

KNOWN = 0.3
"""A label is known to the model when it finds this share of its rows. Rows of rare labels that it never gives are
all missed with confidence, as wrong labels are: they prove nothing. Not higher: a fifth of the labels flipped makes
more than half of the rows of a label wrong that is seven times as rare as the other."""

SKILL = 0.6
"""The model has to be right in this share of the rows of known labels: below, it is sure of too few rows to show a
floor. Clean data that is easy to tell stays above with a third of the labels wrong."""

_CUT = 5.41 / 2
"""By which the log-likelihood may fall below its best inside the interval: 98 % of a chi-square with one degree of
freedom, so that a bound is passed by chance in 1 % of the runs. This is said unasked, so it has to be rare."""

_SHARES = np.linspace(0.0, 0.5, 101)
_BINS = 100


@dataclass(frozen=True)
class Noise:
    """rows int64 [s]: suspected rows (positions into the probed rows), as many as are thought to be wrong, the
    most suspect first; suggested int64 [s]; scores float64 [s, 2]: of the label that stands there and of the
    suggested one, 1 being certain. share: estimated share of wrong labels; low: its lower bound (99 %)."""

    rows: np.ndarray
    suggested: np.ndarray
    scores: np.ndarray
    share: float
    low: float


def suspects(scores: np.ndarray, truth: np.ndarray) -> Noise | None:
    """From out-of-fold scores of a linear model, float [n, k], and the labels that stand there, int64 [n].

    None where the model has too little skill to tell. Rows of labels that it does not know count as right.
    """
    first = scores.argmax(axis=1)
    seen = np.bincount(truth, minlength=scores.shape[1])
    found = np.bincount(truth, first == truth, minlength=scores.shape[1]) / np.maximum(seen, 1)
    known = np.flatnonzero(found[truth] >= KNOWN)
    agrees = first[known] == truth[known]
    if len(known) < FEWEST_ROWS or agrees.mean() < SKILL:
        return None
    second, best = np.sort(scores[known], axis=1)[:, -2:].T
    share, low = lapse_rate(best - second, agrees)
    own = scores[known, truth[known]]
    order = np.argsort(own - best, kind="stable")[: min(round(share * len(known)), int((~agrees).sum()))]
    rows, part = known[order], len(known) / len(truth)
    return Noise(rows, first[rows], np.c_[own, best][order].astype(np.float64), share * part, low * part)


def of_rows(frozen: Frozen, blocks: Blocks, penalty: float) -> Noise | None:
    """None for anything but one label a row, and where there are too few rows."""
    classes = blocks.targets.shape[1]
    if frozen.kind != "label" or classes < 2 or len(frozen.truth) < FEWEST_PER_LABEL * classes:
        return None
    return suspects(blocks.out_of_fold(penalty), frozen.truth)


def lapse_rate(margin: np.ndarray, agrees: np.ndarray) -> tuple[float, float]:
    """(share of wrong labels, its lower bound), by maximum likelihood and its profile.

    Whether the label is the one the model puts first, bool [n], is modelled as (1 - share) * sigmoid(a + b * margin),
    margin [n] >= 0 being the lead of the first score over the second. b >= 0: no worse when surer. a <= 0: right in
    at most half of the rows where two labels tie, in fewer where more than two do. Where the model can not tell
    rows apart, any share fits as well as none, and the bound is 0.
    """
    from scipy.optimize import minimize

    parts = np.array_split(np.argsort(margin, kind="stable"), min(_BINS, len(margin)))
    middle = np.array([margin[part].mean() for part in parts], dtype=np.float64)
    middle /= middle.mean() or 1.0
    right = np.array([agrees[part].sum() for part in parts], dtype=np.float64)
    wrong = np.array([len(part) for part in parts]) - right

    def misfit(shape: np.ndarray, share: float) -> tuple[float, np.ndarray]:
        """The negative log-likelihood, and its gradient by a and b."""
        sigmoid = 1 / (1 + np.exp(-np.clip(shape[0] + shape[1] * middle, -30, 30)))
        chance = np.clip((1 - share) * sigmoid, 1e-12, 1 - 1e-9)
        slope = (wrong / (1 - chance) - right / chance) * chance * (1 - sigmoid)
        value = -(right @ np.log(chance) + wrong @ np.log1p(-chance))
        return float(value), np.array([slope.sum(), slope @ middle])

    shape, likelihood = np.array([-0.5, 2.0]), np.empty(len(_SHARES))
    for at, share in enumerate(_SHARES):
        fitted = minimize(misfit, shape, (share,), jac=True, method="L-BFGS-B", bounds=[(-10, 0), (0, 200)])
        shape, likelihood[at] = fitted.x, -fitted.fun
    within = likelihood >= likelihood.max() - _CUT
    return float(_SHARES[likelihood.argmax()]), float(_SHARES[within].min())


def write(noise: Noise, frozen: Frozen, path: Path) -> None:
    """A table of the suspected rows, the most suspect first, for people to go through."""
    names = frozen.names
    with new_file(path, text=True, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row_id", "label", "suggested", "score_label", "score_suggested", "text"])
        for row, other, (mine, theirs) in zip(noise.rows, noise.suggested, noise.scores, strict=True):
            writer.writerow(map(quoted_formula, [
                int(frozen.row_ids[row]), names[frozen.truth[row]], names[other], f"{mine:.4f}", f"{theirs:.4f}",
                frozen.texts[row],
            ]))  # fmt: skip


def blocks_of(frozen: Frozen) -> Blocks:
    """The probed training rows, dealt evenly by label (numbers: at random)."""
    if frozen.kind == "label":
        features = frozen.features - frozen.features.mean(axis=0)
        # to one length: a row far from all others would be given a label with a certainty that it does not deserve
        features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
        return Blocks(features, np.eye(len(frozen.names))[frozen.truth], frozen.truth, frozen.seed)
    targets = np.asarray(frozen.truth, dtype=np.float64).reshape(len(frozen.truth), -1)
    return Blocks(frozen.features, targets, np.zeros(len(frozen.truth)), frozen.seed)
