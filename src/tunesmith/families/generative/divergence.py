"""How far preference tuning has moved the model from its base."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np

from tunesmith.engine.inference import evaluating, to_device
from tunesmith.engine.options import template_of
from tunesmith.evaluate.measured import RowStatistics
from tunesmith.families.generative.context import GenerativeRun
from tunesmith.models.language import LanguageModel
from tunesmith.models.loaders.language import add_tokens, load_language_base

_ROWS = 128
"""Test rows that it is measured on: it takes the distributions of two models over all words, at every token."""


def divergence(run: GenerativeRun) -> RowStatistics:
    """KL(tuned || base) of the next token, in nats: of each wanted answer the sum over its tokens, and their number.

    Exact at every token, over all words; on at most `_ROWS` test rows.
    """
    test = run.items.splits["test"]
    if run.items.good is not None:
        test = test[run.items.good[test]]
    wanted = run.plan.task.sequences_per_item * test[:_ROWS]  # of each item the wanted answer is the first
    base, without_changes = _base(run)
    found = np.zeros((len(wanted), 2))
    with evaluating(run.bundle.model):
        for at, sequence in enumerate(wanted):
            run.stop.check()
            batch = to_device(run.items.rows.collate(np.array([sequence])), run.device)
            ours = run.bundle.model.log_probabilities(batch)
            with without_changes():
                theirs = base.log_probabilities(batch)
            found[at] = float((ours.exp() * (ours - theirs)).sum()), len(ours)
    return RowStatistics({"kl_to_base": found})


def _base(run: GenerativeRun) -> tuple[LanguageModel, Callable[[], AbstractContextManager[object]]]:
    """The base, and what to do while it is asked: our model with its adapter off, or loaded once more."""
    adapted = run.bundle.model.adapted
    if adapted is not None:
        return run.bundle.model, adapted.disable_adapter
    again = load_language_base(run.plan.spec.model, kind=run.plan.task.network)
    options = run.plan.task.options
    add_tokens(again, options.new_tokens, template_of(options))
    again.model.whole_logits = run.bundle.model.whole_logits
    return again.model.to(run.device).eval(), nullcontext
