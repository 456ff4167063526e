"""Pictures to boxes around the things in them."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from datasets import Dataset
from PIL import Image, ImageDraw
from pydantic import Field
from torch import Tensor

from tunesmith.core import registry
from tunesmith.core.events import Emit
from tunesmith.data.types import Kind
from tunesmith.engine import box_fusion, box_loss
from tunesmith.engine.augment_options import AugmentOptions
from tunesmith.engine.detected import CROWD, EncodedDetections, as_sets
from tunesmith.engine.objective import RowObjective, SetObjective
from tunesmith.engine.picture_task import SeenTask
from tunesmith.engine.protocols import Toy
from tunesmith.models import tiny_convnet
from tunesmith.models.bundle import Bundle
from tunesmith.models.detection import Form
from tunesmith.models.whole_picture_processor import usual_shape

SIDES = (320, 480, 640)
"""Pixels of the longer side of what our detector reads, where nothing is asked: the least that shows enough."""
_SEEN = 24
"""Pixels across of a thing that is found well: three places of the finest map."""
_ENLARGED = 1.25
"""Most that pictures are enlarged to show more: there is no more to see."""


class ObjectDetectionOptions(AugmentOptions):
    image_size: int | None = Field(default=None, ge=32, le=2048)
    """Pixels of the longer side of what is read of each picture; the other follows from the shape of the training
    pictures. When not given, 320, or 480 or 640 where things of a label are small, or as a detector of transformers was
    made for. Time grows with its square."""


class ObjectDetection(SeenTask):
    Options = ObjectDetectionOptions
    options: ObjectDetectionOptions
    summary: ClassVar[str] = "boxes around the things in a picture, each with a label"
    kinds: ClassVar[tuple[Kind, ...]] = ("boxes",)
    loader: ClassVar[str] = "detection"
    usual_method: ClassVar[str | None] = "full"
    method_defaults: ClassVar[Mapping[str, tuple[float, int]]] = {
        "full": (1e-3, 30), "gradual": (1e-3, 30), "head": (2e-3, 30), "lora": (2e-3, 40), "scratch": (1e-3, 100),
    }  # fmt: skip
    usual_patience: ClassVar[int | None] = 10
    """Which boxes are found changes much from epoch to epoch as long as steps are large."""
    metrics: tuple[str, ...] = ("map", "map50", "map75")
    probe_loss: None = None
    kind: Kind = "boxes"
    _form: Form = "dense"
    _side: int = SIDES[0]
    _shape: float = 1.0
    """Width by height of the training pictures, the median."""

    def fit(self, kind: Kind, label_names: list[str] | None, train_targets: Sequence[Any], emit: Emit) -> None:
        super().fit(kind, label_names, train_targets, emit)
        shapes = [target["width"] / target["height"] for target in train_targets]
        self._shape = usual_shape(shapes)
        self._side = usual_side(train_targets)

    def load(self, model: str, emit: Emit) -> Bundle:
        loaded: Bundle = registry.get("models.loaders", self.loader).base(
            model, label_names=self.label_names, longest=self.options.image_size, usual=self._side,
            shape=self._shape, emit=emit,
        )  # fmt: skip
        self._form = loaded.model.form
        self.equip(loaded)
        return loaded

    def encode(
        self, rows: Dataset, bundle: Bundle, folder: Path, emit: Emit, check: Callable[[], None]
    ) -> EncodedDetections:
        return EncodedDetections.of(super().encode(rows, bundle, folder, emit, check))  # type: ignore[arg-type]

    def targets(self, values: Sequence[Any]) -> Any:
        """Of each row float32 [k, 5]: label, and box as shares of the picture."""
        found = []
        for one in self.truth(values):
            true = one.scaled((1.0, 1.0))
            kinds = np.where(true.crowd, CROWD, true.labels)
            found.append(np.column_stack([kinds, true.boxes]).astype(np.float32))
        return found

    def objective(self, plain: RowObjective, bundle: Bundle) -> RowObjective:
        return plain if self._form == "dense" else SetObjective.of(plain, as_sets)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return box_loss.loss(logits, targets, self._form)

    def kept(self, outputs: Tensor) -> Tensor:
        """The surest boxes, as `box_loss.kept` has them; of several looks at a picture put together."""
        if outputs.dim() == 3:
            return box_loss.kept(outputs, self._form)
        return box_fusion.fused(torch.stack([box_loss.kept(look, self._form) for look in outputs.unbind(1)], 1))

    def scores(self, logits: np.ndarray) -> np.ndarray:
        return logits

    def state(self) -> dict[str, Any]:
        return {**super().state(), "form": self._form}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self._form = state["form"]

    @classmethod
    def toys(cls) -> list[Toy]:
        rows, files = [], {}
        for number in range(10):
            boxes, files[f"shapes-{number}.png"] = _drawn(number)
            objects = {"bbox": [box for _, box in boxes], "categories": [label for label, _ in boxes]}
            rows.append({"image": f"shapes-{number}.png", "objects": objects})
        words = {"task": "object-detection", "image_size": 64, "augment": "none"}
        return [Toy(rows, words, tiny_convnet.write, reaches=0.0, files=files)]


def usual_side(targets: Sequence[Mapping[str, Any]]) -> int:
    """Of SIDES the least at which the things of every label are `_SEEN` pixels across, by the median of the label; of
    pictures that are smaller themselves the first that is not much larger than they are."""
    shares: dict[str, list[float]] = {}
    for target in targets:
        longer = max(target["width"], target["height"])
        for one in target["boxes"]:
            if one["used"]:
                left, top, right, bottom = one["box"]
                area = (right - left) * (bottom - top)
                shares.setdefault(one["label"], []).append(math.sqrt(area) / longer)
    least = min((float(np.median(some)) for some in shares.values()), default=1.0)
    own = float(np.median([max(target["width"], target["height"]) for target in targets]))
    fitting = [side for side in SIDES if side <= _ENLARGED * own] or [SIDES[0]]
    return next((side for side in fitting if side * least >= _SEEN), fitting[-1])


def _drawn(seed: int) -> tuple[list[tuple[str, list[int]]], bytes]:
    """A small picture of a warm and a cold shape, as a file, with their boxes."""
    chance = np.random.default_rng(seed)
    image = Image.fromarray(chance.integers(100, 131, (64, 64, 3)).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    boxes = []
    for at, (label, colour) in enumerate((("warm", (220, 60, 40)), ("cold", (30, 80, 220)))):
        width, height = (int(side) for side in chance.integers(16, 27, 2))
        left, top = int(chance.integers(0, 5)) + 32 * at, int(chance.integers(0, 36))
        draw.rectangle((left, top, left + width - 1, top + height - 1), fill=colour)
        boxes.append((label, [left, top, width, height]))
    content = io.BytesIO()
    image.save(content, "PNG")
    return boxes, content.getvalue()
