"""Learning without forgetting (Li & Hoiem 2016): the old answers stay what they were.

Of rows with labels and numbers, on the new rows: with retained tasks the logits of their heads are held
(temperature 2, section 3.2); without, the features that the head reads. A language model's old answers to the
new rows are what it is to unlearn, so the words that it expects in retained texts are held instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from tunesmith.core.errors import OptionError
from tunesmith.core.options import Options
from tunesmith.engine.inference import frozen_features
from tunesmith.engine.likelihood import TokenObjective
from tunesmith.engine.mixed import MixedObjective
from tunesmith.engine.objective import RowObjective
from tunesmith.engine.precision import working
from tunesmith.engine.retained import ForgettingMonitor, Retained, relative_distance
from tunesmith.engine.self_distillation import self_distillation
from tunesmith.engine.setup import Callback, Setup
from tunesmith.models.language import LanguageModel
from tunesmith.models.pooled import Pooled
from tunesmith.models.reader import ReaderModel
from tunesmith.models.sentence import SentenceModel

_HELD_RATE = 0.5
"""Retained texts that are held with each new one."""


class DistillOptions(Options):
    distill_weight: float = Field(default=1.0, ge=0)
    """How much keeping the old answers counts in the loss, beside the new task's 1."""


class Distill(Callback):
    Options = DistillOptions
    summary: ClassVar[str] = "against forgetting: the old answers stay what they were (learning without forgetting)"
    turn: ClassVar[int] = 0
    """Before callbacks that add other rows to the objective."""

    def on_setup(self, setup: Setup, monitor: ForgettingMonitor) -> None:
        objective, model = setup.objective, setup.model
        weight = self.options.distill_weight
        texts = [one.objective for one in monitor.retained if isinstance(one.objective, TokenObjective)]
        if texts:
            assert isinstance(model, LanguageModel)
            with working(model, setup.precision, setup.float32_names):
                held = [self_distillation(model, one, weight, setup.device) for one in texts]
            setup.objective = MixedObjective(objective, held, _HELD_RATE, setup.seed)
            return
        if not isinstance(model, Pooled | SentenceModel) or isinstance(model, ReaderModel):
            raise OptionError(
                "--callback distill holds what a head reads of each row, which is one vector, and answers here are "
                "many for each row.",
                "Use --callback rehearsal, ewc, l2sp or interpolate.",
            )
        if type(objective) is not RowObjective:
            raise OptionError(
                "--callback distill needs a method that learns row by row, and this one learns from pairs of rows.",
                "Use --callback rehearsal, ewc, l2sp or interpolate.",
            )
        features = frozen_features(
            model, objective.rows, objective.positions, folder=monitor.folder,
            fingerprint=f"{monitor.fingerprint} start", precision=setup.precision,
            on=setup.device, check=setup.stop.check,
        )  # fmt: skip
        heads = [one for one in monitor.retained if one.head is not None]
        setup.objective = DistilledObjective(
            objective.rows, objective.positions, objective.row_loss, objective.batch_rows, objective.batch_tokens,
            objective.seed, features, heads, weight, same_batches=objective.same_batches,
            chances=objective.chances,
        )  # fmt: skip


@dataclass
class DistilledObjective(RowObjective):
    """The rows' own losses, and what it costs that their old answers change."""

    features: np.ndarray
    """Of the model before training, float32 [rows, hidden]."""
    heads: Sequence[Retained]
    distill_weight: float

    def loss(self, model: Any, items: np.ndarray, device: torch.device) -> Tensor:
        seen: list[Tensor] = []
        hook = model.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            loss = super().loss(model, items, device)
        finally:
            hook.remove()
        now = seen[-1].float()
        before = torch.from_numpy(np.ascontiguousarray(self.features[self.rows.places(self.positions[items])])).to(
            device
        )
        return loss + self.distill_weight * self._change(before, now)

    def _change(self, before: Tensor, now: Tensor) -> Tensor:
        """Summed over rows, mean over heads."""
        if not self.heads:
            return relative_distance(before, now)
        changes = []
        for one in self.heads:
            assert one.head is not None
            assert one.change is not None
            old, new = one.head(before).detach(), one.head(now)
            changes.append(one.change(old, new))
        return torch.stack(changes).mean()
