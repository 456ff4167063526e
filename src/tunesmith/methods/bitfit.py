"""Only the biases and the head move (BitFit: Zaken et al. 2021)."""

from __future__ import annotations

from typing import ClassVar

from tunesmith.core.errors import ModelError
from tunesmith.engine.optim import ParameterGroup
from tunesmith.engine.protocols import Method
from tunesmith.models.additions import moving, new_head, split_head
from tunesmith.models.bundle import Bundle


class BitFit(Method):
    summary: ClassVar[str] = "only the biases move, a thousandth of the weights; nothing is added"
    learning_rate = 1e-3
    epochs = 4
    toy_rate = 3.0

    def prepare(self, bundle: Bundle, seed: int) -> None:
        """Freeze all but biases and head. Raises ModelError for a network without biases."""
        head = {id(parameter) for parameter in new_head(bundle.model)}
        for name, parameter in bundle.model.named_parameters():
            if id(parameter) not in head and not name.endswith("bias"):
                parameter.requires_grad_(False)
        if not split_head(bundle.model)[0]:
            raise ModelError(
                f"The body of the model {bundle.name!r} has no biases that could move.",
                "Use method=lora or method=ia3 with this model, or freeze less.",
            )

    def groups(self, bundle: Bundle, learning_rate: float) -> list[ParameterGroup]:
        return [ParameterGroup(moving(bundle.model), learning_rate)]
