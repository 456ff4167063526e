"""The head that a base model is given: for our labels, new, or its own where it was trained on the same ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from tunesmith.core.errors import ModelError
from tunesmith.models.pooled import PooledNetwork
from tunesmith.models.types import Config, Network

_DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "dropout",
             "attention_dropout", "embedding_dropout", "mlp_dropout", "seq_classif_dropout",
             "pooler_dropout")  # fmt: skip


def set_labels(settings: Config, label_names: Sequence[str], problem_type: str, dropout: float) -> None:
    """Write labels, transformers' word for the kind of head, and the dropout into a config of transformers."""
    settings.id2label = dict(enumerate(label_names))
    settings.label2id = {label: index for index, label in enumerate(label_names)}
    settings.problem_type = problem_type
    settings.__dict__.pop("auto_map", None)  # nor does what a run saves name code
    for field in _DROPOUTS:
        if hasattr(settings, field):
            setattr(settings, field, dropout)


def own_order(config: Mapping[str, Any], label_names: Sequence[str], ending: str) -> list[int] | None:
    """For each of `label_names` the output of a checkpoint's trained head that stands for it; None where it has
    no such head (a class whose name ends with `ending`) or one for other labels. Names count without case."""
    if not str((config.get("architectures") or [""])[0]).endswith(ending):
        return None
    theirs = {str(name).strip().casefold(): int(index) for index, name in (config.get("id2label") or {}).items()}
    ours = [name.strip().casefold() for name in label_names]
    if len(ours) == len(theirs) == 1:  # a number, whatever it is called
        return [0]
    if len(theirs) != len(ours) or set(theirs) != set(ours):
        return None
    return [theirs[name] for name in ours]


def check_body(network: Network, new: set[str], folder: Path, name: str) -> None:
    """Raises ModelError where weights of the body would have been made up. A pooler may be absent: it belongs
    to the head."""
    body = f"{network.base_model_prefix}."
    absent = sorted(key for key in new if key.startswith(body) and "pooler" not in key)
    if absent:
        raise ModelError(
            f"{len(absent)} weights of the model {name!r} are not in the files of {folder}, or have other sizes there "
            f"than its config.json says: {', '.join(absent[:3])}{', ...' if len(absent) > 3 else ''}.",
            "Get the model anew: its weights and its config.json do not belong together.",
        )


def settle_head(model: PooledNetwork, order: list[int] | None, settings: Config) -> None:
    """A trained head in the order of our labels; a head of other labels that happens to fit starts anew."""
    with torch.no_grad():
        if order is None:
            model.head.weight.normal_(0.0, getattr(settings, "initializer_range", None) or 0.02)
            if model.head.bias is not None:
                model.head.bias.zero_()
            return
        for part in (model.head.weight, model.head.bias):
            if part is not None:
                part.copy_(part[order].clone())
