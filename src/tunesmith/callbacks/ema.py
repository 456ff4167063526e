"""A moving average of the weights is judged and handed over in place of the last ones (Polyak & Juditsky 1992; as in
EfficientNet, Tan & Le 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from tunesmith.core.options import Options
from tunesmith.engine.setup import Callback


class EmaOptions(Options):
    ema_decay: float = Field(default=0.99, ge=0, lt=1)
    """Share of the moving average that is kept at each step; less in the first steps: (1 + step) / (10 + step)."""


class Ema(Callback):
    Options = EmaOptions
    summary: ClassVar[str] = "a moving average of the weights is judged and handed over (EMA)"

    _average: Mapping[str, Tensor] | None = None

    @torch.no_grad()
    def on_weights(self, weights: Mapping[str, Tensor], step: int) -> None:
        if self._average is None:
            self._average = {name: one.detach().clone() for name, one in weights.items()}
            return
        kept = min(self.options.ema_decay, (1 + step) / (10 + step))
        for name, average in self._average.items():
            if average.is_floating_point():
                average.lerp_(weights[name].detach(), 1 - kept)
            else:  # how many batches were seen
                average.copy_(weights[name])

    def stand_ins(self) -> Mapping[str, Tensor] | None:
        return self._average

    def tensors(self) -> Mapping[str, Tensor]:
        return self._average or {}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        self._average = dict(tensors) or None
