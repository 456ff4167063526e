"""What answers to questions are worth: spans across windows, loss, and metrics as SQuAD's script counts them."""

from __future__ import annotations

import random
import re
import string
from collections import Counter

import numpy as np
import pytest
import torch
from datasets import Dataset

from tunesmith.engine.windows import NULL
from tunesmith.evaluate.answers import Answered, Span, answer_rows, answer_tokens, best_threshold
from tunesmith.evaluate.measured import compute
from tunesmith.evaluate.targets.answers import Answers as Target
from tunesmith.evaluate.targets.answers import sentences
from tunesmith.models.reader import BEST, NOWHERE, best_spans
from tunesmith.tasks.question_answering import QuestionAnswering


def test_the_best_pair_is_found_across_windows() -> None:
    chance = torch.Generator().manual_seed(1)
    outputs = torch.full((1, 2, 8, 4), NOWHERE)
    outputs[..., 2:] = -2
    outputs[0, :, 0, 2:] = NULL
    outputs[0, :, 0, :2] = torch.tensor([[0.5, 0.5], [-0.5, -1.0]])
    for window in range(2):
        for token in range(2, 8):
            start = 10.0 * window + 2 * token
            outputs[0, window, token] = torch.tensor([*torch.randn(2, generator=chance).tolist(), start, start + 2])
    kept = best_spans(outputs, longest=6.0)
    assert kept.shape == (1, 1 + BEST, 3)
    assert kept[0, 0].tolist() == [-1, -1, 0]
    best: dict[tuple[float, float], float] = {}
    null = outputs[0, :, 0, :2].logsumexp(0).sum()
    for window in range(2):
        for left in range(2, 8):
            for right in range(left, 8):
                begin, end = float(outputs[0, window, left, 2]), float(outputs[0, window, right, 3])
                if end - begin <= 6:
                    score = float(outputs[0, window, left, 0] + outputs[0, window, right, 1] - null)
                    best[begin, end] = max(score, best.get((begin, end), -1e9))
    wanted = sorted(best.values(), reverse=True)[:BEST]
    assert np.allclose(kept[0, 1 : 1 + len(wanted), 2].numpy(), wanted)
    assert best[float(kept[0, 1, 0]), float(kept[0, 1, 1])] == pytest.approx(wanted[0])


def test_metrics_are_those_of_squad() -> None:
    def given(text: str, sure: float = 1.0) -> Answered:
        return Answered((Span(text, 0, len(text)),), sure)

    truth = [[Span("the Eiffel Tower", 0, 16), Span("Eiffel", 4, 10)], [Span("in 1990", 0, 7)], [], []]
    rows = answer_rows([given("Eiffel Tower!"), given("1990"), given("no", 0.2), given("x", 0.9)], truth)
    found = compute(rows)
    assert found["exact_match"] == pytest.approx((1 + 0 + 1 + 0) / 4)
    assert found["f1"] == pytest.approx((1 + 2 / 3 + 1 + 0) / 4)
    assert found["f1_has_answer"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["no_answer_accuracy"] == 0.5
    cut = best_threshold(rows)
    assert cut is not None
    assert 0.9 < cut <= 1
    assert compute(answer_rows(rows.given, truth, cut))["f1"] == pytest.approx((1 + 2 / 3 + 1 + 1) / 4)
    assert best_threshold(rows.take(np.array([0, 1]))) is None
    assert answer_tokens("«L'école», à Paris.") == ("lécole", "à", "paris")
    assert answer_tokens("東京タワー") == tuple("東京タワー")


def test_the_loss_compares_the_tokens_of_all_windows() -> None:
    chance = torch.Generator().manual_seed(2)
    outputs = torch.randn(2, 2, 5, 4, generator=chance)
    outputs[..., 2] = torch.tensor([float(NULL), -2.0, 0.0, 3.0, 7.0])
    outputs[1, 1] = torch.tensor([NOWHERE, NOWHERE, -2.0, -2.0])  # no such window
    targets = torch.zeros(2, 2, 5, 2, dtype=torch.bool)
    targets[0, 0, 0] = True  # the first window has no answer, the second has one in two places
    targets[0, 1, [2, 4], 0], targets[0, 1, [3, 4], 1] = True, True
    targets[1, 0, 0] = True  # no answer at all
    task = QuestionAnswering(QuestionAnswering.Options())
    losses = task.loss(outputs, targets)
    chances = outputs[..., :2].flatten(1, 2).softmax(1)
    begin, end = chances[0, [7, 9], 0].sum(), chances[0, [8, 9], 1].sum()
    assert losses[0] == pytest.approx(float(-(begin.log() + end.log()) / 2), abs=1e-5)
    assert losses[1] == pytest.approx(float(-chances[1, 0].log().mean()), abs=1e-5)


def _normal(text: str) -> list[str]:
    """As the official script of SQuAD has it: lower case, no punctuation, no articles, one space between words."""
    text = "".join(letter for letter in text.lower() if letter not in set(string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def _official(rows: list[tuple[str, float, list[str]]], cut: float) -> dict[str, float]:
    """What the official script of SQuAD 2.0 makes of (answer, probability of none, true answers) of each question: none
    counts as given above `cut`; 'best_f1': with the cut that is best."""
    exact, f1, swept = [], [], []
    for given, none, right in rows:
        gold = [one for one in right if _normal(one)] or [""]

        def pair(wanted: str, given: str = given) -> tuple[float, float]:
            left, right = _normal(given), _normal(wanted)
            same = sum((Counter(left) & Counter(right)).values())
            if not left or not right:
                return float(left == right), float(left == right)
            return (2 * same / (len(left) + len(right)) if same else 0.0), float(left == right)

        found = [pair(one) for one in gold]
        raw = max(one[0] for one in found)
        silent = float(not right)
        swept.append((none, raw if right else (-1.0 if given else 0.0)))
        f1.append(silent if none > cut else raw)
        exact.append(silent if none > cut else max(one[1] for one in found))
    total = best = float(sum(not right for *_, right in rows))
    for _, gain in sorted(swept):
        total += gain
        best = max(best, total)
    has = [bool(right) for *_, right in rows]
    return {
        "f1": float(np.mean(f1)), "exact_match": float(np.mean(exact)), "best_f1": best / len(rows),
        "f1_has_answer": float(np.mean([one for one, yes in zip(f1, has, strict=True) if yes])),
        "no_answer_accuracy": float(np.mean([one for one, yes in zip(exact, has, strict=True) if not yes])),
    }  # fmt: skip


def test_metrics_are_those_of_the_official_script() -> None:
    chance = random.Random(5)
    words = ["the", "a", "Café", "São Paulo", "1,200", "U.S.", "late!", "(card)", "An", "no-one", "naïve", "x"]
    rows = []
    for _ in range(400):
        right = [" ".join(chance.choices(words, k=chance.randint(2, 5))) + " end" for _ in range(chance.randint(1, 3))]
        parts = chance.choice(right).split()
        given = " ".join(parts[chance.randint(0, 2) :]) if chance.random() < 0.7 else chance.choice(words[2:8])
        rows.append((given, chance.random(), right if chance.random() < 0.6 else []))
    given = [Answered((Span(text, 0, len(text)),), 1 - none, none) for text, none, _ in rows]
    truth = [[Span(text, 0, len(text)) for text in right] for *_, right in rows]
    for cut in (0.5, 0.8):
        wanted = _official(rows, cut)
        best = wanted.pop("best_f1")
        found = compute(answer_rows(given, truth, 1 - cut))
        assert found == pytest.approx(wanted, abs=1e-9)
    threshold = best_threshold(answer_rows(given, truth))
    assert threshold is not None
    assert compute(answer_rows(given, truth, threshold))["f1"] == pytest.approx(best, abs=1e-9)
    # an answer of nothing but articles and punctuation is none
    edge = [("the", 0.0, []), ("The.", 0.0, ["a"]), ("x", 0.0, ["a", "x"])]
    found = compute(answer_rows(
        [Answered((Span(text, 0, len(text)),)) for text, *_ in edge], [[Span(t, 0, 1) for t in r] for *_, r in edge]
    ))  # fmt: skip
    assert (found["f1"], found["exact_match"]) == (1.0, 1.0)


def test_baselines_are_sentences() -> None:
    context = "The app is new. My card, which is 3.5 years old, is lost! Where is it?"
    assert [one.text for one in sentences(context)] == [
        "The app is new.", "My card, which is 3.5 years old, is lost!", "Where is it?",
    ]  # fmt: skip
    assert all(context[one.start : one.end] == one.text for one in sentences(context))
    rows = Dataset.from_list([{"question": "how old is my card", "context": context}])
    truth = [[Span("lost", context.index("lost"), context.index("lost") + 4)]]
    found = Target("answers", None).baselines(
        (rows, rows), (truth, truth), "best_sentence", lambda *_: (None, None), seed=0, emit=lambda _: None
    )
    assert list(found) == ["constant_answer", "best_sentence"]
    assert compute(found["best_sentence"])["f1"] > compute(found["constant_answer"])["f1"] == 0
    # half of them have no answer: to give none is then worth more than a sentence, and none is given to what is unlike
    rows = Dataset.from_list([{"question": ask, "context": context} for ask in ("how old is my card", "who paid")] * 4)
    found = Target("answers", None).baselines(
        (rows, rows), ([*truth, []] * 4, [*truth, []] * 4), "best_sentence", lambda *_: (None, None), seed=0,
        emit=lambda _: None,
    )  # fmt: skip
    assert compute(found["constant_answer"]) == {
        "f1": 0.5, "exact_match": 0.5, "f1_has_answer": 0.0, "no_answer_accuracy": 1.0,
    }  # fmt: skip
    sentence = compute(found["best_sentence"])
    assert sentence["no_answer_accuracy"] == 1
    assert sentence["f1_has_answer"] > 0
