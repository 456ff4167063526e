"""Metrics of boxes, held to COCO's own evaluation."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

from tunesmith.evaluate import boxes
from tunesmith.evaluate.boxes import Boxes, BoxMatches
from tunesmith.evaluate.measured import compute, from_arrays, paired_difference, with_intervals

NAMES = ["cup", "fork", "plate"]


def drawn(seed: int, pictures: int = 12, digits: int = 1) -> BoxMatches:
    """Pictures of true boxes of all sizes, crowds among them, and boxes given near some of them."""
    chance = np.random.default_rng(seed)
    truth, given = [], []
    for _ in range(pictures):
        count = int(chance.integers(0, 9))
        at, size = chance.uniform(0, 300, (count, 2)), chance.uniform(5, 180, (count, 2))
        true = np.concatenate([at, at + size], axis=1)
        labels = chance.integers(0, 3, count)
        truth.append(Boxes.of(labels, true, None, chance.random(count) < 0.15))
        near = np.repeat(true, 2, axis=0) + chance.normal(0, 6, (2 * count, 4))
        others = np.concatenate([chance.uniform(0, 200, (4, 2)), chance.uniform(201, 400, (4, 2))], axis=1)
        wrong = np.where(chance.random(2 * count) < 0.15, (np.repeat(labels, 2) + 1) % 3, np.repeat(labels, 2))
        every = np.concatenate([wrong, chance.integers(0, 3, 4)])
        scores = np.round(chance.random(len(every)), digits)  # of one digit: with ties
        given.append(Boxes.of(every, np.concatenate([near, others]), scores))
    return BoxMatches(truth, given, NAMES)


@pytest.mark.parametrize("seed", range(5))
def test_values_are_cocos_own(seed: int) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    measured = drawn(seed)

    def xywh(box: np.ndarray) -> list[float]:
        return [box[0], box[1], box[2] - box[0], box[3] - box[1]]

    known = coco.COCO()
    known.dataset = {
        "images": [{"id": row} for row in range(len(measured))],
        "categories": [{"id": at, "name": name} for at, name in enumerate(NAMES)],
        "annotations": [
            {"image_id": row, "category_id": int(label), "bbox": xywh(box), "iscrowd": int(crowd),
             "area": (box[2] - box[0]) * (box[3] - box[1])}
            for row, one in enumerate(measured.truth)
            for label, box, crowd in zip(one.labels, one.boxes, one.crowd, strict=True)
        ],
    }  # fmt: skip
    for number, annotation in enumerate(known.dataset["annotations"], 1):
        annotation["id"] = number
    answers = [
        {"image_id": row, "category_id": int(label), "bbox": xywh(box), "score": score}
        for row, one in enumerate(measured.given)
        for label, box, score in zip(one.labels, one.boxes, one.scores, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        known.createIndex()
        judge = evaluation.COCOeval(known, known.loadRes(answers), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    for name, expected in zip(
        ["map", "map50", "map75", "map_small", "map_medium", "map_large"], judge.stats, strict=False
    ):
        found = compute(measured).get(name)
        assert found == pytest.approx(expected, abs=1e-6) if expected >= 0 else found is None, name
    of_labels = judge.eval["precision"][:, :, :, 0, 2]
    for label, row in enumerate(measured.per_class()):
        assert row["ap"] == pytest.approx(max(0.0, of_labels[:, :, label].mean()), abs=1e-6)


def test_weights_are_as_good_as_rows_drawn_again() -> None:
    measured = drawn(7, digits=9)
    rows = np.array([0, 0, 3, 5, 5, 5, 8, 11])
    weights = np.bincount(rows, minlength=len(measured)).astype(float)[:, None]
    again = compute(measured.take(rows))
    for name, values in measured.values(list(again), weights).items():
        assert values[0] == pytest.approx(again[name], abs=1e-9), name


def test_intervals_comparison_and_arrays() -> None:
    measured = drawn(3)
    found = with_intervals(measured, ["map", "map50"])
    assert all(0 <= one["low"] < one["value"] < one["high"] <= 1 for one in found.values())
    perfect = BoxMatches(measured.truth, measured.truth, NAMES)
    assert compute(perfect, ["map"])["map"] == pytest.approx(1.0)
    assert paired_difference(perfect, measured, "map")["low"] > 0
    back = from_arrays(measured.arrays(), "boxes", NAMES)
    assert back.same_rows(measured)
    assert compute(back) == compute(measured)


def test_pictures_without_boxes() -> None:
    empty = Boxes.of([], [])
    measured = BoxMatches([empty, empty], [empty, Boxes.of([0], [[0, 0, 9, 9]], [0.9])], NAMES)
    assert compute(measured) == {}  # there is nothing to find
    assert [row["predicted"] for row in measured.per_class()] == [1, 0, 0]
    assert boxes.overlaps(empty.boxes, empty.boxes).shape == (0, 0)
