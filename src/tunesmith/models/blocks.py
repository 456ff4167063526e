"""The parts of a network from bottom to top: embeddings, blocks, head."""

from __future__ import annotations

from torch import nn

from tunesmith.models.text import TextModel


def depths(model: TextModel) -> tuple[dict[str, int], int]:
    """For every parameter its depth, and the depth of the head.

    0 is the embeddings, 1 the lowest block, ... ; whatever stands above the blocks (pooler, head)
    has the greatest depth.
    """
    blocks_name, count = _blocks(model.network)
    top = count + 1
    found: dict[str, int] = {}
    seen_blocks = False
    for name, _ in model.named_parameters():
        inner = name.removeprefix("network.").replace("base_model.model.", "")
        if inner.startswith(blocks_name + "."):
            seen_blocks = True
            found[name] = int(inner[len(blocks_name) + 1 :].split(".")[0]) + 1
        elif not seen_blocks or "embed" in inner:
            found[name] = 0
        else:
            found[name] = top
    return found, top


def _blocks(network: nn.Module) -> tuple[str, int]:
    """Name and length of the longest list of modules: a transformer's blocks."""
    lists = [(name, len(module)) for name, module in network.named_modules() if isinstance(module, nn.ModuleList)]
    return max(lists, key=lambda item: item[1], default=("", 0))
