"""Metrics of texts against the scripts that the field compares with, and their intervals."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF

from tunesmith.core.errors import OptionError
from tunesmith.evaluate import text_metrics as metrics
from tunesmith.evaluate.compare import verdict
from tunesmith.evaluate.measured import compute, paired_difference, with_intervals
from tunesmith.evaluate.metrics import TABLE, get, higher_is_better, names_for
from tunesmith.evaluate.text_metrics import text_rows

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    ",",
    "and",
    "it's",
    "3.5",
    "-",
    "(really)",
    ".",
    "naïve",
    "Ωmega",
    "東京",
]


def texts(rows: int, seed: int, most: int = 30) -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, random.integers(0, most))) for _ in range(rows)]


@pytest.fixture(scope="module")
def corpus() -> tuple[list[str], list[list[str]]]:
    """Answers that share parts with one to three references; some rows are empty."""
    predictions, noise = texts(80, 1), texts(240, 2)
    random = np.random.default_rng(3)
    references = []
    for row, said in enumerate(predictions):
        words = [word for word in said.split() if random.random() < 0.8]
        references.append([" ".join(words), *noise[3 * row : 3 * row + row % 3]])
    return predictions, references


def streams(references: list[list[str]]) -> list[list[str | None]]:
    """References as sacrebleu wants them: one list for the first of each row, one for the second, ..."""
    most = max(map(len, references))
    return [[row[i] if i < len(row) else None for row in references] for i in range(most)]


def test_bleu_and_chrf_are_sacrebleus(corpus: tuple[list[str], list[list[str]]]) -> None:
    predictions, references = corpus
    values = compute(text_rows(predictions, references))
    assert values["bleu"] == pytest.approx(BLEU().corpus_score(predictions, streams(references)).score, abs=1e-9)
    assert values["chrf"] == pytest.approx(CHRF().corpus_score(predictions, streams(references)).score, abs=1e-9)
    assert 5 < values["bleu"] < 95


@pytest.mark.parametrize(
    "said", ["", "cat", "the cat", "dog dog dog dog dog", "the cat sat on dogs", "the dog cat dog a"]
)
def test_bleu_and_chrf_of_hard_cases_are_sacrebleus(said: str) -> None:
    wanted = "the cat sat on a mat"
    values = compute(text_rows([said], [[wanted]]))
    assert values["bleu"] == pytest.approx(BLEU().corpus_score([said], [[wanted]]).score, abs=1e-9)
    assert values["chrf"] == pytest.approx(CHRF().corpus_score([said], [[wanted]]).score, abs=1e-9)


def test_rouge_is_rouge_scores(corpus: tuple[list[str], list[list[str]]]) -> None:
    scorers = pytest.importorskip("rouge_score.rouge_scorer")
    scorer = scorers.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False)
    predictions, references = corpus
    rows = text_rows(predictions, references)
    scores = [scorer.score_multi(wanted, said) for said, wanted in zip(predictions, references, strict=True)]
    for ours, theirs in (("rouge1", "rouge1"), ("rouge2", "rouge2"), ("rougeL", "rougeL")):
        np.testing.assert_allclose(rows.sums[ours][:, 0], [score[theirs].fmeasure for score in scores], atol=1e-12)


def test_draws_of_corpus_metrics_are_those_of_the_resampled_texts(corpus: tuple[list[str], list[list[str]]]) -> None:
    predictions, references = corpus
    rows = text_rows(predictions, references)
    drawn = np.random.default_rng(0).integers(0, len(predictions), len(predictions))
    weights = np.bincount(drawn, minlength=len(predictions)).astype(np.float64)[:, None]
    some = [predictions[i] for i in drawn]
    for name, metric in (("bleu", BLEU()), ("chrf", CHRF())):
        value = TABLE[name].function(weights.T @ rows.sums[name])[0]
        assert value == pytest.approx(metric.corpus_score(some, streams([references[i] for i in drawn])).score)


@pytest.mark.parametrize(
    ("said", "wanted", "exact", "f1"),
    [
        ("  Paris\n\n is  it ", "Paris is it", 1, 1),
        ("paris is it", "Paris is it", 0, 1),
        ("The cat!", "a cat", 0, 1),
        ("black cat", "cat", 0, 2 / 3),
        ("", "", 1, 1),
        ("", "cat", 0, 0),
        ("cat cat", "cat dog", 0, 0.5),
    ],
)
def test_exact_match_and_token_f1(said: str, wanted: str, exact: float, f1: float) -> None:
    values = compute(text_rows([said], [["something else", wanted]]))
    assert (values["exact_match"], values["token_f1"]) == (exact, pytest.approx(f1))


def test_rates_and_lengths() -> None:
    values = compute(text_rows(["abcd", "ab"], [["ab"], ["abcdef", "abc"]], [True, False]))
    assert values["stop_rate"] == 0.5
    assert values["length_ratio"] == pytest.approx(6 / 5)
    assert "stop_rate" not in compute(text_rows(["a"], [["a"]]))


def test_token_metrics_weigh_rows_by_their_tokens() -> None:
    found = with_intervals(metrics.token_rows([2.0, 30.0], [2, 10], [1, 10]))
    assert found["loss"]["value"] == pytest.approx(32 / 12)
    assert found["perplexity"]["value"] == pytest.approx(np.exp(32 / 12))
    assert found["perplexity"]["high"] == pytest.approx(np.exp(found["loss"]["high"]))
    assert found["token_accuracy"]["value"] == pytest.approx(11 / 12)
    assert found["loss"]["low"] < found["loss"]["value"] < found["loss"]["high"]
    assert with_intervals(metrics.token_rows([0.0], [0], [0])) == {}  # no learned token: undefined, not a crash
    assert "perplexity" not in with_intervals(metrics.token_rows([1e4], [1], [0]))  # beyond what a float holds


def test_preference_metrics_count_a_tie_as_half() -> None:
    found = with_intervals(metrics.preference_rows([1.0, 2.0, 3.0, 0.0], [0.0, 2.0, 1.0, 2.0]))
    assert found["reward_margin"]["value"] == pytest.approx(0.25)
    assert found["preference_accuracy"]["value"] == pytest.approx(2.5 / 4)


def test_intervals_hold_the_value_and_shrink_with_rows(corpus: tuple[list[str], list[list[str]]]) -> None:
    rows = text_rows(*corpus, [True] * len(corpus[0]))
    many = rows.take(np.tile(np.arange(len(rows)), 9))
    found, narrow = with_intervals(rows), with_intervals(many)
    for name in ("token_f1", "rougeL", "bleu", "chrf"):
        assert found[name]["low"] < found[name]["value"] < found[name]["high"]
        widths = [some[name]["high"] - some[name]["low"] for some in (found, narrow)]
        assert widths[0] / widths[1] == pytest.approx(3, rel=0.2)
    assert found["stop_rate"]["high"] == 1
    assert 0.9 < found["stop_rate"]["low"] < 1  # all stopped in 80 rows is no proof for the next
    assert with_intervals(rows) == found


def test_the_interval_of_a_mean_covers_the_truth() -> None:
    random, covered = np.random.default_rng(0), 0
    for seed in range(200):
        losses, counts = random.gamma(2, 1, 150), random.integers(5, 20, 150)
        found = with_intervals(metrics.token_rows(list(losses * counts), list(counts), list(counts)), seed=seed)
        covered += found["loss"]["low"] <= 2 <= found["loss"]["high"]
    assert 0.89 <= covered / 200 <= 0.99


def test_few_rows_are_not_surer_than_they_are() -> None:
    random, covered = np.random.default_rng(0), 0
    for seed in range(200):
        found = with_intervals(
            metrics.token_rows(list(random.gamma(2, 1, 8)), [1] * 8, [1] * 8), resamples=500, seed=seed
        )
        covered += found["loss"]["low"] <= 2 <= found["loss"]["high"]
    assert covered / 200 >= 0.9


def test_one_pair_of_seven_is_enough_for_doubt() -> None:
    """By the sign test it has a chance of 0.125, one of ten of 0.02."""
    for rows, outcome in ((7, "not proven"), (10, "better")):
        ours = metrics.preference_rows([1.0] * (rows - 1) + [-1.0], [0.0] * rows)
        base = metrics.preference_rows([0.0] * rows, [0.0] * rows)
        assert verdict(ours, {"base": base}, "preference_accuracy")["outcome"] == outcome


def test_verdicts_are_paired() -> None:
    wanted = [[f"answer number {i} of the test"] for i in range(60)]
    perfect = text_rows([one[0] for one in wanted], wanted)
    close = text_rows([one[0].replace("test", "exam") for one in wanted], wanted)
    far = text_rows(["nothing"] * 60, wanted)
    found = verdict(perfect, {"far": far, "close": close}, "rougeL")
    assert (found["outcome"], found["against"]) == ("better", "close")
    assert found["low"] is not None
    assert found["low"] > 0
    assert "60 test rows" in found["sentence"]
    assert verdict(close, {"perfect": perfect}, "chrf")["outcome"] == "worse"
    same = verdict(close, {"close": close}, "bleu")
    assert (same["outcome"], same["difference"]) == ("not proven", 0)
    assert verdict(close, {}, "bleu")["outcome"] == "not proven"


@pytest.mark.parametrize(("rows", "outcome"), [(1, "not proven"), (5, "not proven"), (6, "better"), (60, "better")])
def test_a_handful_of_rows_that_agree_proves_nothing(rows: int, outcome: str) -> None:
    """Their resamples are all alike; the interval is as wide as their number leaves it, and the sign test agrees."""
    ours, base = (metrics.preference_rows([reward] * rows, [0.0] * rows) for reward in (1.0, 0.0))
    found = verdict(ours, {"base": base}, "preference_accuracy")
    low, high = found["low"], found["high"]
    assert low is not None
    assert low == pytest.approx(0.5 * (2 * 0.025 ** (1 / rows) - 1))
    assert high == 0.5
    assert (found["outcome"], low > 0) == (outcome, 2 * 0.5**rows < 0.05)


def test_the_best_and_the_worst_score_still_leave_room() -> None:
    wanted = [["one two three four five"]] * 10
    doubt = 1 - 0.025 ** (1 / 10)
    best, worst = (with_intervals(text_rows([text] * 10, wanted))["bleu"] for text in (wanted[0][0], "other"))
    assert (best["low"], best["high"]) == (pytest.approx(100 * (1 - doubt)), pytest.approx(100))
    assert (worst["low"], worst["high"]) == (0, pytest.approx(100 * doubt))


def test_a_lower_loss_is_a_positive_difference() -> None:
    low, high = (metrics.token_rows([loss] * 30, [1] * 30, [0] * 30) for loss in (1.0, 2.0))
    assert paired_difference(low, high, "loss")["difference"] == 1
    with pytest.raises(ValueError, match="same rows"):
        paired_difference(low, high.take(np.arange(9)), "loss")


def test_every_metric_says_which_way_is_better() -> None:
    assert {name for name in names_for("text") if get(name).higher_is_better is False} == {"loss", "perplexity"}
    assert get("length_ratio").higher_is_better is None
    with pytest.raises(OptionError, match="rougeL"):
        higher_is_better("rouge-l")


def test_wrong_shapes_are_refused_and_no_rows_have_no_values() -> None:
    with pytest.raises(ValueError, match="reference"):
        text_rows(["a"], [[]])
    with pytest.raises(ValueError, match="reference"):
        text_rows(["a"], [])
    with pytest.raises(ValueError, match="stop flags"):
        text_rows(["a"], [["a"]], [True, False])
    assert with_intervals(text_rows([], [], [])) == {}


def test_signatures_and_language_note() -> None:
    assert metrics.signatures([["a"], ["b"]])["bleu"].startswith(
        "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:"
    )
    assert metrics.signatures([["a"], ["b", "c"]])["chrf"].startswith(
        "nrefs:var|case:mixed|eff:yes|nc:6|nw:0|space:no|"
    )
    assert metrics.language_note([["plain English text in which a café is"]]) is None
    assert "chrF" in str(metrics.language_note([["столица России"]]))


def test_lead_and_copy() -> None:
    text = "One is here. Is two? Three costs 3.5 euros! Four."
    assert metrics.lead(text) == "One is here. Is two? Three costs 3.5 euros!"
    assert metrics.lead(["A.", " B ", "C", "D"], sentences=2) == "A. B"
    assert metrics.lead("一つ。二つ。三つ。四つ。", 2) == "一つ。 二つ。"
    assert (metrics.copy(" a b "), metrics.copy(["a.", "b."])) == ("a b", "a. b.")


@pytest.mark.story
def test_a_thousand_rows_take_seconds(shared_data: Path) -> None:
    lines = (shared_data / "scitldr" / "test.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    rows = (rows * 2)[:1000]
    start = time.process_time()
    found = with_intervals(text_rows([metrics.lead(row["source"]) for row in rows], [row["target"] for row in rows]))
    assert time.process_time() - start < 10
    assert 0.15 < found["rougeL"]["value"] < 0.30
