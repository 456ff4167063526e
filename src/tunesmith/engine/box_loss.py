"""What boxes that a network gives are worth beside the true ones, as a loss; and which of them are kept as answers.

Boxes are left, top, right and bottom as shares of the picture. Ratios of areas do not change with its shape, so that no
size is needed.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tunesmith.models.detection import MOST, Form

_TOP = 10
"""Places that learn a true box: those that are best aligned with it."""
_ALIGNED = (0.5, 6.0)
"""Exponents of likelihood and overlap in how well a place is aligned (TOOD: Feng et al. 2021, arXiv 2108.07755)."""
_WEIGHTS = (1.0, 2.0)
"""Of labels and boxes (generalised focal loss: Li et al. 2020, arXiv 2006.04388)."""
_SET_WEIGHTS = (1.0, 5.0, 2.0)
"""Of labels, sides and overlap, in the loss and in who is matched with whom (DETR: Carion et al. 2020)."""
_NOTHING = 0.1
"""Weight of answers that are to say that there is nothing (DETR)."""
_SAME = 0.6
"""Overlap from which on the surer of two boxes of a label stands for both."""
_CANDIDATES = 600
_LEAST_SCORE = 1e-3
_TINY = 1e-9


def overlaps(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union, boxes [..., n, 4] with [..., m, 4]: [..., n, m]."""
    one, other = first.unsqueeze(-2), second.unsqueeze(-3)
    shared = (torch.minimum(one[..., 2:], other[..., 2:]) - torch.maximum(one[..., :2], other[..., :2])).clamp(min=0)
    inside = shared.prod(-1)
    union = (one[..., 2:] - one[..., :2]).prod(-1) + (other[..., 2:] - other[..., :2]).prod(-1) - inside
    return inside / union.clamp(min=_TINY)


def generalised(first: Tensor, second: Tensor) -> Tensor:
    """Generalised intersection over union of boxes [..., 4] in pairs (Rezatofighi et al. 2019), from -1 to 1."""
    low, high = torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:], second[..., 2:])
    inside = (high - low).clamp(min=0).prod(-1)
    union = (first[..., 2:] - first[..., :2]).prod(-1) + (second[..., 2:] - second[..., :2]).prod(-1) - inside
    around = torch.maximum(first[..., 2:], second[..., 2:]) - torch.minimum(first[..., :2], second[..., :2])
    whole = around.prod(-1).clamp(min=_TINY)
    return inside / union.clamp(min=_TINY) - (whole - union) / whole


def loss(outputs: Tensor, targets: Tensor, form: Form) -> Tensor:
    """One loss a row, float32 [b]. `outputs` as `DetectionModel.forward` gives them; `targets` float32 [b, most, 5]:
    label (-1: none, -2: a crowd, within which nothing is learned), and box. Of several looks the mean."""
    if outputs.dim() == 4:
        return torch.stack([loss(look, targets, form) for look in outputs.unbind(1)]).mean(0)
    if form == "dense":
        return dense_loss(outputs, targets)
    return torch.stack([_set_loss(row, of, form) for row, of in zip(outputs, targets, strict=True)])


def dense_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Places learn the boxes that they are aligned with, and how well they are, as their likelihood."""
    labels = outputs.shape[-1] - 8
    logits, boxes, places = outputs.split([labels, 4, 4], -1)
    with torch.no_grad():
        quality, owner, void = _assign(logits.sigmoid(), boxes, places, targets)
    wanted = torch.zeros_like(logits)
    learned = quality > 0
    kind = targets[..., 0].gather(1, owner).clamp(min=0).long()
    wanted.scatter_(2, kind.unsqueeze(-1), quality.unsqueeze(-1))
    likely = logits.sigmoid()
    of_labels = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    of_labels = (of_labels * (wanted - likely).square()).sum(-1).masked_fill(void & ~learned, 0.0).sum(1)
    own = targets[..., 1:].gather(1, owner.unsqueeze(-1).expand(-1, -1, 4))
    of_boxes = ((1 - generalised(boxes, own)) * quality).sum(1)
    return (_WEIGHTS[0] * of_labels + _WEIGHTS[1] * of_boxes) / quality.sum(1).clamp(min=1.0)


def _assign(likely: Tensor, boxes: Tensor, places: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each place how well it is aligned with its true box (0: it has none) [b, p], which one that is [b, p], and
    whether it lies in a crowd [b, p]."""
    kinds, true = targets[..., 0], targets[..., 1:]
    middle = places[..., None, :2]
    inside = ((middle > true[:, None, :, :2]) & (middle < true[:, None, :, 2:])).all(-1)
    centre = (true[..., :2] + true[..., 2:])[:, None] / 2
    near = ((middle - centre).abs() < places[..., None, 2:]).all(-1)  # of a box that is smaller than a place
    candidate = (inside | near) & (kinds >= 0)[:, None]
    shared = overlaps(boxes, true)
    score = likely.gather(2, kinds.clamp(min=0).long()[:, None].expand(-1, likely.shape[1], -1))
    aligned = score ** _ALIGNED[0] * (shared + _TINY) ** _ALIGNED[1] * candidate
    best = aligned.topk(min(_TOP, aligned.shape[1]), dim=1)
    chosen = torch.zeros_like(aligned).scatter_(1, best.indices, 1.0).bool() & candidate
    aligned = aligned * chosen
    most_aligned = aligned.amax(1, keepdim=True).clamp(min=1e-30)
    quality = aligned / most_aligned * (shared * chosen).amax(1, keepdim=True).clamp(min=0.05)
    found, owner = (quality * chosen).max(2)
    void = (inside & (kinds == -2)[:, None]).any(2)
    return found, owner, void


def _set_loss(outputs: Tensor, targets: Tensor, form: Form) -> Tensor:
    """The best one-to-one match of answers [q, d] and true boxes [most, 5] (DETR: Carion et al. 2020)."""
    from scipy.optimize import linear_sum_assignment

    true = targets[targets[:, 0] >= 0]
    kinds, boxes = true[:, 0].long(), true[:, 1:]
    logits, given = outputs[:, :-4], outputs[:, -4:]
    likely = logits.sigmoid() if form == "set" else logits.softmax(-1)
    apart = torch.cdist(given, boxes, p=1) if len(true) else given.new_zeros(len(given), 0)
    shape = generalised(given[:, None], boxes[None]) if len(true) else apart
    with torch.no_grad():
        cost = _SET_WEIGHTS[1] * apart - _SET_WEIGHTS[2] * shape - _SET_WEIGHTS[0] * likely[:, kinds]
        rows, columns = linear_sum_assignment(cost.cpu().numpy())
    at, of = (torch.from_numpy(np.asarray(side)).to(given.device) for side in (rows, columns))
    pairs = (_SET_WEIGHTS[1] * apart[at, of] + _SET_WEIGHTS[2] * (1 - shape[at, of])).sum() / max(1, len(true))
    if form == "set":
        wanted = torch.zeros_like(logits)
        wanted[at, kinds[of]] = 1.0
        of_labels = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        return pairs + (of_labels * (wanted - likely).square()).sum() / max(1, len(true))
    nothing = logits.shape[1] - 1
    answer = torch.full((len(logits),), nothing, device=logits.device)
    answer[at] = kinds[of]
    weight = torch.ones(nothing + 1, device=logits.device)
    weight[nothing] = _NOTHING
    return pairs + functional.cross_entropy(logits, answer, weight)


def kept(outputs: Tensor, form: Form) -> Tensor:
    """The surest boxes of each row, float32 [b, MOST, 6]: label (-1: none), score, box within the picture."""
    if form == "dense":
        labels = outputs.shape[-1] - 8
        likely, boxes = outputs[..., :labels].sigmoid(), outputs[..., labels : labels + 4]
    else:
        logits, boxes = outputs[..., :-4], outputs[..., -4:]
        likely = logits.sigmoid() if form == "set" else logits.softmax(-1)[..., :-1]
    boxes = boxes.clamp(0, 1)
    found = outputs.new_zeros(len(outputs), MOST, 6)
    found[..., 0] = -1
    for row, (scores, some) in enumerate(zip(likely, boxes, strict=True)):
        surest = scores.flatten().topk(min(_CANDIDATES, scores.numel()))
        good = surest.values >= _LEAST_SCORE
        values, places = surest.values[good], surest.indices[good]
        kinds, mine = places % scores.shape[1], some[places // scores.shape[1]]
        left = without_doubles(mine, kinds) if form == "dense" else torch.arange(len(mine), device=mine.device)
        left = left[:MOST]
        found[row, : len(left)] = torch.cat(
            [kinds[left, None].to(mine), values[left, None], mine[left]], 1
        )  # fmt: skip
    return found


def without_doubles(boxes: Tensor, labels: Tensor, least: float = _SAME) -> Tensor:
    """Which boxes [n, 4] are left, int64: of those of a label that overlap by `least`, the first, as they are sorted by
    how sure they are (non-maximum suppression)."""
    near = ((overlaps(boxes, boxes) > least) & (labels[:, None] == labels[None])).cpu().numpy()
    gone = np.zeros(len(boxes), dtype=bool)
    for at in range(len(boxes)):
        if not gone[at]:
            gone[at + 1 :] |= near[at, at + 1 :]
    return torch.from_numpy(np.flatnonzero(~gone)).to(boxes.device)
