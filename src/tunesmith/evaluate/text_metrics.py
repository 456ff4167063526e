"""Metrics of written answers, of token probabilities, and of preferences, with bootstrap intervals.

    rows = text_rows(predictions, references, stopped)   # statistics of each row, counted once
    compute(rows)                                        # {"exact_match": 0.61, "rougeL": 0.44, ...}
    with_intervals(rows)                                 # {"exact_match": {"value", "low", "high"}, ...}
    verdict(rows, {"lead": text_rows(...)}, "rougeL")   # the shape of `compare.verdict`

Every metric here is a function of statistics added up over rows, so a bootstrap resample of a corpus
metric (BLEU, chrF, perplexity) is a weighted sum: no text is looked at twice (Koehn 2004). Exact match,
token F1, ROUGE and rates lie in 0..1; BLEU and chrF in 0..100, as sacrebleu prints them.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from tunesmith.core.errors import OptionError, did_you_mean
from tunesmith.evaluate.bootstrap import interval, interval_of_difference, weightings
from tunesmith.evaluate.compare import Difference, Verdict, sentence_of, undecided
from tunesmith.evaluate.types import Interval

Numbers = Sequence[float] | np.ndarray

RowStatistics = dict[str, np.ndarray]
"""metric -> float64 [n, d], the d statistics that the metric is made of, for each of the n rows."""

_CHRF_ORDER, _CHRF_BETA = 6, 2
_BLEU_ORDER = 4


@dataclass(frozen=True)
class TextMetric:
    """`function`: sums of statistics float64 [r, d] -> values [r], NaN where undefined.

    `higher_is_better` is None where neither is (a length ratio is best at 1).
    """

    function: Callable[[np.ndarray], np.ndarray]
    higher_is_better: bool | None
    range: tuple[float, float]


def _ratio(sums: np.ndarray) -> np.ndarray:
    """Statistics (over, under)."""
    over, under = sums[:, 0], sums[:, 1]
    return np.divide(over, under, out=np.full(len(sums), np.nan), where=under > 0)


def _perplexity(sums: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.exp(_ratio(sums))


def _bleu(sums: np.ndarray) -> np.ndarray:
    """BLEU (Papineni et al. 2002), exponential smoothing as in mteval-v13a; sacrebleu's numbers.

    Statistics: length, closest reference length, right n-grams for n = 1..4, n-grams for n = 1..4.
    """
    length, wanted = sums[:, 0], sums[:, 1]
    right, total = sums[:, 2 : 2 + _BLEU_ORDER], sums[:, 2 + _BLEU_ORDER :]
    # each order without a hit halves the precision that it is given once more
    halved = 2.0 ** np.cumsum((right == 0) & (total > 0), axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(right > 0, right, 1 / halved) / total
        score = np.exp(np.log(precision).mean(axis=1) + np.minimum(0, 1 - wanted / length))
    return np.where((right.sum(axis=1) > 0) & (total > 0).all(axis=1), 100 * score, 0.0)


def _chrf(sums: np.ndarray) -> np.ndarray:
    """chrF2 (Popović 2015): F of the mean precision and recall of character 1- to 6-grams.

    Statistics: n-grams given, n-grams wanted and n-grams right, for each n.
    """
    given, wanted, right = (sums[:, start::3] for start in range(3))
    counted = (given > 0) & (wanted > 0)
    orders = np.maximum(counted.sum(axis=1), 1)
    precision, recall = (
        np.divide(right, under, out=np.zeros_like(right), where=counted).sum(axis=1) / orders
        for under in (given, wanted)
    )
    factor = _CHRF_BETA**2
    over, under = (1 + factor) * precision * recall, factor * precision + recall
    return 100 * np.divide(over, under, out=np.zeros_like(over), where=under > 0)


_SHARE = (0.0, 1.0)
_PERCENT = (0.0, 100.0)
_POSITIVE = (0.0, float("inf"))

TABLE: dict[str, TextMetric] = {
    "exact_match": TextMetric(_ratio, True, _SHARE),
    "token_f1": TextMetric(_ratio, True, _SHARE),
    "rouge1": TextMetric(_ratio, True, _SHARE),
    "rouge2": TextMetric(_ratio, True, _SHARE),
    "rougeL": TextMetric(_ratio, True, _SHARE),
    "bleu": TextMetric(_bleu, True, _PERCENT),
    "chrf": TextMetric(_chrf, True, _PERCENT),
    "length_ratio": TextMetric(_ratio, None, _POSITIVE),
    "stop_rate": TextMetric(_ratio, True, _SHARE),
    "loss": TextMetric(_ratio, False, _POSITIVE),
    "perplexity": TextMetric(_perplexity, False, (1.0, float("inf"))),
    "token_accuracy": TextMetric(_ratio, True, _SHARE),
    "reward_margin": TextMetric(_ratio, True, (-float("inf"), float("inf"))),
    "preference_accuracy": TextMetric(_ratio, True, _SHARE),
    "kl_to_base": TextMetric(_ratio, None, _POSITIVE),
}
"""name -> TextMetric. The order is the order of tables in the report."""


def higher_is_better(name: str) -> bool | None:
    """None for a metric that is best in the middle. Raises OptionError for an unknown one."""
    if name not in TABLE:
        raise OptionError(f"There is no metric of texts called {name!r}.", did_you_mean(name, TABLE))
    return TABLE[name].higher_is_better


# --- Statistics of rows ---------------------------------------------------------------------------


def text_rows(
    predictions: Sequence[str], references: Sequence[Sequence[str]], stopped: Sequence[bool] | None = None
) -> RowStatistics:
    """Statistics of answers beside one or more references each; the best reference counts.

    `stopped` says which answers the model ended itself; without it there is no stop rate.
    Raises ValueError where lengths differ or a row has no reference.
    """
    if len(predictions) != len(references) or not all(references):
        raise ValueError("Every prediction needs one reference or more.")
    if stopped is not None and len(stopped) != len(predictions):
        raise ValueError(f"{len(stopped)} stop flags for {len(predictions)} predictions.")
    pairs = list(zip(predictions, references, strict=True))
    rouge = np.array([_rouge_row(*pair) for pair in pairs]).reshape(-1, 3).T
    found: RowStatistics = {
        "exact_match": _means([float(_tidy(given) in map(_tidy, wanted)) for given, wanted in pairs]),
        "token_f1": _means([max(_token_f1(given, one) for one in wanted) for given, wanted in pairs]),
        **dict(zip(("rouge1", "rouge2", "rougeL"), map(_means, rouge), strict=True)),
        "bleu": _bleu_rows(pairs),
        "chrf": np.array([_chrf_row(*pair) for pair in pairs]),
        "length_ratio": np.array([_lengths(*pair) for pair in pairs], dtype=np.float64),
    }
    return found if stopped is None else {**found, "stop_rate": _means(stopped)}


def token_rows(loss_sums: Sequence[float], token_counts: Sequence[int], correct_counts: Sequence[int]) -> RowStatistics:
    """Of each row: summed loss (nats), learned tokens, and those of them whose likeliest token was right.

    Metrics are per token: a row counts as heavy as its tokens.
    """
    losses = np.column_stack([loss_sums, token_counts]).astype(np.float64)
    hits = np.column_stack([correct_counts, token_counts]).astype(np.float64)
    return {"loss": losses, "perplexity": losses, "token_accuracy": hits}


def preference_rows(chosen_rewards: Numbers, rejected_rewards: Numbers, losses: Numbers | None = None) -> RowStatistics:
    """Of each pair: the reward of the chosen answer and of the rejected one, and what the pair costs in training.
    Equal rewards count half."""
    margins = np.asarray(chosen_rewards, dtype=np.float64) - np.asarray(rejected_rewards, dtype=np.float64)
    rows = {"reward_margin": _means(margins), "preference_accuracy": _means((1 + np.sign(margins)) / 2)}
    return rows if losses is None else {**rows, "loss": _means(losses)}


# --- Values, intervals, comparison ----------------------------------------------------------------


def compute(rows: RowStatistics) -> dict[str, float]:
    """Values on all rows; undefined ones are left out."""
    values = {name: float(TABLE[name].function(some.sum(axis=0)[None])[0]) for name, some in rows.items() if len(some)}
    return {name: value for name, value in values.items() if np.isfinite(value)}


def with_intervals(
    rows: RowStatistics, *, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> dict[str, Interval]:
    """Values with their bootstrap intervals over rows (see `bootstrap.interval` for the bounds)."""
    values = compute(rows)
    draws = _resampled({name: rows[name] for name in values}, resamples, seed)
    found: dict[str, Interval] = {}
    for name, value in values.items():
        low, high = interval(value, draws[name], level, rows=len(rows[name]), limits=TABLE[name].range)
        found[name] = {"value": value, "low": low, "high": high}
    return found


def paired_difference(
    ours: RowStatistics, theirs: RowStatistics, metric: str, *, resamples: int = 2000, seed: int = 0
) -> Difference:
    """Difference in `metric` on the same rows in the same order, with its 95 % interval; positive is better.

    Raises ValueError for different numbers of rows, a metric that is undefined for one of them, or
    one that is best in the middle.
    """
    better = higher_is_better(metric)
    values = [compute({metric: some[metric]}).get(metric) for some in (ours, theirs)]
    if better is None or values[0] is None or values[1] is None or len(ours[metric]) != len(theirs[metric]):
        raise ValueError(f"{metric!r} can not be compared: other rows, undefined, or best in the middle.")
    sign = 1.0 if better else -1.0
    draws = [_resampled({metric: some[metric]}, resamples, seed)[metric] for some in (ours, theirs)]
    difference = sign * (values[0] - values[1])
    low, high = interval_of_difference(difference, sign * (draws[0] - draws[1]), 0.95, rows=len(ours[metric]))
    return {"difference": difference, "low": low, "high": high}


def verdict(
    ours: RowStatistics, baselines: Mapping[str, RowStatistics], metric: str, *, resamples: int = 2000, seed: int = 0
) -> Verdict:
    """Better, not proven or worse than the best baseline, as `compare.verdict` says it."""
    known = {name: compute(some)[metric] for name, some in baselines.items() if metric in compute(some)}
    value = compute(ours).get(metric)
    if value is None or not known:
        return undecided(metric, "it is undefined" if value is None else "no baseline has a value for it")
    against = (max if higher_is_better(metric) else min)(known, key=lambda name: known[name])
    found = paired_difference(ours, baselines[against], metric, resamples=resamples, seed=seed)
    outcome: Literal["better", "not proven", "worse"] = "better" if found["low"] > 0 else "not proven"
    if found["high"] < 0:
        outcome = "worse"
    return {
        "outcome": outcome,
        "against": against,
        "metric": metric,
        "difference": found["difference"],
        "low": found["low"],
        "high": found["high"],
        "sentence": sentence_of(outcome, metric, against, (value, known[against]), found, len(ours[metric])),
    }


def signatures(references: Sequence[Sequence[str]]) -> dict[str, str]:
    """How BLEU and chrF were computed, in sacrebleu's words, to be printed beside the numbers (Post 2018)."""
    from sacrebleu.metrics import BLEU, CHRF

    counts = {len(some) for some in references}
    found: dict[str, str] = {}
    metrics: dict[str, Any] = {"bleu": BLEU(), "chrf": CHRF(_CHRF_ORDER, beta=_CHRF_BETA)}
    for name, metric in metrics.items():
        metric.corpus_score([""], [[""]])  # sacrebleu signs what it has computed
        signature = metric.get_signature()
        signature.info["nrefs"] = max(counts) if len(counts) == 1 else "var"
        found[name] = signature.format()
    return found


def language_note(references: Sequence[Sequence[str]]) -> str | None:
    """A warning where the references are in a script that some metrics do not read; else None."""
    letters = [letter for some in references for text in some for letter in text.lower() if letter.isalpha()]
    unread = sum(not letter.isascii() for letter in letters) / max(len(letters), 1)
    if unread < 0.05:
        return None
    return (
        f"ROUGE reads the letters a to z and digits only; {unread:.0%} of the letters here are others. "
        "Token F1 and BLEU split words at spaces. Trust chrF, which needs neither."
    )


# --- Baselines ------------------------------------------------------------------------------------


def lead(source: str | Sequence[str], sentences: int = 3) -> str:
    """The first sentences of a text (or of a list of sentences): hard to beat as a summary of news."""
    parts = (
        re.split(r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])\s*", source.strip()) if isinstance(source, str) else source
    )
    return " ".join(part.strip() for part in parts[:sentences] if part.strip())


def copy(source: str | Sequence[str]) -> str:
    """The source as the answer: what correcting or rewriting must beat."""
    return source.strip() if isinstance(source, str) else " ".join(part.strip() for part in source)


# --- One row ----------------------------------------------------------------------------------------


def _resampled(rows: RowStatistics, resamples: int, seed: int) -> dict[str, np.ndarray]:
    """Each metric on bootstrap resamples: float64 [resamples]. All metrics see the same draws."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in rows}
    count = len(next(iter(rows.values()), ()))
    for weights in weightings(count, resamples, seed) if count else ():
        for name, some in rows.items():
            parts[name].append(TABLE[name].function(weights.T @ some))
    return {name: np.concatenate(values) for name, values in parts.items()}


def _means(values: Numbers) -> np.ndarray:
    """Statistics of a mean over rows."""
    column = np.asarray(values, dtype=np.float64)
    return np.column_stack([column, np.ones(len(column))])


def _tidy(text: str) -> str:
    """What exact match compares: no space at the ends, every run of spaces and line breaks as one space."""
    return " ".join(text.split())


def _token_f1(given: str, wanted: str) -> float:
    """F1 of the bags of words, as SQuAD's script counts it (Rajpurkar et al. 2016).

    Lower case, without punctuation and English articles; two empty answers agree.
    """
    left, right = (_squad_tokens(text) for text in (given, wanted))
    if not left or not right:
        return float(left == right)
    return _f1((Counter(left) & Counter(right)).total(), len(left), len(right))


def _squad_tokens(text: str) -> list[str]:
    bare = text.lower().translate(str.maketrans("", "", string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()


def _rouge_row(given: str, wanted: Sequence[str]) -> list[float]:
    """F of ROUGE-1, -2 and -L (Lin 2004) without stemming, each of its best reference; rouge-score's numbers."""
    ours = _rouge_tokens(given)
    scores = [_rouge_scores(ours, _rouge_tokens(one)) for one in wanted]
    return [max(values) for values in zip(*scores, strict=True)]


def _rouge_scores(ours: list[str], theirs: list[str]) -> tuple[float, float, float]:
    pairs = [Counter(pairwise(words)) for words in (ours, theirs)]
    return (
        _f1((Counter(ours) & Counter(theirs)).total(), len(ours), len(theirs)),
        _f1((pairs[0] & pairs[1]).total(), pairs[0].total(), pairs[1].total()),
        _f1(_longest_common(ours, theirs), len(ours), len(theirs)),
    )


def _rouge_tokens(text: str) -> list[str]:
    return re.findall("[a-z0-9]+", text.lower())


def _longest_common(left: list[str], right: list[str]) -> int:
    """Length of the longest common subsequence, a row of its table as the bits of one number (Hyyrö 2004)."""
    places: Counter[str] = Counter()
    for place, word in enumerate(left):
        places[word] |= 1 << place
    every = row = (1 << len(left)) - 1
    for word in right:
        found = row & places[word]
        row = ((row + found) | (row - found)) & every
    return len(left) - row.bit_count()


def _f1(shared: int, given: int, wanted: int) -> float:
    return 2 * shared / (given + wanted) if shared else 0.0


def _bleu_rows(pairs: Sequence[tuple[str, Sequence[str]]]) -> np.ndarray:
    """[n, 10], see `_bleu`; words as sacrebleu's tokenizer 13a finds them."""
    from sacrebleu.metrics import BLEU

    bleu = BLEU(effective_order=True)  # changes the score of a sentence, which is not used, and not its counts
    scores = [bleu.sentence_score(given, wanted) for given, wanted in pairs]
    return np.array([[s.sys_len, s.ref_len, *s.counts, *s.totals] for s in scores], dtype=np.float64)


def _chrf_row(given: str, wanted: Sequence[str]) -> np.ndarray:
    """[18], see `_chrf`, of the reference with the best score."""
    ours = _character_ngrams(given)
    found = []
    for one in wanted:
        theirs = _character_ngrams(one)
        found.append([
            # faster than the intersection of counters: most n-grams are not shared
            (left.total() if right else 0, right.total(), sum(min(left[n], right[n]) for n in left.keys() & right))
            for left, right in zip(ours, theirs, strict=True)
        ])  # fmt: skip
    statistics = np.array(found, dtype=np.float64).reshape(len(wanted), -1)
    best: np.ndarray = statistics[_chrf(statistics).argmax()]
    return best


def _character_ngrams(text: str) -> list[Counter[str]]:
    """Of 1 to 6 characters, spaces left out."""
    joined = "".join(text.split())
    sizes = range(1, _CHRF_ORDER + 1)
    return [Counter(joined[start : start + size] for start in range(len(joined) - size + 1)) for size in sizes]


def _lengths(given: str, wanted: Sequence[str]) -> tuple[int, int]:
    """Characters, and those of the reference of closest length: words mean little in half of all scripts."""
    length = len(given.strip())
    return length, min((len(one.strip()) for one in wanted), key=lambda other: (abs(other - length), other))
