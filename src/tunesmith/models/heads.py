"""The head that a base model is given: for our labels, new, or its own where it was trained on the same ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from tunesmith.core.errors import ModelError
from tunesmith.models import catalog
from tunesmith.models.guard import loading
from tunesmith.models.pooled import PooledNetwork
from tunesmith.models.pretrained import load_network, quiet_transformers
from tunesmith.models.types import Network

_DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "dropout",
             "attention_dropout", "embedding_dropout", "mlp_dropout", "seq_classif_dropout",
             "pooler_dropout")  # fmt: skip


def network_with_head(
    maker: type[Network], source: catalog.Source, label_names: Sequence[str], problem_type: str | None, dropout: float
) -> tuple[Network, set[str]]:
    """The network of a folder in float32 with a head for the labels, and the names of its weights that are new.

    `problem_type` is transformers' word for the kind of head. Raises ModelError where weights of the body would be new.
    """
    from transformers import AutoConfig

    assert source.folder is not None
    with quiet_transformers(), loading(source.folder, "config"):
        settings = AutoConfig.from_pretrained(source.folder, trust_remote_code=False)
        set_labels(settings, label_names)
        settings.problem_type = problem_type
        settings.__dict__.pop("auto_map", None)  # nor does what a run saves name code
        for field in _DROPOUTS:
            if hasattr(settings, field):
                setattr(settings, field, dropout)
        if getattr(settings, "use_cache", False):
            settings.use_cache = False  # of keys and values: nothing is written here
    network, found = load_network(
        maker, source.folder, settings, dtype="float32", output_loading_info=True,
        ignore_mismatched_sizes=True,  # a head for other labels; the body is checked below
    )  # fmt: skip
    new = {*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])}
    _check_body(network, new, source.folder, source.name)
    return network, new


def network_with_outputs(
    maker: Any, source: catalog.Source, label_names: Sequence[str], is_head: Callable[[str], bool]
) -> Network:
    """The network of a folder in float32 with as many outputs as there are labels, whatever form these have; `is_head`:
    whether weights of a name may be new. Raises ModelError where others would be."""
    from transformers import AutoConfig

    assert source.folder is not None
    with quiet_transformers(), loading(source.folder, "config"):
        settings = AutoConfig.from_pretrained(source.folder, trust_remote_code=False)
        settings.__dict__.pop("auto_map", None)
        set_labels(settings, label_names)
    network, found = load_network(
        maker, source.folder, settings, dtype="float32", output_loading_info=True, ignore_mismatched_sizes=True
    )
    new = {*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])}
    _refuse_absent([key for key in new if not is_head(key)], source.folder, source.name)
    made: Network = network
    return made


def set_labels(settings: Any, label_names: Sequence[str]) -> Any:
    """A config with the names of its outputs."""
    settings.id2label = dict(enumerate(label_names))
    settings.label2id = {label: index for index, label in enumerate(label_names)}
    return settings


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


def _check_body(network: Network, new: set[str], folder: Path, name: str) -> None:
    """Raises ModelError where weights of the body would have been made up. A pooler may be absent: it belongs
    to the head."""
    body = f"{network.base_model_prefix}."
    _refuse_absent([key for key in new if key.startswith(body) and "pooler" not in key], folder, name)


def _refuse_absent(absent: list[str], folder: Path, name: str) -> None:
    absent = sorted(absent)
    if absent:
        raise ModelError(
            f"{len(absent)} weights of the model {name!r} are not in the files of {folder}, or have other sizes there "
            f"than its config.json says: {', '.join(absent[:3])}{', ...' if len(absent) > 3 else ''}.",
            "Get the model anew: its weights and its config.json do not belong together.",
        )


def settle_head(model: PooledNetwork, order: list[int] | None) -> None:
    """A trained head in the order of our labels; a head of other labels that happens to fit starts anew."""
    with torch.no_grad():
        if order is None:
            model.head.weight.normal_(0.0, getattr(model.config, "initializer_range", None) or 0.02)
            if model.head.bias is not None:
                model.head.bias.zero_()
            return
        for part in (model.head.weight, model.head.bias):
            if part is not None:
                part.copy_(part[order].clone())
