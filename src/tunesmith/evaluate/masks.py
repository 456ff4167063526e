"""Masks beside the true ones: pixels counted picture by picture, at the size of the true mask, one after another."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.measured import LabelRow
from tunesmith.data.masks import IGNORED, Mask, MaskFault
from tunesmith.data.pictures import on_all_cores, shown
from tunesmith.evaluate.bootstrap import interval, weightings
from tunesmith.evaluate.measured import RowStatistics
from tunesmith.evaluate.metrics import masks as metrics
from tunesmith.evaluate.metrics.metric import SHARE

_CLASSES, _PIXELS = ("miou", "dice", "class_accuracy"), "pixel_accuracy"
_RESAMPLES = 1_000
_KEPT_BYTES = 256 << 20
_LARGEST_MATRIX = 60


@dataclass(frozen=True)
class MaskCounts(RowStatistics):
    """Counted pixels of some pictures. `sums`: as `metrics.masks` has them; `given` uint8 [n, height, width]: the
    classes as they were given, at the size of the network; `truth`: the true masks. Both are None where only counts are
    known. `confused` int64 [classes, classes]: pixels by truth and answer, of all pictures together."""

    kind: str = "mask"
    classes: tuple[str, ...] = ()
    given: np.ndarray | None = None
    truth: Sequence[Mask] | None = None
    confused: np.ndarray | None = field(default=None, compare=False)

    def take(self, rows: np.ndarray) -> MaskCounts:
        chosen = np.arange(len(self))[rows]
        sums = {name: some[rows] for name, some in self.sums.items()}
        truth = None if self.truth is None else [self.truth[int(at)] for at in chosen]
        return MaskCounts(sums, self.kind, self.classes, None if self.given is None else self.given[rows], truth)

    def same_rows(self, other: object) -> bool:
        if not (super().same_rows(other) and isinstance(other, MaskCounts)):
            return False
        return bool(np.array_equal(self.sums["miou"][:, 2::3], other.sums["miou"][:, 2::3]))

    def arrays(self) -> Mapping[str, np.ndarray]:
        return self.sums

    def columns(self) -> dict[str, list[Any]]:
        """Mean IoU of each picture, and the pixels of each class: right, given, wanted, one class after another."""
        values = metrics.TABLE["miou"].function(self.sums["miou"])
        miou = [float(value) if np.isfinite(value) else None for value in values]
        pixels = self.sums["miou"].astype(np.int64).tolist()
        return {"predicted": self.counted()[0], "miou": miou, "pixels": pixels}

    def counted(self) -> tuple[list[str], list[str]]:
        """Which share of each picture was given each class, and has it, in words."""
        _, given, wanted = metrics.parts(self.sums["miou"])
        return self._in_words(given), self._in_words(wanted)

    def _in_words(self, pixels: np.ndarray) -> list[str]:
        shares = pixels / np.maximum(pixels.sum(axis=1, keepdims=True), 1)
        return [
            ", ".join(f"{self.classes[at]} {100 * row[at]:.0f} %" for at in np.argsort(-row, kind="stable") if row[at])
            for row in shares
        ]

    def per_class(self) -> list[LabelRow]:
        """Of each class, with intervals over pictures."""
        if not len(self):
            return []
        sums = self.sums["miou"]
        whole = sums.sum(axis=0)[None]
        right, given, wanted = (part[0] for part in metrics.parts(whole))
        iou, dice = metrics.ious(whole)[0], metrics.dices(whole)[0]
        draws = [weights.T @ sums for weights in weightings(len(self), _RESAMPLES, 0)]
        iou_draws, dice_draws = (
            np.concatenate([function(one) for one in draws]) for function in (metrics.ious, metrics.dices)
        )
        found: list[LabelRow] = []
        for at, name in enumerate(self.classes):
            row: LabelRow = {
                "label": name, "precision": _share(right[at], given[at]), "recall": _share(right[at], wanted[at]),
                "f1": float(np.nan_to_num(dice[at])), "support": int((sums[:, 3 * at + 2] > 0).sum()),
                "predicted": int((sums[:, 3 * at + 1] > 0).sum()), "iou": float(np.nan_to_num(iou[at])),
                "pixels": int(wanted[at]),
            }  # fmt: skip
            if np.isfinite(iou[at]):
                row["iou_low"], row["iou_high"] = _interval(float(iou[at]), iou_draws[:, at], len(self))
                row["f1_low"], row["f1_high"] = _interval(float(dice[at]), dice_draws[:, at], len(self))
            found.append(row)
        return found


def _interval(value: float, draws: np.ndarray, rows: int) -> tuple[float, float]:
    return interval(value, draws, 0.95, rows=rows, limits=SHARE)


def _share(over: float, under: float) -> float:
    return float(over / under) if under else 0.0


def count(given: np.ndarray, truth: Sequence[Mask], classes: Sequence[str]) -> MaskCounts:
    """Classes that were given, uint8 [n, height, width], beside the true masks, of which each is read at its own size
    in its turn. Raises DataError for a mask that can no longer be read."""
    index = {name: at for at, name in enumerate(classes)}

    def one(at: int) -> np.ndarray:
        return confusion(truth[at], resized(given[at], truth_map(truth[at], index).shape), index)

    return _of(on_all_cores(one, range(len(truth))), given, truth, classes)  # type: ignore[arg-type]


def _of(
    confusions: Iterator[np.ndarray], given: np.ndarray | None, truth: Sequence[Mask] | None, classes: Sequence[str]
) -> MaskCounts:
    size = len(classes)
    confused = np.zeros((size, size), dtype=np.int64)
    rows = []
    for one in confusions:
        confused += one
        rows.append(np.stack([np.diag(one), one.sum(axis=0), one.sum(axis=1)], axis=1).ravel())
    counts = np.array(rows, dtype=np.float64).reshape(-1, 3 * size)
    whole = confused if size <= _LARGEST_MATRIX else None
    return MaskCounts(sums_of(counts), "mask", tuple(classes), given, truth, whole)


def sums_of(counts: np.ndarray) -> dict[str, np.ndarray]:
    """What the metrics are made of, from pixels float64 [n, 3 x classes]: right, given, wanted of each class."""
    right, _, wanted = metrics.parts(counts)
    return {**dict.fromkeys(_CLASSES, counts), _PIXELS: np.stack([right.sum(axis=1), wanted.sum(axis=1)], axis=1)}


def confusion(truth: Mask, given: np.ndarray, index: Mapping[str, int]) -> np.ndarray:
    """Pixels by truth and answer, int64 [classes, classes], of those that count."""
    wanted = truth_map(truth, index)
    size, counted = len(index), wanted != IGNORED
    codes = wanted[counted].astype(np.int64) * size + given[counted]
    return np.bincount(codes, minlength=size * size).reshape(size, size)


def resized(classes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A class map uint8 [height, width] at another size: each pixel the class that has most of it, between pixels
    linearly; so edges are as smooth as the new size allows."""
    height, width = shape[:2]
    if classes.shape == (height, width):
        return classes
    here = np.unique(classes)
    best, most = np.full((height, width), here[0], dtype=np.uint8), np.zeros((height, width), dtype=np.uint8)
    for one in here:
        part = Image.fromarray(np.where(classes == one, np.uint8(255), np.uint8(0)))
        share = np.asarray(part.resize((width, height), Image.Resampling.BILINEAR))
        more = share > most
        best[more], most[more] = one, share[more]
    return best


class _Kept:
    """True masks that were read lately, so that those of small pictures are decoded once."""

    def __init__(self) -> None:
        self._maps: OrderedDict[tuple[Any, ...], np.ndarray] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, mask: Mask, index: Mapping[str, int]) -> np.ndarray:
        key = (mask.given if len(mask.given) < 1_000 else "", mask.digest, tuple(mask.names.items()), tuple(index))
        with self._lock:
            if key in self._maps:
                self._maps.move_to_end(key)
                return self._maps[key]
        try:
            found = mask.read(index)
        except MaskFault as fault:
            raise DataError(Problem(str(fault), shown(mask.given)), "It was there when the run began.") from None
        with self._lock:
            if key not in self._maps:
                self._maps[key] = found
                self._bytes += found.nbytes
            while self._bytes > _KEPT_BYTES and len(self._maps) > 1:
                self._bytes -= self._maps.popitem(last=False)[1].nbytes
        return found


_KEPT = _Kept()


def truth_map(mask: Mask, index: Mapping[str, int]) -> np.ndarray:
    """The true classes, uint8 [height, width] at the mask's own size; 255 where nothing counts. Raises DataError."""
    return _KEPT.get(mask, index)
