"""A class for each pixel of a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from datasets import Dataset
from PIL import Image

from tunesmith.core.errors import DataError
from tunesmith.core.events import Emit
from tunesmith.core.measured import Measured
from tunesmith.data.masks import IGNORED, Mask
from tunesmith.data.picture_sizes import size_of
from tunesmith.data.pictures import read_picture
from tunesmith.engine.batching import sample
from tunesmith.engine.target import Target
from tunesmith.evaluate import drawing, masks

_PLACES = 64
"""Side of the grid on which the most frequent class of each place is counted."""
_MOST = 1_000
"""Training pictures that the baselines learn from."""
_BITS = 4
"""Of each colour, in the baseline that goes by the colour of a pixel alone."""


class MaskTarget(Target):
    """Predictions are class numbers uint8 [n, height, width], at the size of the network."""

    said: ClassVar[str] = "a class for each pixel"
    score: ClassVar[str] = "miou"
    simple: ClassVar[str | None] = "pixel_colours"
    price: ClassVar[str | None] = None
    has_probabilities: ClassVar[bool] = False
    one_answer: ClassVar[bool] = False
    at_once: ClassVar[int] = 32

    def truth(self, values: Sequence[Any]) -> Any:
        """Checked masks; their pixels are read when they are needed."""
        return [Mask.of(value) for value in values]

    def measure(self, predictions: Any, truth: Any, thresholds: np.ndarray | None = None) -> Measured:
        if isinstance(predictions, masks.MaskCounts):
            return predictions
        return masks.count(predictions, truth, self.label_names or [])

    def difference(self, one: np.ndarray, other: np.ndarray) -> float:
        """Share of the pixels that are of another class. At an edge two classes can be as likely as each other, and
        other batches round otherwise: a thousandth of the pixels is nothing."""
        return max(0.0, float((one != other).mean()) - 1e-3) if one.size else 0.0

    def answers(
        self, predictions: Any, thresholds: np.ndarray | None, threshold: float | None = None,
        rows: Dataset | None = None,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """{"shares", "mask"}: the share of each class that occurs, the largest first; and a picture of class numbers
        with a palette, of the size of what was read."""
        asked = [None] * len(predictions) if rows is None else rows["image"][:]
        return [self._answer(one, picture) for one, picture in zip(predictions, asked, strict=True)]

    def _answer(self, classes: np.ndarray, picture: str | None) -> dict[str, Any]:
        size = None if picture is None else size_of(picture)
        whole = classes if size is None else masks.resized(classes, (size.height, size.width))
        counts = np.bincount(whole.ravel(), minlength=len(self.label_names or ()))
        names = self.label_names or []
        order = np.argsort(-counts, kind="stable")
        shares = {names[at]: round(float(counts[at] / whole.size), 6) for at in order if counts[at]}
        return {"shares": shares, "mask": as_picture(whole)}

    def from_columns(self, columns: Mapping[str, Any]) -> Any:
        pixels = np.array(list(columns["pixels"]), dtype=np.float64).reshape(len(columns["pixels"]), -1)
        return masks.MaskCounts(masks.sums_of(pixels), "mask", tuple(self.label_names or ()))

    def baselines(
        self, rows: tuple[Dataset, Dataset], truths: tuple[Any, Any], cheap: str | None,
        features: Callable[[np.ndarray, Emit], tuple[Any, Any]], *, seed: int, emit: Emit,
    ) -> dict[str, Measured]:  # fmt: skip
        """The most frequent class at each place of a picture; and that of each colour, in steps of a sixteenth."""
        names = self.label_names or []
        index = {name: at for at, name in enumerate(names)}
        chosen = np.sort(sample(np.arange(len(truths[0])), _MOST, seed))
        places = np.zeros((len(names), _PLACES, _PLACES), dtype=np.int64)
        colours = np.zeros((1 << 3 * _BITS, len(names)), dtype=np.int64)
        pictures = rows[0]["image"][:] if cheap is not None else None
        for at in chosen:
            wanted = _small(masks.truth_map(truths[0][at], index))
            for number in range(len(names)):
                places[number] += wanted == number
            if pictures is not None:
                codes, counted = _codes(pictures[at], (_PLACES, _PLACES)), wanted != IGNORED
                np.add.at(colours, (codes[counted], wanted[counted]), 1)
        usual = places.argmax(axis=0).astype(np.uint8)
        found: dict[str, Measured] = {
            "majority": masks.count(np.repeat(usual[None], len(truths[1]), axis=0), truths[1], names)
        }
        if pictures is not None:
            whole = int(colours.sum(axis=0).argmax())
            table = np.where(colours.sum(axis=1) > 0, colours.argmax(axis=1), whole).astype(np.uint8)
            small = [table[_codes(picture, (4 * _PLACES, 4 * _PLACES))] for picture in rows[1]["image"][:]]
            given = np.stack(small) if small else np.zeros((0, 1, 1), dtype=np.uint8)
            found["pixel_colours"] = masks.count(given, truths[1], names)
        return found


def as_picture(classes: np.ndarray) -> Image.Image:
    """Class numbers uint8 [height, width] as a picture with a palette, whose pixels are these numbers."""
    image = Image.fromarray(classes, "P") if classes.size else Image.new("P", classes.shape[::-1])
    image.putpalette([part for at in range(256) for part in drawing.COLOURS[at % len(drawing.COLOURS)]])
    return image


def _small(classes: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(classes).resize((_PLACES, _PLACES), Image.Resampling.NEAREST))


def _codes(picture: str, size: tuple[int, int]) -> np.ndarray:
    """The colour of each pixel as a number, int64 [height, width]."""
    try:
        pixels = np.asarray(read_picture(picture).resize(size, Image.Resampling.BILINEAR))
    except DataError:  # it was there when the run began
        return np.zeros(size[::-1], dtype=np.int64)
    found: np.ndarray = (pixels >> (8 - _BITS)).astype(np.int64) @ np.array([1 << 2 * _BITS, 1 << _BITS, 1])
    return found
