"""Boxes of several looks at the same picture put together.

Source: weighted boxes fusion (Solovyev, Wang & Gabruseva 2021, "Weighted boxes fusion: Ensembling boxes from different
object detection models", arXiv 1910.13302).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tunesmith.models.detection import MOST

_SAME = 0.55
"""Intersection over union from which on boxes of a label are the same thing, as in the paper."""


def fused(looks: Tensor) -> Tensor:
    """`looks` float32 [b, looks, n, 6]: label (-1: none), score, box of each look, the surest first. What they say
    together, [b, MOST, 6]: where boxes of a label overlap, their mean weighted by how sure they are, with the mean of
    their scores over all looks, so that what one look alone sees is less sure."""
    found = np.zeros((len(looks), MOST, 6))
    found[..., 0] = -1
    for row, some in enumerate(looks.flatten(1, 2).double().cpu().numpy()):
        known = some[some[:, 0] >= 0]
        whole = _together(known[np.argsort(-known[:, 1], kind="stable")], looks.shape[1])[:MOST]
        found[row, : len(whole)] = whole
    return torch.from_numpy(found).to(looks)


def _together(boxes: np.ndarray, looks: int) -> np.ndarray:
    """Boxes float64 [n, 6], the surest first -> the groups that they make [m, 6], the surest first."""
    groups = np.zeros((len(boxes), 6))
    counts, many = np.zeros(len(boxes)), 0
    for box in boxes:
        near = _overlaps(groups[:many, 2:], box[2:]) * (groups[:many, 0] == box[0])
        at = int(near.argmax()) if many and near.max() > _SAME else many
        if at == many:
            groups[at, 0] = box[0]
            many += 1
        whole = groups[at, 1] + box[1]
        groups[at, 2:] = (groups[at, 1] * groups[at, 2:] + box[1] * box[2:]) / whole
        groups[at, 1], counts[at] = whole, counts[at] + 1
    groups, counts = groups[:many], counts[:many]
    groups[:, 1] /= np.maximum(counts, looks)  # a look that sees a thing twice does not make it surer
    return groups[np.argsort(-groups[:, 1], kind="stable")]


def _overlaps(boxes: np.ndarray, one: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes [n, 4] with one [4]."""
    sides = np.minimum(boxes[:, 2:], one[2:]) - np.maximum(boxes[:, :2], one[:2])
    shared = np.clip(sides, 0, None).prod(1)
    union = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (one[2:] - one[:2]).prod() - shared
    return np.asarray(shared / np.maximum(union, 1e-12))
