"""How fast a network that reads pictures may learn, by what it is made of."""

from __future__ import annotations

from tunesmith.core.errors import ModelError
from tunesmith.models import catalog
from tunesmith.models.safety import read_config

_ROBUST = frozenset({
    "efficientnet_lite", "efficientnet", "resnet", "regnet", "mobilenet_v1", "mobilenet_v2", "bit", "tunesmith_module",
})  # fmt: skip
"""Types with a normalisation after every convolution, which takes up steps that are too large."""
_GENTLY = 0.1
"""Of transformers and ConvNeXt: what their authors fine-tune with is a tenth of what these take."""


def factor(model: str) -> float:
    """What the usual learning rate of pictures is multiplied by for the base called `model`."""
    try:
        source = catalog.find(model)
        if source.folder is not None:
            return 1.0 if read_config(source.folder, model)["model_type"] in _ROBUST else _GENTLY
    except ModelError:  # who loads it says what is wrong
        return 1.0
    alias = model if source.entry is None else source.entry.alias
    robust = source.hub_id is None or any(part in alias for part in ("resnet", "mobilenet", "regnet", "efficientnet"))
    return 1.0 if robust else _GENTLY
