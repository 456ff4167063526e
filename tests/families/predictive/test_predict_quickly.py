"""Many rows are predicted in bf16, and again in float32 wherever that could change the answer."""

from __future__ import annotations

import numpy as np
import pytest

import tunesmith
from tunesmith.core.errors import OptionError
from tunesmith.families.predictive import predictor as models

TEXTS = ["the card is broken", "thanks", "where is my order? it was late", "refund me", "ok", "i am angry"] * 20


@pytest.fixture
def quick(whole: tunesmith.Run, monkeypatch: pytest.MonkeyPatch) -> tunesmith.Model:
    monkeypatch.setattr(models, "_MANY", 1)
    monkeypatch.setattr(models, "choose_precision", lambda *_: "bf16")
    return tunesmith.load(whole.path)


def test_labels_are_those_of_float32_and_probabilities_are_near(quick: tunesmith.Model) -> None:
    fast, exact = quick.predict(TEXTS), quick.predict(TEXTS, precision="fp32")
    assert [answer["label"] for answer in fast] == [answer["label"] for answer in exact]
    apart = [abs(a["probability"] - b["probability"]) for a, b in zip(fast, exact, strict=True)]
    assert max(apart) < 0.02


def test_rows_that_bf16_can_not_tell_apart_are_computed_again(
    quick: tunesmith.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = quick.predict(TEXTS, precision="fp32")
    cut = float(np.median([answer["probability"] for answer in exact]))
    at_the_cut = quick.predict(TEXTS, threshold=cut)
    assert [a["label"] for a in at_the_cut] == [
        a["label"] for a in quick.predict(TEXTS, threshold=cut, precision="fp32")
    ]
    calls = []
    real = models.run_rows_quickly
    monkeypatch.setattr(models, "run_rows_quickly", lambda m, rows, unsure, on: real(m, rows, spy(unsure), on=on))

    def spy(unsure):  # type: ignore[no-untyped-def]
        def wrapped(logits: np.ndarray, bound: float) -> np.ndarray:
            calls.append((logits.copy(), bound))
            return np.ones(len(logits), dtype=bool)

        return wrapped

    again = quick.predict(TEXTS)
    assert [a["probability"] for a in again] == pytest.approx([a["probability"] for a in exact], abs=1e-6)
    assert calls[0][1] > 0


def test_weights_are_float32_again_afterwards(quick: tunesmith.Model) -> None:
    quick.predict(TEXTS)
    assert {str(p.dtype) for p in quick.bundle.model.parameters()} == {"torch.float32"}


def test_an_unknown_precision_is_refused(quick: tunesmith.Model) -> None:
    with pytest.raises(OptionError, match="auto or fp32"):
        quick.predict(TEXTS, precision="int4")
