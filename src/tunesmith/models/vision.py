"""A network that reads pictures, with a linear head: ResNet, ViT, ConvNeXT and other classifiers of transformers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tunesmith.models.mirrors import Mirrored
from tunesmith.models.norms import Norms
from tunesmith.models.pooled import PooledNetwork
from tunesmith.models.saliency import saliency
from tunesmith.models.types import Network


class VisionModel(Mirrored, PooledNetwork):
    """`network` is an `AutoModelForImageClassification`. What its head reads is the mean of all looks at a picture, and
    so are its logits."""

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        convolutions = [one for one in network.modules() if isinstance(one, nn.Conv2d)]
        self.by_channel = any(one.groups > 1 for one in convolutions)
        """Whether it has convolutions of each channel alone."""
        self._layout = torch.channels_last if len(convolutions) > 1 else torch.contiguous_format
        """A third faster through convolutions on a processor; a transformer has one, for its patches."""
        self.norms = Norms(network)

    @property
    def pooling(self) -> str:
        """Of the patches or places of a picture the network makes one vector in its own way, of each look at it."""
        return "own" if not self.mirrors else f"own, with mirrors {self.mirrors}"

    @property
    def float32_names(self) -> frozenset[str]:
        """Batch normalisation, which computes in float32 whatever it is given, and the head."""
        kept = {id(parameter) for norm in [*self.norms.every, self.head] for parameter in norm.parameters()}
        return frozenset(name for name, parameter in self.named_parameters() if id(parameter) in kept)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Logits [rows, outputs], from 'pixel_values' [rows, 3, height, width], or from 'features' computed before."""
        features = batch["features"] if "features" in batch else self.features(batch)
        return self.head(features.to(self.head.weight.dtype))

    def features(self, batch: dict[str, Tensor]) -> Tensor:
        """What the head reads, float32 [rows, hidden]."""
        self.norms.settle(self.training)
        pixels = batch["pixel_values"].to(next(self.network.parameters()).dtype, memory_format=self._layout)
        found = [self.seen({"pixel_values": look}, self.head).float() for look, _ in self.looks(pixels)]
        return found[0] if len(found) == 1 else torch.stack(found).mean(0)

    def saliency(self, pixels: Tensor, outputs: Tensor) -> Tensor | None:
        """As `models.saliency` has it."""
        return saliency(self.network, pixels, outputs)

    def fold(self) -> Network:
        """The network as transformers knows it."""
        return self.network


def running_statistics(model: nn.Module) -> dict[str, Tensor]:
    """What layers keep of the rows that they saw (batch normalisation), by name: it changes with training as weights
    do, without a gradient."""
    return {
        name: buffer for name, buffer in model.named_buffers()
        if name.rpartition(".")[2] in ("running_mean", "running_var", "num_batches_tracked")
        and isinstance(buffer, torch.Tensor)
    }  # fmt: skip
