"""Findings on the data from linear models on frozen features: wrong labels, shift, too few rows."""

from __future__ import annotations

import csv
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tunesmith.evaluate import curve, diagnose, noise, shift
from tunesmith.evaluate.linear import Blocks, Frozen


def rows(
    count: int = 900, classes: int = 5, skill: float = 3.0, hidden: int = 32, seed: int = 0, rarest: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Features float32 [count, hidden] in clouds around the same random centres for every seed, and their class.

    rarest: rows of the last class over those of the first, the others in between.
    """
    centres = np.random.default_rng(7).normal(size=(classes, hidden))
    centres *= skill / np.linalg.norm(centres, axis=1, keepdims=True)
    rng = np.random.default_rng(seed)
    shares = np.geomspace(1, rarest, classes)
    truth = rng.choice(classes, count, p=shares / shares.sum())
    return (centres[truth] + rng.normal(size=(count, hidden))).astype(np.float32), truth


def frozen(
    features: np.ndarray, truth: np.ndarray, test: np.ndarray | None = None, seed: int = 0, **more: Any
) -> Frozen:
    count = len(truth)
    test = rows(300, seed=1000 + seed)[0] if test is None else test
    words: dict[str, Any] = {
        "kind": "label", "label_names": [f"label {label}" for label in range(int(truth.max()) + 1)], "rows": count,
        **more,
    }  # fmt: skip
    return Frozen(features=features, truth=truth, row_ids=1000 + np.arange(count), test=test, seed=seed,
                  texts=[f"text {row}" for row in range(count)], test_ids=5000 + np.arange(len(test)),
                  **words)  # fmt: skip


def told(given: Frozen) -> dict[str, dict[str, Any]]:
    found, suspected = diagnose.of_data(given, {})
    assert (suspected is not None) == any(one["name"] == "label_noise" for one in found)
    return {one["name"]: dict(one) for one in found}


def wrong(truth: np.ndarray, share: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(labels of which a share was replaced by another one, which ones)."""
    rng = np.random.default_rng(seed + 50)
    changed = rng.random(len(truth)) < share
    other = (truth + rng.integers(1, truth.max() + 1, len(truth))) % (truth.max() + 1)
    return np.where(changed, other, truth), changed


# --- a healthy run has none of them


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("skill", [0.0, 1.5, 3.0, 6.0], ids=["hopeless", "hard", "fair", "easy"])
def test_nothing_is_found_in_clean_data_however_hard(seed: int, skill: float) -> None:
    features, truth = rows(skill=skill, seed=seed)
    assert told(frozen(features, truth, rows(300, skill=skill, seed=1000 + seed)[0], seed)) == {}


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_found_in_imbalanced_data_that_features_do_not_tell(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(2000, 64)).astype(np.float32)
    assert told(frozen(features, (rng.random(2000) < 0.05).astype(int), features[:300] + 0, seed)) == {}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("classes", [2, 8])
@pytest.mark.parametrize("skill", [1.0, 2.0, 4.0])
def test_rare_labels_are_hard_not_wrong(skill: float, classes: int, seed: int) -> None:
    """Most rows of a rare label are given the common one, with confidence."""
    features, truth = rows(2000, classes, skill, seed=seed, rarest=0.05)
    assert "label_noise" not in told(frozen(features, truth, seed=seed))


@pytest.mark.parametrize("seed", range(3))
def test_rows_far_from_all_others_are_not_wrong(seed: int) -> None:
    features, truth = rows(2000, 6, skill=3, seed=seed)
    rng = np.random.default_rng(seed)
    stretched = (features * rng.gamma(0.5, 2.0, (2000, 1))).astype(np.float32)
    assert "label_noise" not in told(frozen(stretched, truth, stretched[:300], seed))


@pytest.mark.parametrize("seed", range(3))
def test_clean_labels_seldom_look_wrong_on_few_rows(seed: int) -> None:
    features, truth = rows(250, skill=2.0, seed=seed)
    assert "label_noise" not in told(frozen(features, truth, seed=seed))


def test_one_label_and_features_that_say_nothing_are_survived() -> None:
    nothing = np.zeros((300, 8), dtype=np.float32)
    assert told(frozen(nothing, np.zeros(300, int), nothing[:50])) == {}
    assert told(frozen(nothing, np.arange(300) % 3, nothing[:50])) == {}


def test_too_few_rows_to_tell_anything() -> None:
    features, truth = rows(60)
    assert told(frozen(features, wrong(truth, 0.3)[0], features[:20])) == {}


# --- wrong labels


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [0.06, 0.12, 0.25])
def test_wrong_labels_are_counted_and_ranked(share: float, seed: int) -> None:
    features, truth = rows(1500, skill=4.5, seed=seed)
    labels, changed = wrong(truth, share, seed)
    given = frozen(features, labels, rows(300, skill=4.5, seed=99)[0], seed)
    _, suspected = diagnose.of_data(given, {})
    assert suspected is not None
    assert suspected.low <= changed.mean() + 0.01
    assert suspected.share == pytest.approx(changed.mean(), abs=0.04)
    assert changed[suspected.rows[:50]].mean() > 0.9
    assert (truth[suspected.rows[:50]] == suspected.suggested[:50]).mean() > 0.9
    assert changed[suspected.rows].mean() > 0.8
    assert changed[suspected.rows].sum() > 0.8 * changed.sum()
    said = told(given)["label_noise"]
    assert f"row {1000 + suspected.rows[0]} " in said["evidence"]
    assert "noise.csv" in said["action"]


@pytest.mark.parametrize(("share", "seed"), [(0.1, 0), (0.1, 1), (0.1, 2), (0.2, 0), (0.2, 1), (0.2, 2)])
def test_wrong_labels_beside_a_rare_one(share: float, seed: int) -> None:
    """A tenth of the labels flipped makes nearly half of the rows of the rare one wrong, a fifth more than that."""
    features, truth = rows(1500, 2, skill=4, seed=seed, rarest=0.15)
    labels, changed = wrong(truth, share, seed)
    _, suspected = diagnose.of_data(frozen(features, labels, seed=seed), {})
    assert suspected is not None
    assert suspected.share == pytest.approx(changed.mean(), abs=0.03)
    assert changed[suspected.rows[:50]].mean() > 0.9


def test_the_file_of_suspects_holds_every_one(tmp_path: Path) -> None:
    features, truth = rows(600, skill=5)
    given = frozen(features, wrong(truth, 0.15)[0])
    _, suspected = diagnose.of_data(given, {})
    assert suspected is not None
    noise.write(suspected, given, tmp_path / "noise.csv")
    with open(tmp_path / "noise.csv", encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert [int(row["row_id"]) for row in read] == [1000 + row for row in suspected.rows]
    assert all(
        row["label"] != row["suggested"] and float(row["score_label"]) < float(row["score_suggested"]) for row in read
    )
    assert read[0]["text"] == f"text {suspected.rows[0]}"


@pytest.mark.parametrize("ties", [0.5, 0.2])
def test_lapse_rate_by_its_own_model(ties: float) -> None:
    """Agreement drawn from (1 - share) * sigmoid(a + b * margin) gives the share back."""
    rng = np.random.default_rng(0)
    margin = rng.exponential(4, 20_000)
    right = 1 / (1 + np.exp(-margin) * (1 / ties - 1))
    share, low = noise.lapse_rate(margin, rng.random(20_000) < 0.9 * right)
    assert share == pytest.approx(0.1, abs=0.01)
    assert 0.08 < low <= share


def test_no_lapse_is_proven_where_the_margin_tells_nothing() -> None:
    rng = np.random.default_rng(0)
    for chance in (0.1, 0.3, 0.5):
        assert noise.lapse_rate(rng.exponential(1, 2000), rng.random(2000) < chance)[1] == 0
    assert noise.lapse_rate(np.zeros(500), rng.random(500) < 0.5)[1] == 0
    assert noise.lapse_rate(rng.exponential(1, 2000), np.full(2000, True)) == (0, 0)


# --- shift


def test_shift_is_proven_only_where_there_is_some() -> None:
    features, truth = rows(800, hidden=32)
    moved = rows(300, seed=5)[0]
    moved[:, :4] += 1.5
    said = told(frozen(features, truth, moved))
    assert set(said) == {"train_test_shift"}
    assert "ROC-AUC 0.9" in said["train_test_shift"]["evidence"]


def test_area_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    low, high = rng.normal(size=200).round(1), rng.normal(0.7, 1, size=150).round(1)
    found = shift.area(low, high)
    assert found["value"] == pytest.approx(roc_auc_score(np.r_[np.zeros(200), np.ones(150)], np.r_[low, high]))
    assert found["low"] < found["value"] < found["high"]


def test_the_interval_of_the_area_covers_chance_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for seed in range(60):
        area, _ = shift.discriminate(rng.normal(size=(200, 16)), rng.normal(size=(100, 16)), seed) or pytest.fail(
            "nothing told"
        )
        inside += area["low"] <= 0.5 <= area["high"]
    assert inside >= 52


# --- more rows


@pytest.mark.parametrize("seed", range(3))
def test_more_rows_are_advised_where_they_would_help(seed: int) -> None:
    features, truth = rows(600, classes=30, skill=4, hidden=256, seed=seed)
    given = frozen(features, truth, rows(300, classes=30, skill=4, hidden=256, seed=99)[0], seed)
    said = told(given)
    assert set(said) == {"too_little_data"}
    assert re.match(r"300 more rows: \+\d+\.\d ± \d+\.\d points of accuracy", said["too_little_data"]["evidence"])
    own = {"accuracy": {"value": 0.95, "low": 0.93, "high": 0.97}}  # so much better that a part of the errors is little
    assert diagnose.of_data(given, own)[0] == []  # type: ignore[arg-type]


@pytest.mark.parametrize(("count", "classes"), [(100, 30), (300, 77)])
def test_few_rows_of_many_labels_are_too_few(count: int, classes: int) -> None:
    """Two to five rows a label, which half as many again help by far more than is asked for."""
    said = 0
    for seed in range(4):
        features, truth = rows(count, classes, 6, 256, seed)
        given = frozen(features, truth, rows(100, classes, 6, 256, 99)[0], seed, label_names=list(map(str, range(77))))
        said += "too_little_data" in told(given)
    assert said >= 3


def test_numbers_have_a_forecast_too() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 60)).astype(np.float32)
    truth = features @ rng.normal(size=60) + rng.normal(size=200)
    said = told(frozen(features, truth, features[:0], kind="number", label_names=None))
    assert set(said) == {"too_little_data"}
    assert re.search(r"more rows: -[\d.]+ ± [\d.]+ RMSE", said["too_little_data"]["evidence"])


@pytest.mark.parametrize("exponent", [0.35, 0.5, 1.0])
def test_the_power_law_is_found_again(exponent: float) -> None:
    sizes = np.array([100, 150, 200, 300, 400, 600])
    errors = 0.05 + 2.0 * sizes[None, :] ** -exponent + np.random.default_rng(0).normal(0, 1e-4, (8, 6))
    ahead = curve.forecast(sizes, errors, 800, 400)
    assert ahead.gain == pytest.approx(2 * (800**-exponent - 1200**-exponent), rel=0.1)
    assert ahead.low < ahead.gain


def test_forecasts_come_true() -> None:
    """Of many rows some hundred are given: more of them bring what was promised at least, and about the forecast."""
    true, hits = [], 0
    features, truth = rows(12_000, classes=12, skill=2.5, hidden=64, seed=2)
    test, answers = rows(12_000, classes=12, skill=2.5, hidden=64, seed=3)

    def error(some: np.ndarray, penalty: float) -> float:
        blocks = Blocks(features[some], np.eye(12)[truth[some]], truth[some], 0)
        weights = blocks.fit(np.arange(16), penalty)
        centred = test - features[some].mean(axis=0)
        scale = np.sqrt(np.square(features[some] - features[some].mean(axis=0)).mean())
        return float(((np.c_[centred / scale, np.ones(len(test))] @ weights).argmax(axis=1) != answers).mean())

    for part in np.array_split(np.arange(12_000), 10):
        given, more = part[:600], part[:900]
        blocks = noise.blocks_of(frozen(features[given], truth[given]))
        penalty = blocks.best_penalty()
        ahead = curve.forecast(*curve.measure_errors(blocks, "label", penalty), rows=600, more=300)
        gain = error(given, penalty) - error(more, penalty * 600 / 900)
        true.append((ahead.gain, gain))
        hits += ahead.low <= gain
    forecast, real = np.mean(true, axis=0)
    assert hits >= 9
    assert forecast == pytest.approx(real, abs=0.01)


# --- the model behind them


def test_left_out_rows_are_scored_as_by_scikit_learn() -> None:
    from sklearn.linear_model import Ridge

    features, truth = rows(160, classes=3, hidden=8)
    blocks = Blocks(features, np.eye(3)[truth], truth, 0)
    scores, rest = blocks.out_of_fold(0.1), blocks.of % 8 != 3
    ridge = Ridge(alpha=0.1 * 160).fit(blocks.x[rest, :-1], np.eye(3)[truth][rest])
    assert np.allclose(scores[~rest], ridge.predict(blocks.x[~rest, :-1]), atol=1e-3)


def test_the_same_seed_says_the_same() -> None:
    features, truth = rows(600)
    given = frozen(features, wrong(truth, 0.15)[0], rows(300, seed=9)[0] + 0.5)
    assert told(given) == told(given) != {}


def test_ten_thousand_rows_take_a_second_or_so() -> None:
    features, truth = rows(10_000, classes=77, skill=6, hidden=384)
    given = frozen(features, truth, rows(3000, classes=77, skill=6, hidden=384, seed=4)[0])
    started = time.process_time()
    told(given)
    assert time.process_time() - started < 6  # some 0.6 s of one core; room for a slow machine
