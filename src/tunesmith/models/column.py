"""Progressive networks (Rusu et al. 2016, arXiv 1606.04671) as a tuner of PEFT.

A task adds a column: a copy of the blocks, which learns, beside the columns of earlier tasks, which stay as
they are. Each block of a column reads what its own column gave below it, plus

    up(act(down([h_0, ..., h_(j-1)])))

of what all earlier columns gave there (section 2, "adapters": non-linear lateral connections of fewer
dimensions). `up` starts at zero and a column as a copy of the newest one, not at random as in the paper, so
that training starts from what was known. What an earlier task answers is kept bit for bit: its column reads
none of the later ones.

Between its first and its last block the state of all columns travels side by side, [..., columns * width].

Importing this module teaches PEFT the type COLUMN.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from peft import PeftConfig
from torch import Tensor, nn

from tunesmith.models.tuner import Tuner, TunerLayer, TunerType, teach_peft
from tunesmith.models.types import Network


@dataclass
class ColumnConfig(PeftConfig):
    target_modules: list[str] | None = field(default=None, metadata={"help": "Blocks, by full name."})
    exclude_modules: list[str] | str | None = field(default=None, metadata={"help": "Blocks that are left out."})
    first_block: str = field(default="", metadata={"help": "The lowest of them."})
    last_block: str = field(default="", metadata={"help": "The highest of them."})
    columns: int = field(default=1, metadata={"help": "Columns beside the base's own."})
    reduction_factor: float = field(default=8, metadata={"help": "Width of a block by that of its lateral part."})
    modules_to_save: list[str] | None = field(default=None, metadata={"help": "Other modules that are trained."})

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = TunerType.COLUMN


class Column(NamedTuple):
    """One column's part at one block."""

    block: nn.Module
    down: nn.Linear
    up: nn.Linear


class ColumnLayer(TunerLayer):
    """A block of the base and the same block of every column."""

    adapter_layer_names = ("column_block", "column_down", "column_up")
    not_merged = "Columns stand beside the base: they can not be merged into its weights."
    column_block: nn.ModuleDict
    column_down: nn.ModuleDict
    column_up: nn.ModuleDict

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: ColumnConfig, name: str, width: int):
        super().__init__(base_layer, adapter_name)
        self.width = width
        self.first, self.last = name == config.first_block, name == config.last_block
        self.reading: int | None = None
        """The column whose states come out at the top: 0 is the base's own, None the newest."""
        narrow = max(1, round(width / config.reduction_factor))
        blocks, downs, ups = [], [], []
        for number in range(config.columns):
            blocks.append(copy.deepcopy(base_layer))
            downs.append(nn.Linear((number + 1) * width, narrow))
            ups.append(nn.Linear(narrow, width))
            nn.init.zeros_(ups[-1].weight)
            nn.init.zeros_(ups[-1].bias)
        self.column_block[adapter_name] = nn.ModuleList(blocks)
        self.column_down[adapter_name] = nn.ModuleList(downs)
        self.column_up[adapter_name] = nn.ModuleList(ups)
        self._added(adapter_name, config.inference_mode)

    def columns(self) -> list[Column]:
        """Those that are switched on, oldest first."""
        for name in self._running():
            parts: list[Any] = [self.column_block[name], self.column_down[name], self.column_up[name]]
            return [Column(*one) for one in zip(*parts, strict=True)][: self.reading]
        return []

    def train(self, mode: bool = True) -> ColumnLayer:
        """Dropout is for the newest column alone: what does not learn answers as it always did."""
        super().train(mode)
        for old in [self.base_layer, *(column.block for column in self.columns()[:-1])]:
            old.eval()
        return self

    def forward(
        self, hidden_states: Tensor, *arguments: object, **named: object
    ) -> Tensor | tuple[Tensor, ...]:  # fmt: skip
        columns = self.columns()
        if not columns:
            return self.base_layer(hidden_states, *arguments, **named)
        count = len(columns) + 1
        states = [hidden_states] * count if self.first else list(hidden_states.split(self.width, dim=-1))
        answer = self.base_layer(states[0], *arguments, **named)
        outputs = [_state(answer)]
        for number, (block, down, up) in enumerate(columns, 1):
            below = torch.cat(states[:number], dim=-1)
            lateral = up(torch.relu(down(below.to(down.weight.dtype))))
            outputs.append(_state(block(states[number] + lateral.to(states[number].dtype), *arguments, **named)))
        result = outputs[-1] if self.last else torch.cat(outputs, dim=-1)
        return (result, *answer[1:]) if isinstance(answer, tuple) else result

    def __getattr__(self, name: str) -> Any:
        """What a family asks of its blocks, such as the kind of attention, the base's block answers."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "base_layer":
                raise
            return getattr(self.base_layer, name)


class ColumnModel(Tuner):
    prefix = "column_"
    tuner_layer_cls = ColumnLayer

    def _create_and_replace(
        self, peft_config: ColumnConfig, adapter_name: str, target: nn.Module, target_name: str, parent: nn.Module,
        current_key: str, **_: object,
    ) -> None:  # fmt: skip
        if isinstance(target, ColumnLayer):
            raise NotImplementedError("A network has one set of columns: give it as many as it needs at once.")
        layer = ColumnLayer(target, adapter_name, peft_config, current_key, int(self.model.config.hidden_size))
        self._put_in(layer, adapter_name, parent, target_name, target)

    def _replace_module(self, parent: nn.Module, child_name: str, new_module: nn.Module, child: nn.Module) -> None:
        """A block has no weight of its own, which PEFT would look for."""
        setattr(parent, child_name, new_module)


teach_peft(TunerType.COLUMN, ColumnConfig, ColumnModel)


def layers(network: nn.Module) -> dict[str, ColumnLayer]:
    """By name, lowest first."""
    return {name: module for name, module in network.named_modules() if isinstance(module, ColumnLayer)}


def take_out(network: Network) -> dict[str, list[Column]]:
    """The columns of every block, which is then the base's alone again."""
    found = {}
    for name, layer in layers(network).items():
        found[name] = layer.columns()
        parent, _, child = name.rpartition(".")
        setattr(network.get_submodule(parent), child, layer.base_layer)
    if found and getattr(network, "_hf_peft_config_loaded", False):  # transformers had put them in
        network._hf_peft_config_loaded = False
        del network.peft_config
        network._weight_conversions = None  # of the adapter's names, which the network would be saved under
    return found


def put_back(network: nn.Module, earlier: dict[str, list[Column]]) -> None:
    """Earlier columns into their places; the newest becomes a copy of the one before it. All but the newest
    stay as they are."""
    for name, layer in layers(network).items():
        now = layer.columns()
        before = earlier.get(name, [])
        for new, old in zip(now, before, strict=False):
            for mine, theirs in zip(new, old, strict=True):
                mine.load_state_dict(theirs.state_dict())
                mine.requires_grad_(False)
        if before:
            now[-1].block.load_state_dict(before[-1].block.state_dict())


def nameless(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a PeftModel without its name in those of columns, as an adapter's file has them. PEFT takes
    the name out of single layers only."""
    return {re.sub(r"(column_(?:block|down|up))\.default\.", r"\1.", name): one for name, one in weights.items()}


@contextmanager
def reading(network: nn.Module, column: int) -> Iterator[None]:
    """The network answers from that column: 0 is the base's own."""
    found = list(layers(network).values())
    before = [layer.reading for layer in found]
    for layer in found:
        layer.reading = column
    try:
        yield
    finally:
        for layer, was in zip(found, before, strict=True):
            layer.reading = was


def _state(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    return output[0] if isinstance(output, tuple) else output
