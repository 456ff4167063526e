"""Names and numbers as people read them. Strings only: it computes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

BASELINES = {
    "majority": "always giving the most frequent answer",
    "mean": "always giving the mean",
    "colours_and_edges_logistic_regression": "colours and edges (HOG)",
    "colours_and_edges": "colours and edges (HOG)",
    "colours_and_edges_ridge": "colours and edges (HOG)",
    "box_prior": "the boxes that are most frequent",
    "tfidf_logistic_regression": "counting words (TF-IDF)",
    "tfidf_ridge": "counting words (TF-IDF)",
    "tfidf": "counting words (TF-IDF)",
    "gazetteer": "the entities of the training rows, looked up",
    "table_logistic_regression": "the columns without the text, as a linear model",
    "table_ridge": "the columns without the text, as a linear model",
    "table_gradient_boosting": "the columns without the text, as boosted trees",
    "linear_probe_text": "a linear model on the frozen base, without the columns",
    "constant_answer": "no answer or the first sentence (whichever is right more often)",
    "best_sentence": "the sentence that is most like the question",
    "pixel_colours": "the most frequent class of each colour",
    "random": "documents in random order",
    "bm25": "shared words (BM25)",
    "word_tags": "the most frequent tag of each word",
    "nearest_neighbours": "the answers of the rows that are most alike",
    "linear_probe": "a linear model on the frozen base",
    "base": "the base model as it is",
    "few_shot": "the base model that is shown examples",
    "lead": "the first three sentences of the source",
    "copy_source": "the source as it is",
}
"""What simpler ways are called, in tables as in sentences."""

_OTHERS = {"neighbours_kept": "neighbours kept"}
"""Numbers that are no metrics of TABLE."""

FINDINGS = {
    "fit_fine": "Neither over- nor under-fitted",
    "training_did_not_help": "Training did not help",
    "over_fitted": "Over-fitted",
    "under_fitted": "Under-fitted",
    "calibration_off": "Probabilities are off",
    "no_better_than_constant": "No better than a constant answer",
    "small_test_set": "Small test set",
}


def finding(name: str) -> str:
    return FINDINGS.get(name, name.replace("_", " ").capitalize())


def baseline(name: str) -> str:
    return BASELINES.get(name, name.replace("_", " "))


def capital(title: str) -> str:
    """As a sentence begins with it."""
    return f"{title[:1].upper()}{title[1:]}"


def listed(names: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def metric(name: str) -> str:
    """'f1_macro' -> 'F1 (macro)'."""
    from tunesmith.evaluate.metrics import TABLE  # brings numpy, which not all who say something else have loaded

    if title := TABLE[name].title if name in TABLE else _OTHERS.get(name):
        return title
    stem, _, average = name.partition("_")
    title = {"f1": "F1"}.get(stem, stem)
    return f"{title} ({average})" if average else title


def number(value: float | None, signed: bool = False) -> str:
    """Three decimals where they matter, else three significant digits; an en dash for None."""
    if value is None or value != value:
        return "–"
    size = abs(value)
    if size and (size < 0.0005 or size >= 100_000):
        text = f"{value:.2e}"
    else:
        text = f"{value:.3f}" if size < 10 else f"{value:.1f}" if size < 1000 else f"{value:,.0f}"
    return f"+{text}" if signed and value > 0 else text


def interval(found: Mapping[str, float]) -> str:
    """'0.807 – 0.921', of {"low", "high"}."""
    return f"{number(found['low'])} – {number(found['high'])}"


def bytes_(count: float | None) -> str:
    if not count:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit in ("B", "kB") else f"{count:.1f} {unit}"
        count /= 1000
    return "–"


def seconds(count: float | None) -> str:
    if count is None:
        return "–"
    if count < 90:
        return f"{count:.1f} s"
    minutes, left = divmod(round(count), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {left} s"


def about(count: float) -> str:
    """A forecast of seconds, no finer than it can be: 'a few seconds', '40 s', '3 min', '2.5 h', '4 days'."""
    if count < 5:
        return "a few seconds"
    if count < 90:
        return f"{round(count, -1 if count > 20 else 0):.0f} s"
    if count < 90 * 60:
        return f"{count / 60:.0f} min"
    if count < 36 * 3_600:
        return f"{count / 3_600:.1f}".removesuffix(".0") + " h"
    return f"{count / 86_400:.0f} days"


def size(count: float) -> str:
    """Bytes as '850 MB' or '1.2 GB'."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(1, round(count / 1e6))} MB"


def forgotten(found: Mapping[str, Any]) -> str:
    """The part 'forgetting' of metrics.json in one sentence."""
    if found["lost"]["high"] <= 0 and not any(one["lost"]["value"] > 0 for one in found.get("tasks", ())):
        return f"nothing of what it knew before is lost ({found['probe']})"
    share = [f"{100 * found['kept'][bound]:.1f}" for bound in ("value", "low", "high")]
    lost = [number(found["lost"][bound]) for bound in ("value", "low", "high")]
    return (
        f"{share[0]} % (95 % interval {share[1]} to {share[2]} %) of what it knew before is left, {lost[0]} is lost "
        f"({lost[1]} to {lost[2]}): {found['probe']}"
    )


def sureness(probability: float) -> str:
    """Nothing is 100 % sure."""
    return "over 99 % sure" if probability > 0.99 else f"{100 * probability:.0f} % sure"


def forgetting_matters(document: Mapping[str, Any]) -> bool:
    """Whether people should be told at once: something is retained, or the model writes, so that it is used for more
    than what it was trained on. Otherwise the numbers stand in the details."""
    found = document.get("forgetting") or {}
    return bool(found.get("tasks") or "matrix" in found or (found and "token_accuracy" in document["test"]))


def kept(forgetting: dict[str, Any] | None) -> str:
    """What was kept, as a share: of the base's knowledge, or of an earlier task's metric."""
    return "-" if forgetting is None else f"{100 * forgetting['kept']['value']:.0f} %"
