"""What methods that add weights to a frozen network share; the adding itself is PEFT's."""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from tunesmith.core.errors import OptionError
from tunesmith.models.model import Model
from tunesmith.models.model_json import read_object
from tunesmith.models.safety import ADAPTER
from tunesmith.models.types import Adapted, Network

if TYPE_CHECKING:
    from peft import PeftConfig, PromptLearningConfig

# Names of the linear layers that give a block's keys and values, and of the one that ends its feed-forward
# part, over the families of transformers. Where queries, keys and values are one layer, it counts as both.
_KEYS_AND_VALUES = re.compile(
    r"(^|[._])(key|value|k|v)(_proj|_lin)?$|(query_key_value|qkv_proj|c_attn|Wqkv|in_proj)$", re.ASCII
)
_FEED_FORWARD = re.compile(
    r"(?<!attention)\.output\.dense$|\.(down_proj|fc2|lin2|ffn_output|dense_4h_to_h|w2|wo|pwconv2)$|mlp\.(c_proj|Wo)$"
    r"|\.(project\.conv|reduce_1x1\.convolution)$"
)
_RESIDUAL = re.compile(r"(.+\.layer\.)(\d+)\.convolution$", re.ASCII)
"""Convolutions of a residual block, numbered."""
_ATTENTION_OUTPUT = re.compile(
    r"attention\.(output\.)?dense$|\.(o_proj|out_proj|out_lin)$|attn\.(c_proj|Wo|o)$|SelfAttention\.o$"
)


def adapter_config(folder: Path) -> dict[str, Any]:
    """PEFT's description of what was added to a base, in a model's folder; empty where nothing was."""
    path = folder / ADAPTER
    return read_object(path) if path.exists() else {}


def teach_additions(folder: Path) -> None:
    """transformers asks PEFT for what a model folder holds beside the base; ours are among it after this."""
    if adapter_config(folder):
        for name in ("bottleneck", "column"):
            importlib.import_module(f"tunesmith.models.{name}")


def linear_targets(model: Model) -> list[str]:
    """Full names, in `model.network`, of the linear layers below the head that are not frozen, or in 4 bits; of a
    network of convolutions also those that mix channels."""
    from transformers.pytorch_utils import Conv1D  # GPT-2's linear layer

    head = {id(module) for module in model.head.modules()}
    named = dict(model.network.named_modules())
    mixing = {name for name, one in named.items() if isinstance(one, nn.Conv2d) and one.groups == 1}
    if len(mixing) < 2:  # a transformer's, for its patches
        mixing = set()
    return [
        name for name, module in named.items()
        if (isinstance(module, nn.Linear | Conv1D) or name in mixing) and id(module) not in head
        and any(parameter.requires_grad or parameter.dtype == torch.uint8 for parameter in module.parameters())
    ]  # fmt: skip


def key_value_targets(names: list[str]) -> list[str]:
    return [name for name in names if _KEYS_AND_VALUES.search(name)]


def feed_forward_targets(names: list[str]) -> list[str]:
    """The linear layer that ends the feed-forward part of each block, or its last convolution."""
    last = {}
    for name in names:
        if found := _RESIDUAL.match(name):
            last[found[1]] = name  # they come in order
    ends = set(last.values())
    return [name for name in names if name in ends or _FEED_FORWARD.search(name)]


def attention_output_targets(names: list[str]) -> list[str]:
    """The linear layer that ends the attention part of each block."""
    others = set(feed_forward_targets(names))
    return [name for name in names if name not in others and _ATTENTION_OUTPUT.search(name)]


def add_to(model: Model, config: PeftConfig, seed: int) -> Adapted:
    """`model.network` with the additions of a PEFT `config`, in place: they and a new head move, nothing else.

    Returns the PeftModel, for saving and merging. Raises OptionError when nothing can be added.
    """
    from peft import get_peft_model

    from tunesmith.models.tuner import look_like

    if not config.target_modules:
        raise OptionError(
            f"This method finds no layer in {type(model.network).__name__} that it could add to: all are frozen, "
            "or of names that it does not know.",
            "Use method=lora, which adds to every linear layer, or freeze less.",
        )
    head = [parameter for parameter in new_head(model) if parameter.requires_grad]
    torch.manual_seed(seed)
    with quiet_peft():
        added = get_peft_model(model.network, config)
    for module in added.modules():
        if (base := getattr(module, "base_layer", None)) is not None:
            look_like(module, base)
    for parameter in head:
        parameter.requires_grad_(True)
    if hasattr(model, "adapted"):
        model.adapted = added
    return added


def new_token_targets(model: Model, ids: list[int]) -> dict[str, list[int]] | None:
    """PEFT's `trainable_token_indices`: the rows `ids` of the input embeddings, and of an output layer of its own."""
    if not ids:
        return None
    network, head = model.network, model.head
    table = network.get_input_embeddings()
    layers = {id(module): name for name, module in network.named_modules()}
    found = {layers[id(table)]: ids}
    if head.weight is not table.weight:
        if getattr(head, "bias", None) is not None:  # PEFT would leave it out of the sum
            raise OptionError(
                f"New tokens can not be learned by additions to {type(network).__name__}: its output layer has a bias.",
                "Use method=full, or leave out new_tokens.",
            )
        found[layers[id(head)]] = ids
    return found


def new_head(model: Model) -> list[nn.Parameter]:
    """The parameters of a head that was made for the task; a language model's output layer was trained before."""
    if model.network.get_output_embeddings() is model.head:
        return []
    return list(model.head.parameters())


def trainable_parameters(model: nn.Module) -> int:
    """How many weights move, at some time at least."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def moving(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are not frozen, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def split_head(model: Model) -> tuple[dict[str, nn.Parameter], dict[str, nn.Parameter]]:
    """The moving parameters below the head, and those of the head, by name."""
    head = {id(parameter) for parameter in model.head.parameters()}
    named = moving(model)
    below = {name: parameter for name, parameter in named.items() if id(parameter) not in head}
    return below, {name: parameter for name, parameter in named.items() if name not in below}


@contextmanager
def quiet_peft() -> Iterator[None]:
    """What peft warns of and nobody needs to act on: attributes that transformers has renamed, and layers whose
    weights lie the other way round."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to")
        yield


def checkpoint_activations(network: Network, **words: object) -> None:
    """Compute the insides of blocks again in the backward pass; `words` are those of torch's `checkpoint`. Raises
    OptionError for a network that can not."""
    if not network.supports_gradient_checkpointing:
        raise OptionError(
            f"gradient_checkpointing: a {type(network).__name__} can not compute its blocks again.",
            "Leave it out, and set a smaller batch_size where memory is short.",
        )
    # transformers 5.2x has renamed the switch
    switch = getattr(network, "activation_checkpointing_enable", None) or network.gradient_checkpointing_enable
    switch({"use_reentrant": False, **words})


def virtual_tokens(model: Network | Adapted | None) -> int:
    """How many virtual tokens stand before what `model` reads: of a PeftModel that is not switched off, else 0."""
    config = _active(model)
    return int(config.num_virtual_tokens) if config is not None else 0


def is_prefix(model: Network | Adapted) -> bool:
    config = _active(model)
    return config is not None and config.peft_type == "PREFIX_TUNING"


def _active(model: Network | Adapted | None) -> PromptLearningConfig | None:
    if model is None or not hasattr(model, "peft_config") or not model.has_active_enabled_adapter:
        return None
    config = model.peft_config[model.active_adapter]
    return config if config.is_prompt_learning else None
