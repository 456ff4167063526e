"""What a run must not forget: the parts that measure it and the parts that callbacks hold it with.

The workflow fills a `ForgettingMonitor` before training, for rows and for language alike; callbacks see nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from tunesmith.engine.objective import Objective
from tunesmith.models.additions import moving, new_head
from tunesmith.models.model import Model


class Probe(Protocol):
    """Something that the model could do before training, and how to see whether it still can."""

    name: str
    is_task: bool
    """Whether it measures something that was learned before; the drift of features alone is none."""

    apart: bool
    """Whether it looks at a model of its own, which this run leaves as it is: it looks once, and nothing is held."""

    def look(self, choosing: bool) -> Any:
        """The model as it is now, on the rows for choosing or on those that are reported."""

    def compare(self, before: Any, after: Any) -> dict[str, Any]:
        """'kept' and 'lost' (positive when something was lost) as intervals, 'probe' in words, and more."""

    def retained(self) -> Retained:
        """What callbacks hold."""


@dataclass
class Retained:
    """Rows of something learned before, with what is needed to learn them again."""

    name: str
    objective: Objective
    sampled_nll: Callable[[Any, np.ndarray, torch.device, torch.Generator], Tensor]
    """The summed loss of the items for targets that the model itself draws; its gradients give the Fisher
    information (Martens 2020, section 5). Where drawing is no option, the loss of the true targets."""
    head: nn.Module | None = None
    """Features [rows, hidden] to logits of the earlier task."""
    change: Callable[[Tensor, Tensor], Tensor] | None = None
    """What it costs that logits of the head are no longer the old ones, summed over rows."""


@dataclass
class ForgettingMonitor:
    """Probes of what was known before, and rows to hold it with."""

    probes: Sequence[Probe]
    retained: Sequence[Retained]
    folder: Path
    """Cache of the run."""
    fingerprint: str = ""
    """Of the base model."""
    seed: int = 0
    fresh_head: bool = False
    """Whether the head begins with nothing, so that between it and the trained one lies nothing either."""
    moves: bool = True
    """Whether training changes what the probes look at; else they need not look again."""
    before: dict[bool, list[Any]] = field(default_factory=dict)

    def way(self, model: Model, start: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Of the weights before training, by name, those that a model can be taken back to."""
        fresh = {id(parameter) for parameter in new_head(model)} if self.fresh_head else set()
        return {name: one for name, one in start.items() if id(model.get_parameter(name)) not in fresh}

    @property
    def counting(self) -> list[Probe]:
        """The probes of tasks; where there are none, all."""
        return [probe for probe in self.probes if probe.is_task] or list(self.probes)

    def snapshot(self, choosing: bool) -> None:
        """Look at the model before anything is trained; also on the rows for `choosing`, where some will be."""
        self.before = {False: [probe.look(False) for probe in self.probes]}
        if choosing:
            self.before[True] = [probe.look(True) for probe in self.counting]

    def compare(self) -> list[dict[str, Any]]:
        """Of every probe, what the model as it is now has kept and lost."""
        return self._compared(self.probes, choosing=False)

    def counted(self, found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Of what `compare` gave: the tasks, or where there is none the probe that stands for them."""
        return [one for probe, one in zip(self.probes, found, strict=True) if probe in self.counting]

    def worst(self, found: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Of what `compare` gave: the task that lost most; by the share that is left where their metrics differ, as
        a point of accuracy and a point of an error have no common measure."""
        counted = self.counted(found)
        if len({one.get("metric") for one in counted}) > 1:
            return min(counted, key=lambda one: float(one["kept"]["value"]))
        return max(counted, key=lambda one: float(one["lost"]["value"]))

    def lost(self) -> dict[str, float]:
        """What was lost on the rows for choosing, as an interval: of the task that may have lost most."""
        found = self._compared(self.counting, choosing=True)
        return dict(max((one["lost"] for one in found), key=lambda lost: float(lost["high"])))

    def _compared(self, probes: Sequence[Probe], choosing: bool) -> list[dict[str, Any]]:
        pairs = zip(probes, self.before[choosing], strict=True)
        return [
            probe.compare(seen, seen if probe.apart or not self.moves else probe.look(choosing))
            for probe, seen in pairs
        ]  # fmt: skip


def moving_body(model: Model) -> dict[str, nn.Parameter]:
    """The parameters that train and were there before: not those of a head made for this task."""
    fresh = set() if model.answers_before else {id(parameter) for parameter in new_head(model)}
    return {name: parameter for name, parameter in moving(model).items() if id(parameter) not in fresh}


def copies(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """float32 copies, by name."""
    return {name: tensor.detach().clone().float() for name, tensor in parameters.items()}


def relative_distance(before: Tensor, now: Tensor) -> Tensor:
    """Squared distances of features [rows, hidden] over their squared lengths before, summed over rows."""
    return ((now - before).square().sum(1) / before.square().sum(1).clamp_min(1e-12)).sum()
