"""Pictures to one label of several or to any number of labels."""

from __future__ import annotations

import io
from typing import Any, ClassVar, Literal

import numpy as np
from PIL import Image

from tunesmith.engine.augment_options import PictureOptions
from tunesmith.engine.classification import Classification, ClassificationOptions
from tunesmith.engine.objective import RowObjective
from tunesmith.engine.picture_task import PictureTask
from tunesmith.engine.protocols import Toy
from tunesmith.models import tiny_convnet
from tunesmith.models.bundle import Bundle


class ImageClassificationOptions(ClassificationOptions, PictureOptions):
    sampling: Literal["plain", "balanced"] = "plain"
    """How often training pictures come in an epoch: each once (plain), or those of rare labels as often as those of
    frequent ones (balanced)."""


class ImageClassification(PictureTask, Classification):
    Options = ImageClassificationOptions
    options: ImageClassificationOptions
    summary: ClassVar[str] = "one label, or any number of labels, for a picture"

    def objective(self, plain: RowObjective, bundle: Bundle) -> RowObjective:
        if self.options.sampling == "balanced":
            assert plain.rows.targets is not None
            plain.chances = _balanced(plain.rows.targets[plain.positions])
        return plain

    @classmethod
    def toys(cls) -> list[Toy]:
        files = {f"warm-{number}.png": _drawn(number, (200, 60, 40)) for number in range(5)}
        files |= {f"cold-{number}.png": _drawn(number, (30, 80, 210)) for number in range(5, 10)}
        one: list[dict[str, Any]] = [{"image": name, "label": name[:4]} for name in files]
        many = [{"image": name, "labels": ["warm", "red"] if name[0] == "w" else ["cold"]} for name in files]
        return [
            Toy(rows, {"label_smoothing": 0.0, **given}, tiny_convnet.write, reaches=0.9, files=files)
            for rows, given in ((one, {}), (many, {"target": "labels"}))
        ]


def _balanced(targets: np.ndarray) -> np.ndarray:
    """How often each row is to come, float64 [n], for labels int64 [n], or float32 [n, labels], where a row counts by
    the rarest label that it has."""
    if targets.ndim == 1:
        return 1 / np.bincount(targets)[targets]
    rare = 1 / np.maximum(targets.sum(0, dtype=np.float64), 1)
    return np.where(targets.any(1), (targets * rare).max(1), rare.min())


def _drawn(seed: int, colour: tuple[int, int, int]) -> bytes:
    """A small picture of about one colour, as a file."""
    noise = np.random.default_rng(seed).integers(-25, 26, (16, 16, 3))
    content = io.BytesIO()
    Image.fromarray((np.array(colour) + noise).astype(np.uint8)).save(content, "PNG")
    return content.getvalue()
