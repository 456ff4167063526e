"""A small convolutional network with random weights: for pictures, where no trained base is at hand."""

from __future__ import annotations

from pathlib import Path

from tunesmith.core.files import full_disk_as_oserror, new_folder
from tunesmith.models.pretrained import quiet_transformers
from tunesmith.models.processor import plain

SIDE = 64
"""Pixels of a side of its pictures."""
_SEED = 0


def write(folder: Path) -> None:
    """The network as a model folder of transformers, the same weights on every machine. Raises OSError."""
    import torch
    from transformers import ResNetConfig, ResNetModel

    config = ResNetConfig(
        num_channels=3, embedding_size=32, hidden_sizes=[32, 64, 128, 192], depths=[1, 1, 1, 1], layer_type="basic",
        downsample_in_first_stage=False,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(_SEED)
        network = ResNetModel(config)
    with new_folder(folder) as aside, full_disk_as_oserror(), quiet_transformers():
        network.save_pretrained(aside)
        plain(SIDE).save(aside)
