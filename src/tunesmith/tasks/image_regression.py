"""Pictures to a number."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from PIL import Image

from tunesmith.engine.augment_options import PictureOptions
from tunesmith.engine.picture_task import PictureTask
from tunesmith.engine.protocols import Toy
from tunesmith.engine.regression import Regression, RegressionOptions
from tunesmith.models.processor import plain


class ImageRegressionOptions(RegressionOptions, PictureOptions):
    augment: Literal["auto", "none", "light", "standard", "strong"] = "none"
    """How far training pictures are changed at random, anew in every epoch: none, as numbers may depend on how large or
    light a thing is, light (crops, a little brightness), standard (also turned by up to 10 degrees, colours, parts
    erased), strong (also two operations of RandAugment); auto is standard."""


class ImageRegression(PictureTask, Regression):
    Options = ImageRegressionOptions
    options: ImageRegressionOptions
    summary: ClassVar[str] = "a number for a picture"
    method_defaults: ClassVar[Mapping[str, tuple[float, int]]] = {"scratch": (2e-3, 20)}

    @classmethod
    def toys(cls) -> list[Toy]:
        files = {f"{number:02}.png": _drawn(number) for number in range(10)}
        rows: list[dict[str, Any]] = [
            {"image": name, "distance": 10.0 * abs(at - 4) + 0.5 * at} for at, name in enumerate(files)
        ]
        return [Toy(rows, {"target": "distance"}, _tiny_transformer, reaches=13.0, rate=2e-4, files=files)]


def _tiny_transformer(folder: Path) -> None:
    """A small vision transformer with random weights."""
    import torch
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, patch_size=8, image_size=32
    )
    ViTModel(config).save_pretrained(folder)
    plain(32).save(folder)


def _drawn(number: int) -> bytes:
    """A small grey picture, as a file, of which a linear head does not know everything."""
    noise = np.random.default_rng(number).integers(-60, 61, (16, 16, 3))
    content = io.BytesIO()
    Image.fromarray((100 + 4 * number + noise).clip(0, 255).astype(np.uint8)).save(content, "PNG")
    return content.getvalue()
