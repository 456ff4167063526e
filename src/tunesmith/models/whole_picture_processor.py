"""Pictures as a detector reads them: all of one size, each side made to fit, so that shares of a picture stay what they
are. What its base says of colours is kept; its size is kept, or chosen by a run, and saved with the model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tunesmith.core.errors import ModelError
from tunesmith.core.files import write_text
from tunesmith.models.model_json import read_object
from tunesmith.models.processor import PREPROCESSOR, PictureProcessor, normal

_STEP = 32
"""Sides are multiples of this: what the coarsest map is made of."""
_LARGEST = 2_048
_LONGEST_SHAPE = 4.0
"""Most that what is read is wider than high, or the other way round."""
_USUAL_TYPE = "RTDetrImageProcessor"
"""transformers' processor whose answers are shaped as those of our own detector."""


@dataclass(frozen=True)
class _Settings:
    """What is written beside a model, for transformers and for us."""

    values: dict[str, Any]

    def save_pretrained(self, folder: Path) -> None:
        write_text(Path(folder) / PREPROCESSOR, json.dumps(self.values, indent=2, sort_keys=True) + "\n")


def whole_picture_processor(
    folder: Path,
    name: str,
    *,
    longest: int | None = None,
    shape: float = 1.0,
    own: bool = False,
    usual: str = _USUAL_TYPE,
) -> PictureProcessor:
    """Of a model folder: the size that it says, or one whose longer side has `longest` pixels, and `shape` times as
    many across as down. `own`: the model is one of ours, or becomes one, and
    `usual` transformers' processor for its answers. Raises ModelError."""
    if not (folder / PREPROCESSOR).exists():
        raise ModelError(
            f"The model folder of {name!r} has no {PREPROCESSOR}, which says how its pictures are made.",
            "Get the model anew, as its authors published it.",
        )
    given = read_object(folder / PREPROCESSOR)
    size = given.get("size")
    size = {"height": size, "width": size} if isinstance(size, int) else dict(size or {})
    if longest is None and size.get("height") and size.get("width"):
        height, width = int(size["height"]), int(size["width"])
    else:
        longest = longest or int(size.get("shortest_edge") or size.get("height") or 640)
        height, width = fitted(longest, shape)
    if not 1 <= height <= _LARGEST or not 1 <= width <= _LARGEST:
        raise ModelError(f"{height} x {width} pixels is no size of pictures that this is made for.")
    try:
        scale, shift = normal(_Fields(given))
    except (TypeError, ValueError, ZeroDivisionError):
        raise ModelError(f"{folder / PREPROCESSOR} does not say how colours become numbers.") from None
    kept = {key: given[key] for key in ("image_mean", "image_std", "rescale_factor", "do_rescale", "do_normalize")
            if given.get(key) is not None}  # fmt: skip
    kept |= {
        "image_processor_type": usual if own else given.get("image_processor_type", _USUAL_TYPE),
        "do_resize": True, "size": {"height": height, "width": width}, "do_pad": False,
        "resample": int(Image.Resampling.BILINEAR),
    }  # fmt: skip
    return PictureProcessor(
        height, width, int(Image.Resampling.BILINEAR), scale=scale, shift=shift, own=_Settings(kept)
    )  # fmt: skip


def usual_shape(shapes: Sequence[float]) -> float:
    """The median shape of pictures (width by height), within bounds."""
    return float(np.clip(np.median(shapes), 1 / _LONGEST_SHAPE, _LONGEST_SHAPE))


def fitted(longest: int, shape: float) -> tuple[int, int]:
    """Height and width: the longer one `longest`, the other by the `shape` (width by height), in steps of 32."""
    wide, high = (1.0, 1 / shape) if shape >= 1 else (shape, 1.0)
    height, width = (max(_STEP, round(longest * side / _STEP) * _STEP) for side in (high, wide))
    return height, width


class _Fields:
    """Settings of JSON, whose entries are read as attributes; what is not there is as transformers has it."""

    def __init__(self, given: dict[str, Any]):
        self.do_rescale = given.get("do_rescale", True)
        self.rescale_factor = given.get("rescale_factor", 1 / 255)
        self.do_normalize = given.get("do_normalize", True)
        self.image_mean = given.get("image_mean", [0.0] * 3)
        self.image_std = given.get("image_std", [1.0] * 3)
