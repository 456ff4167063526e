"""Statistics of batch normalisations for weights that no training has come to: those of an average."""

from __future__ import annotations

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from tunesmith.core.events import Emit
from tunesmith.core.files import full_disk_as_oserror, move, scratch
from tunesmith.engine import batching
from tunesmith.engine.inference import in_memory, to_device
from tunesmith.families.predictive.predictor import Model
from tunesmith.models.vision import running_statistics
from tunesmith.runs.reading import OtherData

_ROWS = 2_048
"""Most rows that statistics are made of."""
_TOGETHER = 32


def renew(model: Model, other: OtherData, emit: Emit) -> None:
    """Of a loaded model, the statistics that its weights have on `other`, the mean of those of its batches (Izmailov et
    al. 2018, arXiv 1803.05407, section 3.2), in memory and in its folder. Rows are read as they are, unaugmented."""
    network, folder = model.bundle.model, model.folder
    assert folder is not None
    norms = network.norms
    norms.restart()
    for norm in norms.every:
        norm.reset_running_stats()
        norm.momentum = None  # each batch counts alike
    network.training = True  # the norms gather then, while dropout rests
    try:
        with scratch() as cache, torch.no_grad():
            rows = model.inputs_of(model.read(other, cache, emit))
            with model.encoded(rows) as encoded:
                some = batching.sample(np.arange(len(encoded)), _ROWS, 0)
                device = next(network.parameters()).device
                for start in range(0, len(some), _TOGETHER):
                    in_memory(lambda part: network(to_device(encoded.collate(part), device)),
                              some[start : start + _TOGETHER])  # fmt: skip
    finally:
        network.eval()
    found = {name.removeprefix("network."): one.cpu() for name, one in running_statistics(network).items()}
    for path in sorted(folder.glob("*.safetensors")):
        weights = load_file(path)
        known = {name: one.clone() for name, one in found.items() if name in weights}
        with scratch(path.parent) as aside, full_disk_as_oserror():
            save_file({**weights, **known}, aside / path.name, metadata={"format": "pt"})
            move(aside / path.name, path)
