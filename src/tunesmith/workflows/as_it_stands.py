"""The base model's own answers to the test rows, before any training: is fine-tuning needed at all?

A checkpoint that was trained as a classifier of the same labels answers by its head. A sentence encoder
answers by the label whose name, read as words, is nearest to the text (zero-shot by similarity: Yin et
al. 2019, section 5).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from datasets import Dataset

from tunesmith.core.events import Decided
from tunesmith.engine.inference import evaluating, parts, run_rows
from tunesmith.engine.precision import working
from tunesmith.engine.tokens import encode_texts

if TYPE_CHECKING:
    from tunesmith.workflows.pipeline import Work

SCALE = 20.0
"""Logit of a cosine of 1: what sentence encoders are trained with (sentence-transformers'
MultipleNegativesRankingLoss)."""


def logits(work: Work, features: np.ndarray) -> np.ndarray | None:
    """float32 [test rows, outputs], or None where the base model can not answer.

    `features` [rows, hidden] are the frozen base's, computed for the test rows at least.
    """
    bundle, test = work.bundle, work.data.splits["test"]
    if bundle.answers == "head":
        work.emit(Decided("base", "its own head", "the base model was trained to answer with the same labels"))
        return work.logits(test)
    names = [as_words(name) for name in work.plan.task.label_names or []]
    if (
        bundle.answers != "names" or work.plan.task.kind != "label" or work.data.columns.text_pair is not None
        or not all(names) or len(set(names)) < len(names)
    ):  # fmt: skip
        return None
    why = "it is a sentence encoder, so the label whose name is nearest to the text is its answer before training"
    work.emit(Decided("base", "nearest label name", why))
    rows = encode_texts(
        Dataset.from_dict({"text": names}), bundle.tokenizer, bundle.max_length, work.folder.cache / "names",
        work.stop.check,
    )  # fmt: skip
    model = bundle.model
    with evaluating(model), working(model, work.precision, model.float32_names):
        labels = run_rows(model.features, rows, np.arange(len(names)), on=work.device)
    return np.concatenate([SCALE * _unit(part) @ _unit(labels).T for part in parts(features, test)])


def as_words(name: str) -> str:
    """A label's name as one would say it: "card_arrival" and "cardArrival" become "card arrival"; empty where
    it has no word of two letters, such as "3" or "B"."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    words = re.sub(r"[\W_]+", " ", parted).strip().lower()
    return words if re.search(r"[^\W\d_]{2}", words) else ""


def _unit(vectors: np.ndarray) -> np.ndarray:
    found: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return found
