"""A network that reads pictures as a method trains it: run on shapes for memory and operations, and for moments on
random weights for how fast this machine is."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from tunesmith.engine.inference import answering, run_rows
from tunesmith.engine.meta_network import Attention, MetaNetwork, Recipe
from tunesmith.engine.pixels import EncodedPictures
from tunesmith.engine.protocols import Method
from tunesmith.models.additions import checkpoint_activations
from tunesmith.models.blocks import depths
from tunesmith.models.bundle import Bundle
from tunesmith.models.processor import PictureProcessor

_OPERATIONS = 1e10
"""Of a trial, about: a second on a few cores."""
_TIMES = 3
"""Trials; the first warms up."""


class MetaPictures(MetaNetwork):
    """`bundle`: as a loader gives it without weights (`models.bare`), on the device `on`. `loss` and `step_bytes` take
    `cost`, what the network's processor says of a picture, in place of a length.

    Raises OptionError as `MetaNetwork` does, and for activations that can not be computed again.
    """

    def __init__(self, bundle: Bundle[Any], method: Method, recipe: Recipe, on: str = "meta"):
        assert bundle.processor is not None
        self.processor: PictureProcessor = bundle.processor
        if recipe.checkpointing:
            again = {"context_fn": lambda: (nullcontext(), Attention())} if on == "meta" else {}
            checkpoint_activations(bundle.model.network, **again)
        self.blocks = max(1, depths(bundle.model)[1] - 1)
        super().__init__(bundle, method, recipe, on)

    def _cast(self) -> None:
        kept = self.model.float32_names
        for name, parameter in self.model.named_parameters():
            if name not in kept:
                parameter.data = parameter.data.to(self.dtype)
        self.model.to(device=self.on).train()

    def outputs(self, rows: int) -> Tensor:
        """What it makes of some blank pictures."""
        with torch.device(self.on):
            blank = torch.zeros(rows, 3, self.processor.height, self.processor.width)
            found: Tensor = self.model({"pixel_values": blank})
        return found.float()

    def loss(self, rows: int, length: int) -> Tensor:
        return self.outputs(rows).square().sum()

    def operations(self) -> tuple[float, float]:
        """Operations for a picture that is only looked at, and for one that is learned from as things move now."""
        with _counting() as forward, torch.no_grad():
            self.outputs(1)
        with _counting() as both:
            self.loss(1, self.processor.cost).backward()
        return float(forward.get_total_flops()), float(both.get_total_flops())

    def seconds(self, operations: tuple[float, float], at_once: int | None) -> tuple[float, float]:
        """Seconds of this machine for each picture that is looked at, and that is learned from, measured; of a network
        with storage. `operations`: as above; `at_once`: squares that go through it together."""
        usual = max(1, (at_once or 16 * self.processor.cost) // self.processor.cost)
        look, step = (int(np.clip(_OPERATIONS / max(1.0, one), 1, most * usual))
                      for one, most in zip(operations, (2, 1), strict=True))  # fmt: skip
        rows, on = self._blank(look), torch.device(self.on)
        with answering(self.model, "fp32"):  # its weights are as they are computed in
            looked = _measured(lambda: run_rows(self.model, rows, np.arange(look), on=on))
        self.model.train()
        learned = _measured(lambda: self.loss(step, self.processor.cost).backward())
        return looked / look, learned / step

    def _blank(self, count: int) -> EncodedPictures:
        pixels = np.zeros((count, *self.processor.stored, 3), dtype=np.uint8)
        return EncodedPictures(pixels, self.processor, np.zeros(32, dtype=np.uint8))


def _counting() -> FlopCounterMode:
    """With convolutions of each channel alone counted as what they are in the backward pass too."""

    def backward(out: Any, x: Any, weight: Any, *more: Any, out_shape: Any = None) -> int:
        transposed, wanted = more[4], more[7]
        return conv_flop_count(x, weight, out, transposed=transposed) * (wanted[0] + wanted[1])

    return FlopCounterMode(display=False, custom_mapping={torch.ops.aten.convolution_backward: backward})


def _measured(run: Callable[[], object]) -> float:
    times = []
    for _ in range(_TIMES):
        start = time.perf_counter()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])
