"""Elastic weight consolidation (Kirkpatrick et al. 2017): weights that earlier tasks need move least.

The diagonal Fisher information on retained rows says which those are. Its sum is scaled to be the same always,
so that one strength means the same whatever the task, however sure the model was of it, and however many
weights move: few of them (lora) do together what many (full) do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor

from tunesmith.core.files import full_disk_as_oserror, move, scratch
from tunesmith.core.options import Options
from tunesmith.engine.anchored import Anchored
from tunesmith.engine.precision import working
from tunesmith.engine.retained import ForgettingMonitor, Retained, copies, moving_body
from tunesmith.engine.setup import Setup

FISHER = "fisher.safetensors"
_ROWS = 256
"""Retained rows that the Fisher information is estimated from: one backward pass each."""
_SUM = 1e6


class EwcOptions(Options):
    ewc_strength: float = Field(default=5.0, ge=0)
    """Penalty of ewc: strength/2 times the sum of F (w - w0)^2, the Fisher information F scaled to sum to a million."""


class Ewc(Anchored):
    Options = EwcOptions
    summary: ClassVar[str] = "against forgetting: weights that retained rows depend on move least (EWC)"

    def on_setup(self, setup: Setup, monitor: ForgettingMonitor) -> None:
        """The Fisher information at the start weights, saved with the run; from there where it lies there already."""
        body, path = moving_body(setup.model), self.folder / FISHER
        found = load_file(path, device=str(setup.device)) if path.exists() else {}
        if found.keys() != body.keys():
            found = fisher(setup, monitor.retained, monitor.seed)
            with scratch(path.parent) as folder, full_disk_as_oserror():
                save_file({name: tensor.cpu().contiguous() for name, tensor in found.items()}, folder / path.name)
                move(folder / path.name, path)
        scale = _SUM / (sum(float(tensor.sum()) for tensor in found.values()) or 1.0)
        curvature = {name: tensor * scale for name, tensor in found.items()}
        self._hold(copies(body), self.options.ewc_strength, curvature)


def fisher(setup: Setup, retained: Sequence[Retained], seed: int) -> dict[str, Tensor]:
    """Mean squared gradient of each row's log-probability, answers drawn from the model; float32 by name."""
    body = moving_body(setup.model)
    total = {name: torch.zeros_like(parameter, dtype=torch.float32) for name, parameter in body.items()}
    each = max(1, _ROWS // len(retained))
    chance = torch.Generator(device=setup.device).manual_seed(seed)
    training = setup.model.training
    setup.model.eval()
    with working(setup.model, setup.precision, setup.float32_names):
        for one in retained:
            drawn = np.random.default_rng(seed).permutation(len(one.objective.lengths))[:each]
            for item in drawn:
                setup.stop.check()
                loss = one.sampled_nll(setup.model, np.array([item]), setup.device, chance)
                gradients = torch.autograd.grad(loss, list(body.values()), allow_unused=True)
                for name, gradient in zip(body, gradients, strict=True):
                    if gradient is not None:
                        total[name] += gradient.float().square() / (len(drawn) * len(retained))
    setup.model.train(training)
    return total
