"""How pictures become what a network was trained on: size, crop, mean and deviation, as its base says.

transformers' image processor of the base is asked for its numbers and not for its work: pictures stay 8 bits a
colour until they are batched, a quarter of its float32, and Pillow does in threads what it does picture by picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tunesmith.core.errors import ModelError
from tunesmith.models.guard import loading
from tunesmith.models.pretrained import quiet_transformers

PREPROCESSOR = "preprocessor_config.json"
_LARGEST = 2_048
"""Longest side that pictures are made."""


@dataclass(frozen=True)
class PictureProcessor:
    """Pictures of any size to `height` by `width` pixels, and those to the numbers that a network reads."""

    height: int
    width: int
    resample: int
    """Pillow's number of the filter."""
    edge: int | None = None
    """The shorter side is made so long and the middle cut out; None: both sides are made to fit."""
    squash: tuple[int, int] | None = None
    """Height and width that a picture gets before its middle is cut out, where that is not all of it."""
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """A colour from 0 to 255 times `scale` plus `shift` is what the network reads."""
    own: Any = field(default=None, repr=False, compare=False)
    """transformers' processor of the same effect, which is saved beside the model."""

    @property
    def cost(self) -> int:
        """Squares of 16 by 16 pixels, one at least."""
        return max(1, round(self.height * self.width / 256))

    @property
    def stored(self) -> tuple[int, int]:
        """Height and width with the edge that is cut off, as far as every picture has it."""
        height, width = self.squash or (self.edge or self.height, self.edge or self.width)
        # an odd edge would move the middle by half a pixel
        return (
            max(self.height, height - (height - self.height) % 2),
            max(self.width, width - (width - self.width) % 2),
        )  # fmt: skip

    def middle(self, pixels: np.ndarray) -> np.ndarray:
        """Of pictures uint8 [n, *stored, 3] what the network reads, [n, height, width, 3]."""
        top, left = (pixels.shape[1] - self.height) // 2, (pixels.shape[2] - self.width) // 2
        return pixels[:, top : top + self.height, left : left + self.width]

    def pixels(self, image: Image.Image) -> np.ndarray:
        """A picture in RGB as uint8 [height, width, 3], as transformers' processor would resize and crop it."""
        return self.middle(self.stored_pixels(image)[None])[0]

    def stored_pixels(self, image: Image.Image) -> np.ndarray:
        """The same with its edge, uint8 [*stored, 3]."""
        if self.edge is not None:
            short, long = sorted(image.size)
            other = int(self.edge * long / short)
            wide = image.width > image.height
            image = image.resize((other, self.edge) if wide else (self.edge, other), Image.Resampling(self.resample))
        else:
            height, width = self.squash or (self.height, self.width)
            image = image.resize((width, height), Image.Resampling(self.resample))
        return _centre(np.asarray(image), *self.stored)

    def normalise(self, pixels: np.ndarray) -> Tensor:
        """uint8 [n, height, width, 3] as the network reads it, float32 [n, 3, height, width]."""
        found = torch.from_numpy(np.require(pixels, requirements=["C", "W"])).permute(0, 3, 1, 2).to(torch.float32)
        scale, shift = (
            torch.tensor(values, dtype=torch.float32).view(1, 3, 1, 1) for values in (self.scale, self.shift)
        )
        return torch.addcmul(shift, found, scale).contiguous()

    def save(self, folder: Path) -> None:
        """Write preprocessor_config.json, which transformers reads with torchvision and without."""
        with quiet_transformers():
            self.own.save_pretrained(folder)


def read_processor(folder: Path, name: str) -> PictureProcessor:
    """The processor of a model folder. Raises ModelError where it says nothing of its pictures, or wants something
    else of them than one size."""
    if not (folder / PREPROCESSOR).exists():
        raise ModelError(
            f"The model folder of {name!r} has no {PREPROCESSOR}, which says of what size its pictures are.",
            "Get the model anew, as its authors published it.",
        )
    from transformers import AutoImageProcessor

    with quiet_transformers(), loading(folder, "picture processor"):
        own = AutoImageProcessor.from_pretrained(folder, backend="pil", trust_remote_code=False)
    return of_transformers(own, name)


def of_transformers(own: Any, name: str) -> PictureProcessor:
    """What one of transformers' processors (on Pillow) does, as ours. Raises ModelError where that is more than to
    resize, crop and normalise to one size."""
    crop_share = getattr(own, "crop_pct", None)
    if not _is_plain(own, crop_share is not None):
        raise _refused(name, f"its {type(own).__name__} does more than to resize, crop and normalise them")
    size, crop = dict(own.size or {}), dict(own.crop_size or {}) if own.do_center_crop else {}
    edge, squash = size.get("shortest_edge"), None
    if not own.do_resize:
        raise _refused(name, "it takes them in any size")
    if crop_share is not None and edge:
        height = width = edge
        edge = int(edge / crop_share) if edge < 384 else None
    elif edge:
        height, width = crop.get("height"), crop.get("width")
        if size.get("longest_edge") or not height or not width:
            raise _refused(name, "it takes them in any shape")
    elif size.get("height") and size.get("width"):
        squash = (size["height"], size["width"]) if crop else None
        height, width = (crop or size)["height"], (crop or size)["width"]
    else:
        raise _refused(name, f"their size is given as {size}")
    if not 1 <= height <= _LARGEST or not 1 <= width <= _LARGEST or (edge or 1) > 2 * _LARGEST:
        raise _refused(name, f"{height} x {width} pixels is no size that this is made for")
    scale, shift = normal(own)
    return PictureProcessor(height, width, int(own.resample), edge, squash, scale, shift, own)


def plain(
    side: int, *, mean: float | Sequence[float] = 0.5, deviation: float | Sequence[float] = 0.5, resample: int = 2
) -> PictureProcessor:
    """Square pictures of `side` pixels, whatever their shape was; colours, from 0 to 1, less `mean` by `deviation`.
    `resample`: Pillow's number of the filter, 2 bilinear, 3 bicubic."""
    from transformers import ViTImageProcessorPil

    means, deviations = list(_three(mean, 0.0)), list(_three(deviation, 1.0))
    size = {"height": side, "width": side}
    own = ViTImageProcessorPil(size=size, image_mean=means, image_std=deviations, resample=resample)
    return of_transformers(own, "plain")


def _is_plain(own: Any, crops_by_share: bool) -> bool:
    """Whether a processor changes nothing of what transformers' Pillow processors do, but for ConvNeXT's crop."""
    from transformers.image_processing_backends import PilBackend
    from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil

    base = ConvNextImageProcessorPil if crops_by_share else PilBackend
    steps = ("_preprocess", "resize", "center_crop", "rescale", "normalize")
    return (
        isinstance(own, base)
        and all(getattr(type(own), step) is getattr(base, step) for step in steps)
        and not (own.do_pad)
    )


def normal(own: Any) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    factor = float(own.rescale_factor) if own.do_rescale else 1.0
    mean, deviation = (_three(own.image_mean, 0.0), _three(own.image_std, 1.0)) if own.do_normalize else (
        (0.0,) * 3, (1.0,) * 3
    )  # fmt: skip
    scale = tuple(factor / one for one in deviation)
    shift = tuple(-middle / one for middle, one in zip(mean, deviation, strict=True))
    return scale, shift  # type: ignore[return-value]


def _three(value: Any, usual: float) -> tuple[float, ...]:
    if value is None:
        return (usual,) * 3
    return tuple(float(one) for one in value) if isinstance(value, list | tuple) else (float(value),) * 3


def _centre(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """The middle of a picture, uint8 [height, width, 3]; black around one that is smaller."""
    rows, columns = pixels.shape[:2]
    if rows < height or columns < width:
        whole = np.zeros((max(rows, height), max(columns, width), 3), dtype=np.uint8)
        top, left = -(-(whole.shape[0] - rows) // 2), -(-(whole.shape[1] - columns) // 2)
        whole[top : top + rows, left : left + columns] = pixels
        top, left = top + (rows - height) // 2, left + (columns - width) // 2
        return whole[max(0, top) : max(0, top) + height, max(0, left) : max(0, left) + width]
    top, left = (rows - height) // 2, (columns - width) // 2
    return pixels[top : top + height, left : left + width]


def _refused(name: str, why: str) -> ModelError:
    return ModelError(
        f"The model {name!r} can not be given pictures of one size: {why}.",
        "Choose a classifier of pictures such as a ResNet, a ViT, a ConvNeXT or a DeiT.",
    )
