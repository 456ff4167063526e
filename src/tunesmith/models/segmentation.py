"""A network that gives a class for each pixel: ours, or one of transformers' (SegFormer and its kin, and those that
answer with a set of masks: MaskFormer, Mask2Former)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from tunesmith.models.mirrors import Mirrored
from tunesmith.models.model import Model
from tunesmith.models.norms import Norms
from tunesmith.models.types import Network

OWN = "tunesmith_segmenter"
"""What our own type is called."""
HEADS = ("decode_head", "auxiliary_head", "class_predictor", "segmentation_head", "classifier")
"""What the parts of transformers' networks that give the answers are called."""
_LEAST = 1e-6


class SegmentationModel(Mirrored, Model):
    """`network` is an `AutoModelForSemanticSegmentation` or an `AutoModelForUniversalSegmentation`."""

    prompted: ClassVar[None] = None

    def __init__(self, network: Network, size: tuple[int, int]) -> None:
        super().__init__(network)
        self._size = size
        self.norms = Norms(network)
        self._own = network.config.model_type == OWN
        base = network.backbone.modules() if self._own else ()
        self.by_channel = any(isinstance(one, nn.Conv2d) and one.groups > 1 for one in base)
        """Whether the base below our way up has convolutions of each channel alone."""

    @property
    def sets(self) -> bool:
        """Whether it answers with a set of masks, each with a class."""
        return hasattr(self.network, "class_predictor")

    @property
    def head(self) -> nn.Module:
        """What gives the answers: of ours the way up too."""
        own = getattr(self.network, "head", None)
        if isinstance(own, nn.Module):
            return own
        return nn.ModuleList(part for name in HEADS if isinstance(part := getattr(self.network, name, None), nn.Module))

    @property
    def width(self) -> int:
        for name in ("hidden_size", "decoder_hidden_size", "hidden_dim"):
            if isinstance(found := getattr(self.config, name, None), int):
                return found
        return 256

    @property
    def outputs(self) -> tuple[int, ...]:
        return self._size

    @property
    def float32_names(self) -> frozenset[str]:
        """Batch normalisation, which computes in float32 whatever it is given, and our own head; all of a network that
        answers with a set, which reads its maps between pixels."""
        own = getattr(self.network, "head", None)
        parts = [self.network] if self.sets else [*self.norms.every, *([own] if isinstance(own, nn.Module) else [])]
        kept = {id(parameter) for part in parts for parameter in part.parameters()}
        return frozenset(name for name, parameter in self.named_parameters() if id(parameter) in kept)

    def body_parameters(self) -> list[nn.Parameter]:
        """Every parameter that is not the head's."""
        head = {id(parameter) for parameter in self.head.parameters()}
        return [parameter for parameter in self.network.parameters() if id(parameter) not in head]

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Logits float32 [b, classes, height, width] from 'pixel_values' [b, 3, height, width]; of several looks at a
        picture the logarithm of their mean likelihoods."""
        self.norms.settle(self.training)
        found = [(self._seen(pixels), axes) for pixels, axes in self.looks(batch["pixel_values"])]
        if len(found) == 1:
            return found[0][0]
        likely = torch.stack([logits.softmax(1).flip(axes) for logits, axes in found]).mean(0)
        return likely.clamp_min(_LEAST).log()

    def _seen(self, pixels: Tensor) -> Tensor:
        if self._own:  # on a processor convolutions of each channel alone are quicker so
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        found: Any = self.network(pixel_values=self._as_weights(pixels))
        logits = _of_set(found) if self.sets else found.logits
        return functional.interpolate(logits.float(), size=pixels.shape[-2:], mode="bilinear", align_corners=False)

    def own_loss(self, batch: dict[str, Tensor], masks: list[Tensor], classes: list[Tensor]) -> Tensor:
        """The mean loss of a batch as the authors of a network that answers with a set have it. masks: for each picture
        float32 [k, height, width]; classes: int64 [k]."""
        self.norms.settle(self.training)
        pixels = self._as_weights(batch["pixel_values"])
        found: Any = self.network(pixel_values=pixels, mask_labels=masks, class_labels=classes)
        return found.loss.float().sum()

    def fold(self) -> Network:
        """The network as transformers knows it."""
        return self.network

    def _as_weights(self, pixels: Tensor) -> Tensor:
        return pixels.to(next(self.network.parameters()).dtype)


def _of_set(found: Any) -> Tensor:
    """Logarithms of the classes' shares of a pixel [b, classes, h, w], of masks and their classes (Cheng et al. 2021,
    MaskFormer, section 3.4: semantic inference)."""
    classes = found.class_queries_logits.float().softmax(-1)[..., :-1]
    masks = found.masks_queries_logits.float().sigmoid()
    shares = torch.einsum("bqc,bqhw->bchw", classes, masks)
    return (shares / shares.sum(1, keepdim=True).clamp_min(_LEAST)).clamp_min(_LEAST).log()
