"""Only the head moves; the body is run over the data once and its features are kept."""

from __future__ import annotations

from typing import ClassVar

from tunesmith.engine.optim import ParameterGroup
from tunesmith.engine.protocols import Method
from tunesmith.models.additions import moving
from tunesmith.models.bundle import Bundle


class Head(Method):
    summary: ClassVar[str] = "only a new last layer learns: seconds, and hard to beat on texts that the model knows"
    learning_rate = 1e-3
    epochs = 0
    """The linear solution is the optimum already; `epochs` adds gradient steps on the same features."""
    frozen_body = True
    families = ("predictive",)
    keeps_base_intact = True

    def prepare(self, bundle: Bundle, seed: int) -> None:
        for parameter in bundle.model.body_parameters():
            parameter.requires_grad_(False)

    def groups(self, bundle: Bundle, learning_rate: float) -> list[ParameterGroup]:
        return [ParameterGroup(moving(bundle.model), learning_rate)]
