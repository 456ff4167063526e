"""A network that finds boxes in pictures: ours, or one of transformers' that answers with a set (DETR and its kin)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from tunesmith.models.mirrors import HEIGHT, WIDTH, Axes, Mirrored
from tunesmith.models.model import Model
from tunesmith.models.norms import Norms
from tunesmith.models.types import Network

Form = Literal["dense", "set", "set_with_nothing"]
"""What the answers are: one at each place of some maps; a set of boxes; a set, with a label for nothing (DETR)."""
MOST = 100
"""Boxes that are kept of a picture."""
HEADS = ("class_labels_classifier", "bbox_predictor", "class_embed", "bbox_embed", "enc_score_head", "enc_bbox_head",
          "denoising_class_embed")  # fmt: skip
"""What the parts of transformers' detectors that give the answers are called."""


class DetectionModel(Mirrored, Model):
    """`network` is an `AutoModelForObjectDetection`."""

    prompted: ClassVar[None] = None

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self.norms = Norms(network)

    @property
    def form(self) -> Form:
        if hasattr(self.network, "answers"):
            return "dense"
        return (
            "set" if "rt_detr" in self.config.model_type or self.config.model_type == "d_fine" else "set_with_nothing"
        )

    @property
    def head(self) -> nn.Module:
        """What gives the answers: of ours the maps that are mixed too."""
        if self.form == "dense":
            found: nn.Module = self.network.head
            return found
        return nn.ModuleList(
            module for name, module in self.network.named_modules() if name.rpartition(".")[2] in HEADS
        )

    @property
    def width(self) -> int:
        found = getattr(self.config, "d_model", None) or self.config.hidden_size
        return int(found)

    @property
    def outputs(self) -> tuple[int, ...]:
        return (MOST, 6)

    @property
    def float32_names(self) -> frozenset[str]:
        """All: boxes are learned to a fraction of a pixel."""
        return frozenset(name for name, _ in self.named_parameters())

    def body_parameters(self) -> list[nn.Parameter]:
        """Every parameter that is not the head's."""
        head = {id(parameter) for parameter in self.head.parameters()}
        return [parameter for parameter in self.network.parameters() if id(parameter) not in head]

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Float32 [b, answers, d] from 'pixel_values' [b, 3, height, width]: logits of the labels (and of nothing),
        then left, top, right and bottom as shares of the picture; of a dense form also its place, x, y and strides. Of
        several looks at a picture [b, looks, answers, d], all of them as in the picture itself."""
        self.norms.settle(self.training)
        found = [_turned(self._seen(pixels), axes, self.form) for pixels, axes in self.looks(batch["pixel_values"])]
        return found[0] if len(found) == 1 else torch.stack(found, 1)

    def _seen(self, pixels: Tensor) -> Tensor:
        if self.form == "dense":
            # on a processor convolutions of each channel alone take half the time so
            logits, boxes, places = self.network.answers(pixels.contiguous(memory_format=torch.channels_last))
            return torch.cat([logits, boxes, places.expand(len(logits), -1, -1)], -1).float()
        found: Any = self.network(pixel_values=pixels, **self._mask(pixels))
        return torch.cat([found.logits, corners(found.pred_boxes)], -1).float()

    def own_loss(self, batch: dict[str, Tensor], labels: list[dict[str, Tensor]]) -> Tensor:
        """The mean loss of a batch as the network's authors have it, auxiliary parts included."""
        self.norms.settle(self.training)
        pixels = batch["pixel_values"]
        found: Any = self.network(pixel_values=pixels, labels=labels, **self._mask(pixels))
        loss: Tensor = found.loss
        return loss.float()

    def _mask(self, pixels: Tensor) -> dict[str, Tensor]:
        """All of a picture is there; some networks ask."""
        if self.config.model_type == "yolos":
            return {}
        return {"pixel_mask": torch.ones(len(pixels), *pixels.shape[2:], dtype=torch.long, device=pixels.device)}

    def fold(self) -> Network:
        """The network as transformers knows it."""
        return self.network


def _turned(answers: Tensor, axes: Axes, form: Form) -> Tensor:
    """Answers [..., d] to a mirror image as those to the picture itself."""
    if not axes:
        return answers
    answers, first = answers.clone(), answers.shape[-1] - (8 if form == "dense" else 4)
    for axis, low in ((WIDTH, first), (HEIGHT, first + 1)):
        if axis in axes:
            answers[..., [low, low + 2]] = 1 - answers[..., [low + 2, low]]
            if form == "dense":
                answers[..., low + 4] = 1 - answers[..., low + 4]
    return answers


def corners(boxes: Tensor) -> Tensor:
    """Middle, width and height [..., 4] as left, top, right and bottom."""
    middle, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([middle - half, middle + half], -1)
