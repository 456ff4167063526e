"""Rows as a model that writes would read them, without its weights where they are not asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tunesmith.core.errors import ModelError
from tunesmith.core.events import Emit
from tunesmith.core.files import scratch
from tunesmith.core.run import is_run
from tunesmith.data.conversations import Division, Examples
from tunesmith.families.generative.corpus import Corpus
from tunesmith.families.generative.items import encode_items
from tunesmith.families.generative.settle import Plan, adapt_base, reader
from tunesmith.families.plan_data import spread
from tunesmith.models import catalog
from tunesmith.models.loaders.language import outline


@dataclass(frozen=True)
class InTokens:
    """How the model reads the rows that were put into tokens."""

    lengths: np.ndarray | None = None
    """Tokens of each sequence before anything is cut, int64; None where the model is not here."""
    limit: int | None = None
    """Most tokens of a sequence that a run reads."""
    unchecked: tuple[str, ...] = ()


def in_tokens(
    plan: Plan, examples: Examples, division: Division, emit: Emit, *, most: int, weights: bool = True
) -> InTokens:
    """At most `most` rows as the model would read them; with `weights` false the model's config and tokenizer do.

    Raises DataError with all rows that a run would refuse, OptionError and ModelError.
    """
    name = plan.spec.model
    if not _here(name, weights):
        return InTokens(unchecked=(f"how the model reads the rows: {name} is not on this machine",))
    if plan.engine.freeze and weights and not is_run(Path(name).expanduser()):
        from tunesmith.engine.meta_model import check_blocks

        check_blocks(name, plan.engine.freeze, plan.task.network)
    bundle = outline(name, kind=plan.task.network, weights=weights, emit=emit)
    adapt_base(plan, bundle, emit)
    codec, limit = reader(plan, bundle, emit)
    corpus, notes = _some(examples, division, most)
    with scratch() as folder:
        items = encode_items(
            corpus, plan.task, codec, bundle, limit=limit, folder=folder, emit=emit, check=lambda: None
        )  # fmt: skip
        return InTokens(items.uncut, limit, tuple(notes))


def _here(name: str, weights: bool) -> bool:
    """Whether the model is on this machine, or where its weights are not asked for, what reads text for it."""
    if is_run(Path(name).expanduser()):
        return True
    try:
        folder = catalog.find(name).folder
    except ModelError:
        return False
    return folder is not None and (weights or any(folder.glob("tokenizer*")) or any(folder.glob("*.safetensors")))


def _some(examples: Examples, division: Division, most: int) -> tuple[Corpus, list[str]]:
    """At most `most` rows, evenly spread over all of them."""
    if len(examples) <= most:
        return Corpus(examples, division), []
    kept = spread(len(examples), most)
    fewer = replace(examples, rows=[examples[int(number)] for number in kept], ids=examples.ids[kept])
    parts = Division({name: np.flatnonzero(np.isin(kept, rows)) for name, rows in division.items()})
    parts.facts = division.facts
    return Corpus(fewer, parts), [f"how the model reads {len(examples) - most:,} of the {len(examples):,} rows"]
