"""A linear model on frozen features that can be fitted a hundred times a second, for questions about the data.

Ridge regression needs only sums over rows (X'X and X'Y). They are summed once for each of a few blocks
of rows; every union of blocks is then fitted from their sums, and the rest of the rows is out of sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tunesmith.data.types import Kind

MOST_ROWS = 10_000
"""More rows than this tell a linear model on frozen features little; callers take a random part."""

BLOCKS = 16
FOLDS = 8
PENALTIES = (0.001, 0.01, 0.03, 0.1, 0.3)
"""Ridge penalties that are tried, in shares of the mean eigenvalue of X'X."""


@dataclass(frozen=True)
class Frozen:
    """Training and test rows as the base model sees them before training.

    features float32 [n, hidden], truth as in `Outcome` [n], row_ids int64 [n] and texts [n]: training
    rows, or a random part of the `rows` there are; test float32 [m, hidden] and test_ids int64 [m].
    """

    kind: Kind
    features: np.ndarray
    truth: np.ndarray
    row_ids: np.ndarray
    texts: list[str]
    test: np.ndarray
    test_ids: np.ndarray
    label_names: list[str] | None
    rows: int
    seed: int = 0

    @property
    def names(self) -> list[str]:
        """Of labels: as they were given, or their numbers."""
        return self.label_names or [str(label) for label in range(int(self.truth.max()) + 1)]


class Blocks:
    """Rows dealt into blocks, and the sums of each.

    features float32 [n, hidden]; targets float32 [n, k]; groups [n]: dealt evenly, so that each block has
    its share of every group. `of` int64 [n] is the block of each row.
    """

    def __init__(self, features: np.ndarray, targets: np.ndarray, groups: np.ndarray, seed: int):
        order = np.lexsort((np.random.default_rng(seed).random(len(groups)), groups))
        self.of = np.empty(len(groups), dtype=np.int64)
        self.of[order] = np.arange(len(groups)) % BLOCKS
        centred = features - features.mean(axis=0)
        scale = float(np.sqrt(np.square(centred).mean())) or 1.0
        self.x = np.c_[centred / scale, np.ones(len(features))].astype(np.float32)
        self.targets = targets.astype(np.float32)
        rows = [np.flatnonzero(self.of == block) for block in range(BLOCKS)]
        self._grams = np.stack([self.x[some].T @ self.x[some] for some in rows])
        self._products = np.stack([self.x[some].T @ self.targets[some] for some in rows])

    def fit(self, blocks: np.ndarray, penalty: float) -> np.ndarray:
        """Weights float32 [hidden + 1, k] from the rows of `blocks`; the last one is the intercept.

        The penalty is the same for any number of rows, as the ridge of a Gaussian prior is.
        """
        from scipy.linalg import cho_factor, cho_solve

        gram = self._grams[blocks].sum(axis=0)
        # next to nothing on the intercept: it must not shrink, and the sum must stay invertible
        gram[np.diag_indices_from(gram)] += np.r_[np.full(len(gram) - 1, penalty * len(self.x)), 1e-3]
        factor = cho_factor(gram, overwrite_a=True, check_finite=False)
        return np.asarray(cho_solve(factor, self._products[blocks].sum(axis=0), check_finite=False))

    def best_penalty(self) -> float:
        """The one of PENALTIES with the least squared error on two eighths of the rows that were left out."""

        def error(penalty: float) -> float:
            misses = [self._left_out(fold, penalty) for fold in range(2)]
            return sum(float(np.square(scores - self.targets[rows]).sum()) for rows, scores in misses)

        return min(PENALTIES, key=error)

    def _left_out(self, fold: int, penalty: float) -> tuple[np.ndarray, np.ndarray]:
        every = np.arange(BLOCKS)
        weights = self.fit(every[every % FOLDS != fold], penalty)
        rows = np.flatnonzero(self.of % FOLDS == fold)
        return rows, self.x[rows] @ weights

    def out_of_fold(self, penalty: float) -> np.ndarray:
        """Scores float32 [n, k] of each row by the model that was fitted without its eighth of the rows."""
        found = np.empty_like(self.targets)
        for fold in range(FOLDS):
            rows, scores = self._left_out(fold, penalty)
            found[rows] = scores
        return found
