"""What targets share whose predictions are an `Outcome`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from datasets import Dataset

from tunesmith.core.events import Emit
from tunesmith.core.measured import Measured
from tunesmith.engine.target import Target
from tunesmith.evaluate.baselines import simple_baselines


class OutcomeTarget(Target):
    def baselines(
        self, rows: tuple[Dataset, Dataset], truths: tuple[Any, Any], cheap: str | None,
        features: Callable[[np.ndarray, Emit], tuple[Any, Any]], *, seed: int, emit: Emit,
    ) -> dict[str, Measured]:  # fmt: skip
        return simple_baselines(self.kind, truths, self.label_names, cheap, features, seed=seed, emit=emit)
