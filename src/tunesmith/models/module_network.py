"""Any module that makes logits of pictures, as a network of transformers: saved and read as the others are.

Importing this module teaches transformers the type. What builds the module is code of a package: see `own_module`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForImageClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import ImageClassifierOutputWithNoAttention

from tunesmith.core.cache import cache_folder
from tunesmith.core.errors import ModelError
from tunesmith.core.files import full_disk_as_oserror, new_folder
from tunesmith.models import own_module
from tunesmith.models.pretrained import quiet_transformers
from tunesmith.models.processor import plain


class ModuleConfig(PreTrainedConfig):
    model_type = "tunesmith_module"

    build: str = ""
    """PACKAGE:FUNCTION, or timm:NAME."""
    image_size: int = 224
    num_channels: int = 3


class ModuleForImageClassification(PreTrainedModel):
    """`module` as it was built, or None: built here, with `config.num_labels` outputs."""

    config_class = ModuleConfig
    base_model_prefix = ""
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    def __init__(self, config: ModuleConfig, module: nn.Module | None = None):
        super().__init__(config)
        if module is None:
            with torch.device("cpu"):  # a user's code may read weights of its own, which a mere outline can not hold
                module = own_module.build(config.build, config.num_labels, pretrained=False)
        for parameter in module.parameters():  # as it was built, and not drawn anew; a head of another size is
            vars(parameter)["_is_hf_initialized"] = True
        self.module = module
        self.num_labels = config.num_labels
        self.post_init()

    def forward(
        self, pixel_values: Tensor, labels: Tensor | None = None, return_dict: bool | None = None, **_: Any
    ) -> ImageClassifierOutputWithNoAttention | tuple[Any, ...]:
        """`logits` [b, labels], and the loss where `labels` are given."""
        logits = self.module(pixel_values)
        loss = None if labels is None else self.loss_function(labels, logits, self.config)
        answer = ImageClassifierOutputWithNoAttention(loss=loss, logits=logits)
        return answer.to_tuple() if return_dict is False else answer


def write(name: str) -> Path:
    """The model as a folder in the user's cache, written anew where what is built differs from what lies there. Raises
    ModelError."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = own_module.build(name, 2)
    side = getattr(module, "image_size", 224)
    if not isinstance(side, int) or not 1 <= side <= 2_048:
        raise ModelError(f"{name}: image_size is {side!r}; expected pixels of a side, 1 to 2,048.")
    network = ModuleForImageClassification(ModuleConfig(build=name, num_labels=2, image_size=side), module)
    state = {key: one.detach().contiguous().clone() for key, one in network.state_dict().items()}
    digest = hashlib.sha256(str(module).encode())
    for key, one in state.items():
        digest.update(key.encode() + one.flatten().view(torch.uint8).numpy().tobytes())
    folder = cache_folder() / "models" / f"{name.replace(':', '-')}-{digest.hexdigest()[:16]}"
    if (folder / "config.json").exists():
        return folder
    processor = plain(side, mean=getattr(module, "image_mean", 0.5), deviation=getattr(module, "image_std", 0.5))
    try:
        with new_folder(folder) as aside, full_disk_as_oserror(), quiet_transformers():
            network.save_pretrained(aside, state_dict=state)
            processor.save(aside)
    except OSError as error:
        raise ModelError(
            f"The model {name!r} is kept in {folder}, which can not be written: {error.strerror}.",
            "Set XDG_CACHE_HOME to a folder that can be.",
        ) from None
    return folder


AutoConfig.register(ModuleConfig.model_type, ModuleConfig, exist_ok=True)
AutoModelForImageClassification.register(ModuleConfig, ModuleForImageClassification, exist_ok=True)
