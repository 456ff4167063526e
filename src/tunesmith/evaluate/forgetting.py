"""What training cost of what was known before: numbers before and after, with intervals. It trains nothing.

Every comparison gives `kept` (a share, 1 when nothing was lost) and `lost` (positive when something was) on
the same rows before and after, resampled together, so that what is hard for both cancels out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from tunesmith.core.measured import Measured
from tunesmith.evaluate.bootstrap import interval, interval_of_difference, weightings
from tunesmith.evaluate.measured import compute, paired_difference
from tunesmith.evaluate.metrics import higher_is_better
from tunesmith.evaluate.types import Interval

NEIGHBOURS = 10
_RESAMPLES = 1000


@cache
def general_texts() -> tuple[str, ...]:
    """Some 300 sentences about everything and nothing, written for this purpose."""
    text = files("tunesmith.evaluate").joinpath("general_text.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


# features


def linear_cka(before: np.ndarray, after: np.ndarray) -> float:
    """Linear centred kernel alignment of features [n, d] and [n, e] of the same rows (Kornblith et al. 2019,
    equation 3): 1 where one is a rotated, scaled and moved copy of the other."""
    x, y = (np.asarray(part, dtype=np.float64) - np.mean(part, axis=0, dtype=np.float64) for part in (before, after))
    across = np.square(x.T @ y).sum()
    spread = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(across / spread) if spread > 0 else 1.0


def neighbour_agreement(before: np.ndarray, after: np.ndarray, k: int = NEIGHBOURS) -> np.ndarray:
    """Of each row's `k` nearest others (by cosine) before, the share that is among the `k` nearest after:
    float64 [n]. `k` is at most half of the other rows, as the nearest n - 1 of n always agree."""
    k = max(1, min(k, (len(before) - 1) // 2))
    first, second = (_neighbours(part, k) for part in (before, after))
    return np.array([len(np.intersect1d(a, b)) / k for a, b in zip(first, second, strict=True)])


def _neighbours(features: np.ndarray, k: int) -> np.ndarray:
    """Positions [n, k] of the nearest others. Rounded, so that equal rows tie alike before and after."""
    lengths = np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    unit = features / lengths
    near = np.round((unit @ unit.T).astype(np.float64), 5)
    np.fill_diagonal(near, -np.inf)
    return np.argsort(-near, axis=1, kind="stable")[:, :k]


def drift(before: np.ndarray, after: np.ndarray, general: int, seed: int = 0) -> dict[str, Any]:
    """Features [n, d] of probe texts, of which the first `general` are the bundled ones.

    `lost` is 1 - neighbour agreement, its interval over the texts.
    """
    agreement = neighbour_agreement(before, after)
    value = float(agreement.mean())
    low, high = interval(
        value, _means(agreement, np.ones(len(agreement)), seed), 0.95, rows=len(agreement), limits=(0.0, 1.0)
    )
    if (agreement == 1).all():
        low = 1.0  # nothing moved: no sampling could have shown a difference
    parts = {"general": agreement[:general], "own": agreement[general:]}
    return {
        "name": "drift",
        "probe": f"share of the {NEIGHBOURS} nearest neighbours, by features, that {len(agreement)} texts have kept",
        "kept": {"value": value, "low": low, "high": high},
        "lost": {"value": 1 - value, "low": 1 - high, "high": 1 - low},
        "cka": linear_cka(before, after),
        "agreement": {name: float(part.mean()) for name, part in parts.items() if len(part)},
    }


def of_texts(drifted: Mapping[str, Any], name: str, rows: int) -> dict[str, Any]:
    """What `drift` found for retained texts, as a task whose metric was whole before."""
    return {
        **drifted, "name": name, "probe": f"{drifted['probe']}: {name}", "metric": "neighbours_kept",
        "before": 1.0, "after": drifted["kept"]["value"], "rows": rows,
    }  # fmt: skip


# tasks and language


def lost_metric(
    before: Measured, after: Measured, metric: str, *, name: str, probe: str, seed: int = 0
) -> dict[str, Any]:
    """The fall of a task's metric (the rise of an error), by paired bootstrap on the same rows."""
    found = paired_difference(after, before, metric, resamples=_RESAMPLES, seed=seed)
    was, now = (compute(one, [metric])[metric] for one in (before, after))
    lost: Interval = {"value": -found["difference"], "low": -found["high"], "high": -found["low"]}
    lost = {"value": lost["value"] + 0.0, "low": lost["low"] + 0.0, "high": lost["high"] + 0.0}  # no -0.0
    return {
        "name": name, "probe": probe, "metric": metric, "before": was, "after": now, "rows": len(before),
        "kept": _mapped(lost, _share_kept(was, higher_is_better(metric))), "lost": lost,
    }  # fmt: skip


def _share_kept(was: float, higher: bool) -> Callable[[float], float]:
    """What was lost as a share kept: of the metric, or, for an error, of how small it was."""

    def share(lost: float) -> float:
        left = was - lost if higher else was
        whole = was if higher else was + lost
        return left / whole if whole > 0 else float(lost <= 0)

    return share


def lost_loss(
    before: tuple[np.ndarray, np.ndarray], after: tuple[np.ndarray, np.ndarray], *, name: str, probe: str, seed: int = 0
) -> dict[str, Any]:
    """The rise of the mean token loss of a language model. Both: summed loss and learned tokens by sequence,
    float [n]. `kept` is the share of the likelihood of a token that is left."""
    (first, tokens), (second, again) = before, after
    if not np.array_equal(tokens, again):
        raise ValueError("A comparison of losses needs the same tokens before and after.")
    value = float((second - first).sum() / tokens.sum())
    draws = _means((second - first) / np.maximum(tokens, 1), tokens, seed)
    low, high = interval_of_difference(value, draws, 0.95, rows=len(tokens))
    lost: Interval = {"value": value, "low": low, "high": high}
    return {
        "name": name, "probe": probe, "metric": "loss", "rows": len(tokens),
        "before": float(first.sum() / tokens.sum()), "after": float(second.sum() / tokens.sum()),
        "kept": _mapped(lost, lambda rise: float(np.exp(-rise))), "lost": lost,
    }  # fmt: skip


def _mapped(lost: Interval, share: Callable[[float], float]) -> Interval:
    return {"value": share(lost["value"]), "low": share(lost["high"]), "high": share(lost["low"])}


def _means(values: np.ndarray, sizes: np.ndarray, seed: int) -> np.ndarray:
    """Bootstrap draws of the mean of values [n] that count by their sizes [n]."""
    draws = []
    for weights in weightings(len(values), _RESAMPLES, seed):
        heavy = weights * sizes[:, None]
        draws.append(values @ heavy / np.maximum(heavy.sum(axis=0), 1e-12))
    return np.concatenate(draws)


# tasks in turn


def of_sequence(values: Sequence[Sequence[float | None]], higher: Sequence[bool]) -> dict[str, float]:
    """Average forgetting and backward transfer of a matrix: row i, the metric of every task after stage i.

    Backward transfer is the mean of R[T, i] - R[i, i] over the earlier tasks i (Lopez-Paz & Ranzato 2017,
    section 3); forgetting that of the best R[l, i], l < T, minus R[T, i] (Chaudhry et al. 2018, section 3).
    Errors count with their sign turned round. Empty for a single task, and where some of the earlier tasks are
    measured by errors and others are not: a point of accuracy and a point of an error have no common measure.
    """
    if len(set(higher[:-1])) > 1:
        return {}
    transfer, forgotten = [], []
    for task in range(len(values) - 1):
        sign = 1.0 if higher[task] else -1.0
        column = [sign * value for row in values[task:] if (value := row[task]) is not None]
        if values[task][task] is None or values[-1][task] is None or len(column) < 2:
            continue
        transfer.append(column[-1] - column[0])
        forgotten.append(max(column[:-1]) - column[-1])
    if not transfer:
        return {}
    return {"average_forgetting": float(np.mean(forgotten)), "backward_transfer": float(np.mean(transfer))}


def document(found: Sequence[Mapping[str, Any]], counts: Mapping[str, Any]) -> dict[str, Any]:
    """The part 'forgetting' of metrics.json: `counts`, of `found`, is the probe that sums it up."""
    tasks = [{key: part for key, part in one.items() if key != "probe"} for one in found if "metric" in one]
    drifted = next((one for one in found if one["name"] == "drift"), None)
    made: dict[str, Any] = {name: counts[name] for name in ("kept", "lost", "probe")}
    if drifted is not None:
        made["drift"] = {name: drifted[name] for name in ("kept", "lost", "cka", "agreement")}
    return {**made, "tasks": tasks} if tasks else made
