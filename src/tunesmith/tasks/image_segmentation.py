"""Pictures to a class for each of their pixels."""

from __future__ import annotations

import base64
import io
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from datasets import Dataset
from PIL import Image, ImageDraw
from pydantic import Field
from torch import Tensor

from tunesmith.core import registry
from tunesmith.core.errors import OptionError, did_you_mean
from tunesmith.core.events import Decided, Emit
from tunesmith.core.spec import Words
from tunesmith.data.masks import Mask
from tunesmith.data.pictures import on_all_cores
from tunesmith.data.types import Kind
from tunesmith.engine.augment_options import AugmentOptions
from tunesmith.engine.encoded import EncodedItems
from tunesmith.engine.invariance import Ask
from tunesmith.engine.masked import EncodedMasks, as_sets, encode_masks, mask_loss
from tunesmith.engine.objective import RowObjective, SetObjective
from tunesmith.engine.picture_task import SeenTask
from tunesmith.engine.protocols import Toy
from tunesmith.models import tiny_convnet
from tunesmith.models.bundle import Bundle
from tunesmith.models.whole_picture_processor import usual_shape

_ENLARGED = 1.5
"""Small pictures are read so many times as large: the base knows things of some hundred pixels, and its largest map has
a place for two pixels of a side."""
_IMBALANCE = 30.0
"""`class_weights=auto` weighs when the most frequent class has this many times the rarest one's pixels. Below that the
Dice loss is enough, and weights would move edges: a class that costs twice as much is given its neighbours' pixels."""
_MOST_WEIGHT = 4.0


class ImageSegmentationOptions(AugmentOptions):
    image_size: int | None = Field(default=None, ge=32, le=2048)
    """Pixels of the longer side of what is read of each picture; the other follows from the shape of the training
    pictures. When not given, one and a half times the usual longer side of these, at least 128 and at most 256, or as
    a network of transformers was made for. Fine edges need more, and time grows with its square. Metrics and answers
    are of the original size, whatever is read."""
    class_weights: Literal["auto", "off"] | dict[str, float] = "auto"
    """What an error on a pixel of each class costs: off (all alike), auto (rare classes more, by the root of how rare
    they are, where classes differ much), or a number for each class."""
    dice: float = Field(default=0.5, ge=0, le=1)
    """Share of the Dice loss, which counts every class of a picture alike, beside the cross entropy of its pixels."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout before the last layer while training, of our own network."""


class ImageSegmentation(SeenTask):
    Options = ImageSegmentationOptions
    options: ImageSegmentationOptions
    summary: ClassVar[str] = "a class for each pixel of a picture, learned from masks"
    kinds: ClassVar[tuple[Kind, ...]] = ("mask",)
    loader: ClassVar[str] = "segmentation"
    usual_method: ClassVar[str | None] = "full"
    usual_patience: ClassVar[int | None] = 10
    """Masks get better until the last steps, which are small."""
    batch_rows: ClassVar[tuple[int, int]] = (4, 8)
    """Thousands of pixels of a picture each have their say; many steps teach more than large ones."""
    epochs_rows: ClassVar[int | None] = 700
    method_defaults: ClassVar[Mapping[str, tuple[float, int]]] = {
        "full": (5e-4, 20), "gradual": (3e-3, 20), "head": (5e-3, 20), "lora": (3e-3, 20), "scratch": (2e-3, 40),
    }  # fmt: skip
    method_options: ClassVar[Mapping[str, Mapping[str, object]]] = {"full": {"head_learning_rate": 5e-3}}
    """Our way up is all new, and nothing is lost in it."""
    metrics: tuple[str, ...] = ("miou", "dice", "pixel_accuracy")
    probe_loss: None = None
    kind: Kind = "mask"
    _shape: float = 1.0
    """Width by height of the training pictures, the median."""
    _side: float = math.inf
    """Pixels of their longer side, the median, enlarged."""
    _weights: Tensor | None = None
    _sets: bool = False

    def fit(self, kind: Kind, label_names: list[str] | None, train_targets: Sequence[Any], emit: Emit) -> None:
        super().fit(kind, label_names, train_targets, emit)
        masks = [Mask.of(target) for target in train_targets]
        shapes = [mask.size[0] / mask.size[1] for mask in masks if min(mask.size) > 0] or [1.0]
        self._shape = usual_shape(shapes)
        if masks:
            self._side = _ENLARGED * float(np.median([max(mask.size) for mask in masks]))
        pixels: Counter[str] = Counter()
        for mask in masks:
            pixels.update(mask.pixels)
        self._weights = self._class_weights(pixels, emit)

    def load(self, model: str, emit: Emit) -> Bundle:
        loaded: Bundle = registry.get("models.loaders", self.loader).base(
            model, label_names=self.label_names, longest=self.options.image_size, shape=self._shape,
            side=self._side, dropout=self.options.dropout, emit=emit,
        )  # fmt: skip
        self._sets = loaded.model.sets
        self.equip(loaded)
        return loaded

    def encode(
        self, rows: Dataset, bundle: Bundle, folder: Path, emit: Emit, check: Callable[[], None]
    ) -> EncodedItems:
        pictures = super().encode(rows, bundle, folder, emit, check)
        index = {name: at for at, name in enumerate(self.label_names or ())}
        written = rows["target"][:]

        def maps() -> Iterator[np.ndarray]:
            return on_all_cores(lambda one: Mask.of(str(one)).read(index), written)

        return encode_masks(maps, len(written), pictures, folder, check)  # type: ignore[arg-type]

    def settle_rows(self, rows: EncodedItems, ask: Ask | None, emit: Emit) -> Words:
        words = super().settle_rows(rows, ask, emit)
        assert isinstance(rows, EncodedMasks)
        # what is painted over is no longer of its class, but a thing of its own with straight edges
        rows.augmentation = replace(rows.augmentation, erase=0.0)
        return words

    def targets(self, values: Sequence[Any]) -> np.ndarray:
        """The rows themselves: their masks lie on disk (`EncodedMasks`)."""
        return np.arange(len(values), dtype=np.int64)

    def objective(self, plain: RowObjective, bundle: Bundle) -> RowObjective:
        return plain if not self._sets else SetObjective.of(plain, as_sets)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        weights = None if self._weights is None else self._weights.to(logits.device)
        return mask_loss(logits, targets, weights, self.options.dice)

    def kept(self, outputs: Tensor) -> Tensor:
        """Class numbers uint8 [b, height, width]."""
        return outputs.argmax(1).to(torch.uint8)

    def scores(self, logits: np.ndarray) -> np.ndarray:
        return logits

    def _class_weights(self, pixels: Counter[str], emit: Emit) -> Tensor | None:
        asked, names = self.options.class_weights, list(self.label_names or ())
        if asked == "off":
            return None
        if isinstance(asked, dict):
            if unknown := sorted(set(asked) - set(names)):
                hint = did_you_mean(unknown[0], names)
                raise OptionError(f"class_weights names {unknown[0]!r}, which is no class of the data.", hint)
            for name, weight in asked.items():
                if not 0 < weight < math.inf:
                    raise OptionError(f"class_weights gives {name!r} {weight:g}; a weight is a number above 0.")
            return torch.tensor([float(asked.get(name, 1.0)) for name in names])
        counts = np.array([max(1, pixels[name]) for name in names], dtype=np.float64)
        ratio = float(counts.max() / counts.min())
        if ratio < _IMBALANCE:
            emit(Decided("class_weights", "off", f"the most frequent class has only {ratio:.1f}x the rarest's pixels"))
            return None
        weights = np.sqrt(counts.sum() / counts)
        weights = np.minimum(weights / weights.min(), _MOST_WEIGHT)
        weights /= float((weights * counts).sum() / counts.sum())  # the mean over pixels stays 1
        told = {name: round(float(one), 2) for name, one in zip(names, weights, strict=True)}
        emit(Decided("class_weights", told, f"the most frequent class has {ratio:.1f}x the rarest one's pixels"))
        return torch.tensor(weights, dtype=torch.float32)

    @classmethod
    def toys(cls) -> list[Toy]:
        rows, files = [], {}
        for number in range(10):
            files[f"shape-{number}.png"], mask = _drawn(number)
            rows.append({"image": f"shape-{number}.png", "mask": mask})
        words = {"task": "image-segmentation", "image_size": 64, "augment": "none", "label_names": ["ground", "shape"]}
        return [Toy(rows, words, tiny_convnet.write, reaches=0.7, rate=1e-2, files=files)]


def _drawn(seed: int) -> tuple[bytes, str]:
    """A small picture of a shape on a ground, as a file, and its mask as a data URI."""
    chance = np.random.default_rng(seed)
    image = Image.fromarray(chance.integers(80, 131, (48, 48, 3)).astype(np.uint8))
    mask = Image.new("L", image.size, 0)
    left, top, width, height = (int(one) for one in (*chance.integers(2, 18, 2), *chance.integers(16, 27, 2)))
    for drawn, colour in ((image, (225, 60, 40)), (mask, 1)):
        draw = ImageDraw.Draw(drawn)
        shape = draw.ellipse if seed % 2 else draw.rectangle
        shape((left, top, left + width, top + height), fill=colour)
    return _png(image), "data:image/png;base64," + base64.b64encode(_png(mask)).decode("ascii")


def _png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()
