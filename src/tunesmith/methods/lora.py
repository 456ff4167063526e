"""Low-rank additions to the linear layers move (Hu et al. 2021), through PEFT."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field

from tunesmith.core.options import Options
from tunesmith.engine.optim import ParameterGroup
from tunesmith.models.load import Bundle


class LoraOptions(Options):
    rank: int = Field(default=16, ge=1)
    """Rank of each addition."""
    alpha: int = Field(default=32, ge=1)
    """The additions are scaled by alpha / sqrt(rank) (rank-stabilised: Kalajdzievski 2023)."""
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout before each addition."""


class Lora:
    Options = LoraOptions
    summary: ClassVar[str] = "small additions to every linear layer move; little memory, small adapter"
    learning_rate = 1e-3
    epochs = 4
    frozen_body = False
    starts_from_probe = True

    def __init__(self, options: LoraOptions):
        self.options = options
        self._peft: Any = None

    def prepare(self, bundle: Bundle, seed: int) -> None:
        from peft import LoraConfig, get_peft_model

        network = bundle.model.network
        head = {id(module) for module in bundle.model.head.modules()}
        targets = [
            name for name, module in network.named_modules()
            if isinstance(module, torch.nn.Linear) and id(module) not in head
            and any(parameter.requires_grad for parameter in module.parameters())
        ]  # fmt: skip
        config = LoraConfig(
            r=self.options.rank, lora_alpha=self.options.alpha, lora_dropout=self.options.lora_dropout,
            use_rslora=True, target_modules=targets, bias="none",
        )  # fmt: skip
        torch.manual_seed(seed)
        with _without_deprecations():
            self._peft = get_peft_model(network, config)  # replaces the linear layers inside `network`
        for parameter in bundle.model.head.parameters():
            parameter.requires_grad_(True)

    def frozen_blocks(self, bundle: Bundle) -> int:
        """0: every block gets additions."""
        return 0

    def groups(self, bundle: Bundle, learning_rate: float) -> list[ParameterGroup]:
        named = {name: p for name, p in bundle.model.named_parameters() if p.requires_grad}
        return [ParameterGroup(named, learning_rate)]

    def merge(self, bundle: Bundle, folder: Path) -> None:
        """Save the additions in PEFT's layout in `folder`/adapter, then add them to the weights."""
        with _without_deprecations():
            self._peft.save_pretrained(folder / "adapter", safe_serialization=True)
            bundle.model.network = self._peft.merge_and_unload()


@contextmanager
def _without_deprecations() -> Iterator[None]:
    """peft reads attributes that transformers has renamed; nothing the user could act on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield
