"""Maps of features at several strides, from a network that reads pictures: what detection and segmentation stand on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tunesmith.core.errors import ModelError
from tunesmith.models.types import Network


class Backbone(nn.Module):
    """`network`: an EfficientNet-Lite, or one of transformers whose hidden states are maps [b, channels, h, w] (ResNet,
    ConvNeXt, Swin, MobileNet), with or without a head.

    `strides`: pixels of a side of the picture for each place of a map, ascending, of each stride the last map;
    `channels`: of each of these maps; `places`: of each among all maps of the network. Raises
    ModelError for a network without maps.
    """

    def __init__(self, network: Network, name: str = "", side: int = 64):
        super().__init__()
        self.body: Network = network.base_model
        probed = self._probe(side, name)
        self.strides: tuple[int, ...] = tuple(probed)
        self.channels: tuple[int, ...] = tuple(channels for channels, _ in probed.values())
        self.places: list[int] = [place for _, place in probed.values()]

    def feature_maps(self, pixel_values: Tensor) -> list[Tensor]:
        """A map [b, channels, height / stride, width / stride] for each stride, from float [b, 3, height, width]."""
        every = every_map(self.body, pixel_values)
        return [every[place] for place in self.places]

    forward = feature_maps

    @torch.no_grad()
    def _probe(self, side: int, name: str) -> dict[int, tuple[int, int]]:
        """stride -> (channels, place among all maps), of the last map of each stride."""
        training = self.body.training
        parameter = next(self.body.parameters())
        blank = torch.zeros(1, 3, side, side, dtype=parameter.dtype, device=parameter.device)
        maps = self.body.eval() and every_map(self.body, blank)
        self.body.train(training)
        found = {round(side / one.shape[2]): (one.shape[1], place) for place, one in enumerate(maps) if one.dim() == 4}
        if not found:
            raise ModelError(
                f"The model {name!r} ({self.body.config.model_type}) gives no maps of features.",
                "Use a convolutional base: efficientnet-lite0, tiny-convnet, or a ResNet, ConvNeXt, Swin or MobileNet.",
            )
        return dict(sorted(found.items()))


def every_map(network: Any, pixel_values: Tensor) -> list[Tensor]:
    """All hidden states of a network, in its order; [] where it gives none."""
    own: Callable[[Tensor], list[Tensor]] | None = getattr(network, "feature_maps", None)
    if own is not None:
        return own(pixel_values)
    found = network(pixel_values, output_hidden_states=True, return_dict=True)
    # Swin's stand in `reshaped_hidden_states` as maps
    return list(getattr(found, "reshaped_hidden_states", None) or found.hidden_states or ())
