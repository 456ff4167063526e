"""The seam of what is learned of a row: how it is decoded, measured, drawn and written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

from tunesmith.core.events import Emit
from tunesmith.core.measured import Measured


class Target(ABC):
    """What is learned of a row, whatever its modality: how it is decoded, measured, drawn and written. One a kind of
    target, made with the names of its labels.

    Predictions are what `decode` makes of the model's logits, for the target alone to look into; of each row one.
    """

    said: ClassVar[str]
    """'one label'."""
    score: ClassVar[str]
    """The metric that `Model.score` gives."""
    constant: ClassVar[str] = "majority"
    """The baseline that answers every row alike."""
    simple: ClassVar[str | None] = None
    """What the simple way to compare with is called, where it does not go by the cheap features of the modality."""
    by_cheap: ClassVar[bool] = True
    """Whether one of its `baselines` goes by these features, where it has no `simple` one of its own."""
    price: ClassVar[str | None] = "log_loss"
    """The metric that tells apart what the first metric can not; None: there is none but that."""
    has_probabilities: ClassVar[bool] = True
    one_answer: ClassVar[bool] = True
    """Whether each row has one, so that rows can be compared by it."""
    at_once: ClassVar[int] = 20_000
    """Answers that are held in memory while a file of many rows is answered."""
    has_thresholds: ClassVar[bool] = False
    """Whether answers are given from a probability on that is chosen on validation rows."""
    tuned_early: ClassVar[bool] = False
    """Whether epochs are compared by what is reached with it, and not with the usual probability."""

    def __init__(self, kind: str, label_names: list[str] | None):
        self.kind, self.label_names = kind, label_names

    @abstractmethod
    def truth(self, values: Sequence[Any]) -> Any:
        """Column 'target' as what predictions are compared with."""

    def decode(self, scores: np.ndarray, counts: np.ndarray | None) -> Any:
        """Scores [answers, outputs] or [answers] as predictions, one a row; `counts` as `PredictiveTask.decode` has."""
        return scores

    @abstractmethod
    def measure(self, predictions: Any, truth: Any, thresholds: np.ndarray | None = None) -> Measured:
        """Both of the same rows; `thresholds` as `tune` gives them."""

    def tune(self, validation: Measured) -> np.ndarray | None:
        """The thresholds that are best on some rows, float64 [labels]; None where there are none."""
        return None

    @abstractmethod
    def answers(
        self, predictions: Any, thresholds: np.ndarray | None, threshold: float | None = None,
        rows: Dataset | None = None,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """As `predict` gives them. `threshold`: the least probability of an answer, whatever was tuned. `rows`:
        what was read, as `Modality.inputs` gives it."""

    def difference(self, one: np.ndarray, other: np.ndarray) -> float:
        """How far two sets of scores of the same rows lie apart, of which one was computed in other batches."""
        return float(np.abs(one - other).max(initial=0.0))

    def unsure(
        self, logits: np.ndarray, scores: np.ndarray, bound: float, cuts: np.ndarray | float | None
    ) -> np.ndarray:
        """Which answers could differ where each logit is off by `bound` at most, bool [n]. `cuts`: the probability from
        which on an answer is given."""
        return np.ones(len(logits), dtype=bool)

    def certain(self, truth: np.ndarray) -> np.ndarray:
        """Scores of one who is sure of the truth, float64 [n, outputs] or [n]."""
        return truth.astype(np.float64)

    def from_columns(self, columns: Mapping[str, Any]) -> Any:
        """Predictions of what `Measured.columns` wrote, lists by name."""
        return np.array(columns["scores"], dtype=np.float64)

    @abstractmethod
    def baselines(
        self, rows: tuple[Dataset, Dataset], truths: tuple[Any, Any], cheap: str | None,
        features: Callable[[np.ndarray, Emit], tuple[Any, Any]], *, seed: int, emit: Emit,
    ) -> dict[str, Measured]:  # fmt: skip
        """What needs no base model, on the second of `rows`, learned from the first; the constant answer first.
        `cheap`: what features of the rows at some positions are called; None: only the constant answer is asked for."""

    def units(self, targets: Callable[[Sequence[Any]], np.ndarray]) -> tuple[float, float]:
        """What answers of a saved model are multiplied by, and what is added, to be on the scale of `targets`."""
        return 1.0, 0.0

    def spread(self, truth: np.ndarray) -> float:
        """How far scores lie apart."""
        return 1.0

    def draw(self, logits: Tensor, chance: torch.Generator) -> Tensor:
        """Targets drawn from what the model answers (numbers with deviation 1). Asked where a task has a linear
        solution, through which is looked at what must not be forgotten."""
        raise NotImplementedError

    def change(self, old: Tensor, new: Tensor) -> Tensor:
        """What it costs that logits [n, outputs] are no longer the old ones, summed over rows."""
        return (new - old).square().mean(-1).sum()
