"""Pictures with boxes: batches in which the boxes follow whatever is done to their picture."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from tunesmith.engine.augment import Pictured, Pictures
from tunesmith.engine.pixels import EncodedPictures

NOTHING, CROWD = -1.0, -2.0
"""In place of a label: there is no box; it is around a crowd."""


@dataclass
class EncodedDetections(EncodedPictures):
    """`targets`: for each row float32 [k, 5], label (or CROWD), left, top, right, bottom as shares of the picture."""

    @classmethod
    def of(cls, pictures: EncodedPictures) -> Self:
        return cls(**{field.name: getattr(pictures, field.name) for field in fields(EncodedPictures)})

    def batch_targets(self, positions: np.ndarray) -> Tensor:
        """Float32 [b, most, 5], NOTHING where a row has fewer."""
        return padded(self._own(positions))

    def _own(self, positions: np.ndarray) -> list[np.ndarray]:
        targets: Any = self.targets
        return [targets[at] for at in positions]

    def whole(self, positions: np.ndarray) -> Pictures:
        found = super().whole(positions)
        height, width = found.pixels.shape[1:3]
        sides = np.array([width, height] * 2, dtype=np.float32)
        found.boxes = [one[:, 1:] * sides for one in self._own(positions)]
        return found

    def training_batch(self, positions: np.ndarray, seed: int, epoch: int) -> dict[str, Tensor]:
        if not self.augmentation.changes:
            return self.collate(positions)
        changed = self.changed(positions, seed, epoch)
        targets = padded([np.column_stack([kinds, boxes]) for kinds, boxes in self._shares(positions, changed)])
        return {"pixel_values": self.processor.normalise(changed.pixels), "targets": targets}

    def pictured(self, positions: np.ndarray, found: Pictures) -> list[Pictured]:
        height, width = found.pixels.shape[1:3]
        parts = zip(found.pixels, self._shares(positions, found), strict=True)
        return [
            Pictured(pixels, boxes * np.array([width, height] * 2), kinds.astype(np.int64))
            for pixels, (kinds, boxes) in parts
        ]

    def _shares(self, positions: np.ndarray, found: Pictures) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of each picture the labels float32 [k] of the boxes that are left, and these as shares of it [k, 4]."""
        assert found.boxes is not None
        assert found.kept is not None
        height, width = found.pixels.shape[1:3]
        sides = np.array([width, height] * 2, dtype=np.float32)
        parts = zip(self._own(positions), found.boxes, found.kept, strict=True)
        return [(own[kept, 0], (boxes / sides).astype(np.float32)) for own, boxes, kept in parts]


def padded(rows: list[np.ndarray]) -> Tensor:
    """Rows float32 [k, 5] as one tensor [b, most, 5]; there is always place for one box."""
    found = np.zeros((len(rows), max(1, *map(len, rows)), 5), dtype=np.float32)
    found[..., 0] = NOTHING
    for line, row in enumerate(rows):
        found[line, : len(row)] = row
    return torch.from_numpy(found)


def as_sets(targets: Tensor) -> tuple[list[dict[str, Tensor]]]:
    """Targets [b, most, 5] as transformers' detectors are given them: 'class_labels' [k]; 'boxes' [k, 4] as middle,
    width and height."""
    found = []
    for row in targets:
        some = row[row[:, 0] >= 0]
        low, high = some[:, 1:3], some[:, 3:]
        found.append({"class_labels": some[:, 0].long(), "boxes": torch.cat([(low + high) / 2, high - low], 1)})
    return (found,)
