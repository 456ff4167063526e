"""The parts of a network from bottom to top: embeddings, blocks, head."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from torch import nn

from tunesmith.core.errors import OptionError
from tunesmith.models.model import Model


class Block(NamedTuple):
    """A part that freezes as one: 'embeddings', 'layers.0', ... from the bottom, or 'head' for all above."""

    name: str
    parameters: int


def depths(model: nn.Module) -> tuple[dict[str, int], int]:
    """For every parameter its depth, and the depth of the head.

    0 is the embeddings, 1 the lowest block, ... ; whatever stands above the blocks (pooler, head)
    has the greatest depth.
    """
    blocks_name, count = _blocks(model)
    if not count:
        return _by_layers(model)
    top = count + 1
    found: dict[str, int] = {}
    seen_blocks = False
    body = {id(parameter) for parameter in _body(model).parameters()}
    for name, parameter in model.named_parameters():
        inner = name.replace("base_model.model.", "")
        if inner.startswith(blocks_name + "."):
            seen_blocks = True
            found[name] = int(inner[len(blocks_name) + 1 :].split(".")[0]) + 1
        elif "embed" in inner or (not seen_blocks and id(parameter) in body):  # some families name the head first
            found[name] = 0
        else:
            found[name] = top
    return found, top


def _by_layers(model: nn.Module) -> tuple[dict[str, int], int]:
    """`depths` of a network without a list of blocks: by its layers in the order in which they were made, those of an
    `nn.Sequential` each by itself, the first as the embeddings and the last as the head."""
    units = [name for name, _ in _layers(_body(model))]
    prefix = next((name for name, one in model.named_modules() if one is _body(model)), "")
    found, depth = {}, 0
    for name, _ in model.named_parameters():
        inner = name.replace("base_model.model.", "").removeprefix(f"{prefix}." if prefix else "")
        place = next((at for at, unit in enumerate(units) if inner == unit or inner.startswith(f"{unit}.")), depth)
        depth = found[name] = place
    return found, max(len(units) - 1, 1)


def _layers(module: nn.Module, name: str = "", level: int = 0) -> list[tuple[str, nn.Module]]:
    held = [
        (f"{name}.{key}" if name else key, child) for key, child in module.named_children()
        if next(child.parameters(), None) is not None
    ]  # fmt: skip
    if len(held) == 1 and level < 2:  # a wrapper
        return _layers(held[0][1], held[0][0], level) if next(held[0][1].children(), None) is not None else held
    found = []
    for inner, child in held:
        opened = isinstance(child, nn.Sequential) and level == 0
        found += _layers(child, inner, level + 1) if opened else [(inner, child)]
    return found


def writes_text(model: Model) -> bool:
    """Whether the head gives the next word, and is no classifier's."""
    return bool(model.network.get_output_embeddings() is model.head)


def block_names(network: nn.Module) -> list[str]:
    """Full names of the blocks, from the bottom."""
    name, count = _blocks(network)
    return [f"{name}.{number}" for number in range(count)]


def list_blocks(model: nn.Module) -> list[Block]:
    """Every part with the number of its parameters, from the bottom."""
    depth_of, top = depths(model)
    sizes = [0] * (top + 1)
    for name, parameter in model.named_parameters():
        sizes[depth_of[name]] += parameter.numel()
    return [Block(_name(depth, top), size) for depth, size in enumerate(sizes)]


def frozen_names(model: nn.Module, patterns: Sequence[str]) -> set[str]:
    """Names of the parameters in the blocks that `patterns` name.

    A pattern is a block ('embeddings', 'layers.3', 'head'), a range of blocks ('layers.0-3', both ends
    included) or has wildcards ('layers.*'); one string may hold several with commas between. Raises
    OptionError for a pattern that names no block.
    """
    depth_of, top = depths(model)
    names = [_name(depth, top) for depth in range(top + 1)]
    chosen: set[int] = set()
    for pattern in (part.strip() for text in patterns for part in text.split(",")):
        span = re.fullmatch(r"layers\.(\d+)-(\d+)", pattern)
        if span:
            wanted = [f"layers.{number}" for number in range(int(span[1]), int(span[2]) + 1)]
        else:
            wanted = [name for name in names if fnmatchcase(name, pattern)]
        if not wanted or not set(wanted) <= set(names):
            blocks = f"layers.0 to layers.{top - 2}" if top > 2 else "layers.0"
            raise OptionError(
                f"freeze: {pattern!r} names no block of this model.",
                f"Its blocks are: embeddings, {blocks}, head. A range is written layers.0-{max(0, top - 2)}.",
            )
        chosen |= {names.index(name) for name in wanted}
    return {name for name, depth in depth_of.items() if depth in chosen}


def freeze(model: nn.Module, patterns: Sequence[str]) -> None:
    """Let the blocks that `patterns` name stay as they are. Raises OptionError as `frozen_names` does."""
    for name in frozen_names(model, patterns):
        model.get_parameter(name).requires_grad_(False)


def _body(model: nn.Module) -> nn.Module:
    """All but the head, where transformers can tell."""
    network = getattr(model, "network", model)
    body = getattr(network, "base_model", None)
    return body if isinstance(body, nn.Module) else model


def _name(depth: int, top: int) -> str:
    if depth == 0:
        return "embeddings"
    return "head" if depth == top else f"layers.{depth - 1}"


def _blocks(model: nn.Module) -> tuple[str, int]:
    """Name and length of the longest list of modules that is in no other: a transformer's blocks, or the stages of a
    network whose blocks stand in stages."""
    lists: list[tuple[str, int]] = []
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and not any(name.startswith(f"{outer}.") for outer, _ in lists):
            lists.append((name, len(module)))
    name, count = max(lists, key=lambda item: item[1], default=("", 0))
    return name.replace("base_model.model.", ""), count
