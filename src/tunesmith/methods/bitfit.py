"""Only the biases and the head move (BitFit: Zaken et al. 2021)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from tunesmith.core.errors import ModelError
from tunesmith.core.options import Options
from tunesmith.engine.optim import ParameterGroup
from tunesmith.models.additions import moving, new_head, split_head
from tunesmith.models.bundle import Bundle


class BitFitOptions(Options):
    pass


class BitFit:
    Options = BitFitOptions
    summary: ClassVar[str] = "only the biases move, a thousandth of the weights; nothing is added"
    learning_rate = 1e-3
    epochs = 4
    frozen_body = False
    starts_from_probe = True

    def __init__(self, options: BitFitOptions):
        self.options = options

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

    def frozen_blocks(self, bundle: Bundle) -> int:
        """0: every block has biases."""
        return 0

    def groups(self, bundle: Bundle, learning_rate: float) -> list[ParameterGroup]:
        return [ParameterGroup(moving(bundle.model), learning_rate)]

    def merge(self, bundle: Bundle, folder: Path) -> None:
        """Nothing was added."""
