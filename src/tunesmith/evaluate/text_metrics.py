"""What the metrics of written answers, of token probabilities and of preferences are made of, row by row.

    rows = text_rows(predictions, references, stopped)   # statistics of each row, counted once
    with_intervals(rows)                                 # {"exact_match": {"value", "low", "high"}, ...}

Every metric here is a function of statistics added up over rows, so a bootstrap resample of a corpus
metric (BLEU, chrF, perplexity) is a weighted sum: no text is looked at twice (Koehn 2004).
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tunesmith.evaluate.measured import RowStatistics
from tunesmith.evaluate.metrics.texts import CHRF_BETA, CHRF_ORDER, chrf

Numbers = Sequence[float] | np.ndarray

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
    found = {
        "exact_match": _means([float(_tidy(given) in map(_tidy, wanted)) for given, wanted in pairs]),
        "token_f1": _means([max(_token_f1(given, one) for one in wanted) for given, wanted in pairs]),
        **dict(zip(("rouge1", "rouge2", "rougeL"), map(_means, rouge), strict=True)),
        "bleu": _bleu_rows(pairs),
        "chrf": np.array([_chrf_row(*pair) for pair in pairs]),
        "length_ratio": np.array([_lengths(*pair) for pair in pairs], dtype=np.float64),
    }
    return RowStatistics(found if stopped is None else {**found, "stop_rate": _means(stopped)})


def token_rows(loss_sums: Sequence[float], token_counts: Sequence[int], correct_counts: Sequence[int]) -> RowStatistics:
    """Of each row: summed loss (nats), learned tokens, and those of them whose likeliest token was right.

    Metrics are per token: a row counts as heavy as its tokens.
    """
    losses = np.column_stack([loss_sums, token_counts]).astype(np.float64)
    hits = np.column_stack([correct_counts, token_counts]).astype(np.float64)
    return RowStatistics({"loss": losses, "perplexity": losses, "token_accuracy": hits})


def preference_rows(chosen_rewards: Numbers, rejected_rewards: Numbers, losses: Numbers | None = None) -> RowStatistics:
    """Of each pair: the reward of the chosen answer and of the rejected one, and what the pair costs in training.
    Equal rewards count half."""
    margins = np.asarray(chosen_rewards, dtype=np.float64) - np.asarray(rejected_rewards, dtype=np.float64)
    rows = {"reward_margin": _means(margins), "preference_accuracy": _means((1 + np.sign(margins)) / 2)}
    return RowStatistics(rows if losses is None else {**rows, "loss": _means(losses)})


def signatures(references: Sequence[Sequence[str]]) -> dict[str, str]:
    """How BLEU and chrF were computed, in sacrebleu's words, to be printed beside the numbers (Post 2018)."""
    from sacrebleu.metrics import BLEU, CHRF

    counts = {len(some) for some in references}
    found: dict[str, str] = {}
    metrics: dict[str, Any] = {"bleu": BLEU(), "chrf": CHRF(CHRF_ORDER, beta=CHRF_BETA)}
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
    left, right = (squad_tokens(text) for text in (given, wanted))
    if not left or not right:
        return float(left == right)
    return _f1((Counter(left) & Counter(right)).total(), len(left), len(right))


def squad_tokens(text: str) -> list[str]:
    """Words as SQuAD's script compares them: lower case, without punctuation and English articles."""
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
    """[n, 10], see `metrics.texts`; words as sacrebleu's tokenizer 13a finds them."""
    from sacrebleu.metrics import BLEU

    bleu = BLEU(effective_order=True)  # changes the score of a sentence, which is not used, and not its counts
    scores = [bleu.sentence_score(given, wanted) for given, wanted in pairs]
    return np.array([[s.sys_len, s.ref_len, *s.counts, *s.totals] for s in scores], dtype=np.float64)


def _chrf_row(given: str, wanted: Sequence[str]) -> np.ndarray:
    """[18], see `metrics.texts.chrf`, of the reference with the best score."""
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
    return statistics[chrf(statistics).argmax()]


def _character_ngrams(text: str) -> list[Counter[str]]:
    """Of 1 to 6 characters, spaces left out."""
    joined = "".join(text.split())
    sizes = range(1, CHRF_ORDER + 1)
    return [Counter(joined[start : start + size] for start in range(len(joined) - size + 1)) for size in sizes]


def _lengths(given: str, wanted: Sequence[str]) -> tuple[int, int]:
    """Characters, and those of the reference of closest length: words mean little in half of all scripts."""
    length = len(given.strip())
    return length, min((len(one.strip()) for one in wanted), key=lambda other: (abs(other - length), other))
