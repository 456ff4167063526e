"""What was forgotten, in numbers: known answers for known changes."""

from __future__ import annotations

import numpy as np
import pytest

from tunesmith.evaluate import forgetting
from tunesmith.evaluate.types import Outcome


@pytest.fixture
def features() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(200, 16)).astype(np.float32)


def outcome(right: np.ndarray) -> Outcome:
    scores = np.where(right[:, None], [[0.1, 0.9]], [[0.9, 0.1]])
    return Outcome("label", np.ones(len(right), dtype=np.int64), scores, ["no", "yes"])


def test_general_texts_are_many_and_different() -> None:
    texts = forgetting.general_texts()
    assert len(texts) > 280
    assert len(set(texts)) == len(texts)
    assert all(20 < len(text) < 120 for text in texts)


def test_cka_is_blind_to_rotation_scale_and_place(features: np.ndarray) -> None:
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(16, 16)))[0]
    assert forgetting.linear_cka(features, 3 * features @ rotation + 5) == pytest.approx(1)
    assert forgetting.linear_cka(features, np.random.default_rng(2).normal(size=(200, 16))) < 0.2


def test_cka_is_the_kernel_form_of_the_paper(features: np.ndarray) -> None:
    other = np.tanh(features[:, :5] @ np.random.default_rng(1).normal(size=(5, 9)))
    centre = np.eye(200) - 1 / 200
    k, m = (centre @ (part @ part.T) @ centre for part in (features.astype(np.float64), other))
    expected = (k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum())
    assert forgetting.linear_cka(features, other) == pytest.approx(expected, rel=1e-6)


def test_neighbours_agree_fully_or_by_chance(features: np.ndarray) -> None:
    assert (forgetting.neighbour_agreement(features, 2 * features) == 1).all()
    apart = np.random.default_rng(2).normal(size=(200, 16))
    assert forgetting.neighbour_agreement(features, apart).mean() == pytest.approx(10 / 199, abs=0.03)


def test_nothing_lost_is_exactly_nothing(features: np.ndarray) -> None:
    found = forgetting.drift(features, features.copy(), general=150)
    assert found["lost"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    right = np.arange(50) % 3 > 0
    same = forgetting.lost_metric(outcome(right), outcome(right), "accuracy", name="old", probe="")
    assert same["lost"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert same["kept"]["value"] == 1.0


def test_drift_grows_with_the_noise(features: np.ndarray) -> None:
    noise = np.random.default_rng(3).normal(size=features.shape)
    found = [forgetting.drift(features, features + scale * noise, 150)["lost"] for scale in (0.1, 0.5, 2.0)]
    assert 0 < found[0]["value"] < found[1]["value"] < found[2]["value"] < 1
    assert all(one["low"] < one["value"] < one["high"] for one in found)


def test_a_metric_that_fell_is_lost_and_one_that_rose_is_not() -> None:
    before, after = np.ones(100, dtype=bool), np.arange(100) >= 20
    found = forgetting.lost_metric(outcome(before), outcome(after), "accuracy", name="old", probe="")
    assert found["lost"]["value"] == pytest.approx(0.2)
    assert 0.1 < found["lost"]["low"] < 0.2 < found["lost"]["high"] < 0.3
    assert found["kept"]["value"] == pytest.approx(0.8)
    assert found["kept"]["low"] == pytest.approx(1 - found["lost"]["high"])
    back = forgetting.lost_metric(outcome(after), outcome(before), "accuracy", name="old", probe="")
    assert back["lost"]["value"] == pytest.approx(-0.2)
    assert back["kept"]["value"] == pytest.approx(1.25)


def test_an_error_that_rose_is_lost() -> None:
    truth = np.linspace(0, 1, 40)
    before, after = (Outcome("number", truth, truth + shift, None) for shift in (0.1, 0.4))
    found = forgetting.lost_metric(before, after, "rmse", name="old", probe="")
    assert found["lost"]["value"] == pytest.approx(0.3)
    assert found["kept"]["value"] == pytest.approx(0.25)


def test_token_losses_count_by_their_tokens() -> None:
    tokens = np.array([1.0, 9.0] * 20)
    before, after = 2.0 * tokens, 2.0 * tokens + np.array([1.0, 0.0] * 20)
    found = forgetting.lost_loss((before, tokens), (after, tokens), name="old", probe="")
    assert found["lost"]["value"] == pytest.approx(0.1)
    assert found["lost"]["low"] < 0.1 < found["lost"]["high"]
    assert found["kept"]["value"] == pytest.approx(np.exp(-0.1))
    with pytest.raises(ValueError, match="same tokens"):
        forgetting.lost_loss((before, tokens), (after, tokens + 1), name="old", probe="")


def test_tasks_in_turn() -> None:
    matrix = [[0.9], [0.7, 0.8], [0.6, 0.85, 0.95]]
    found = forgetting.of_sequence(matrix, [True, True, True])
    assert found["backward_transfer"] == pytest.approx(((0.6 - 0.9) + (0.85 - 0.8)) / 2)
    assert found["average_forgetting"] == pytest.approx(((0.9 - 0.6) + (0.8 - 0.85)) / 2)
    errors = forgetting.of_sequence([[1.0], [1.5, 2.0]], [False, False])
    assert errors == {"average_forgetting": 0.5, "backward_transfer": -0.5}
    assert forgetting.of_sequence([[0.9]], [True]) == {}
    assert forgetting.of_sequence([[0.9], [0.7, 2.0]], [True, False]) == {
        "average_forgetting": pytest.approx(0.2), "backward_transfer": pytest.approx(-0.2)
    }  # fmt: skip
    assert forgetting.of_sequence([[0.9], [0.7, 2.0], [0.7, 24.0, 0.9]], [True, False, True]) == {}
