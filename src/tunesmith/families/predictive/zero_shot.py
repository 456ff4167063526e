"""The base model's own answers to the test rows, before any training: is fine-tuning needed at all?

A checkpoint that was trained as a classifier of the same labels answers by its head. A sentence encoder
answers by the label whose name, read as words, is nearest to the text (zero-shot by similarity: Yin et
al. 2019, section 5).
"""

from __future__ import annotations

import re

import numpy as np

from tunesmith.core.events import Decided
from tunesmith.engine.contrastive import encode_names, label_words
from tunesmith.engine.inference import answering, parts, run_rows
from tunesmith.engine.tokens import EncodedRows
from tunesmith.families.predictive.context import PredictiveRun

SCALE = 20.0
"""Logit of a cosine of 1: what sentence encoders are trained with (sentence-transformers'
MultipleNegativesRankingLoss)."""


def logits(run: PredictiveRun) -> np.ndarray | None:
    """float32 [test rows, outputs], or None where the base model can not answer."""
    bundle, test = run.bundle, run.data.splits["test"]
    if bundle.zero_shot == "head":
        why = "the base model was trained to answer with the same labels"
        run.emit(Decided("base", "its own head", why if run.has_probe else "it can answer before any training"))
        return run.outputs("test")
    names = run.plan.task.label_names or []
    rows = run.rows
    if (
        bundle.zero_shot != "names" or run.plan.task.probe_loss != "softmax" or len(run.data.columns.inputs) > 1
        or not isinstance(rows, EncodedRows) or not all(is_meaningful(name) for name in names)
    ):  # fmt: skip
        return None
    why = "it is a sentence encoder, so the label whose name is nearest to the text is its answer before training"
    run.emit(Decided("base", "nearest label name", why))
    model, named = bundle.model, encode_names(names, bundle.tokenizer, rows)
    with answering(model, run.precision):
        labels = _unit(run_rows(model.features, named, np.arange(len(names)), on=run.device))
    return np.concatenate([SCALE * _unit(part) @ labels.T for part in parts(run.features_of_base, test)])


def is_meaningful(name: str) -> bool:
    """Whether a label's name has a word of two letters or more, unlike "3" or "B"."""
    return re.search(r"[^\W\d_]{2}", label_words(name)) is not None


def _unit(vectors: np.ndarray) -> np.ndarray:
    found: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return found
