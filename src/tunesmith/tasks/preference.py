"""Which of two answers is better (DPO), or whether an answer is good (KTO), against the base as reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from tunesmith.core.errors import DataError, Problem
from tunesmith.engine.likelihood import Likelihoods
from tunesmith.engine.options import ConversationOptions
from tunesmith.engine.preference import FeedbackObjective, PairObjective, dpo_loss, kto_loss
from tunesmith.engine.protocols import TOY_WORDS, Batches, GenerativeTask, Toy
from tunesmith.engine.sequences import SequenceRows
from tunesmith.evaluate.measured import RowStatistics
from tunesmith.evaluate.text_metrics import preference_rows
from tunesmith.models import tiny
from tunesmith.models.codec import CausalCodec
from tunesmith.models.mask import Encoded


class PreferenceOptions(ConversationOptions):
    beta: float = Field(default=0.1, gt=0)
    """How strongly the model is held to the base: the factor of the log-ratios."""
    preference_loss: Literal["sigmoid", "ipo"] = "sigmoid"
    """For pairs: DPO's logistic loss, or IPO's squared one, which over-fits less. Single answers use KTO's."""


class Preference(GenerativeTask):
    Options = PreferenceOptions
    summary: ClassVar[str] = "better and worse answers (DPO, IPO), or answers judged good or bad (KTO)"
    forms: ClassVar[tuple[str, ...]] = ("preference", "feedback")
    network = "causal"
    metrics: tuple[str, ...] = ("preference_accuracy", "reward_margin")
    rate_factor: ClassVar[float] = 0.05
    sequences_per_item: ClassVar[int] = 2
    needs_reference: ClassVar[bool] = True

    options: PreferenceOptions

    def codec(self, tokenizer: Any) -> CausalCodec:
        return CausalCodec(tokenizer, self.options.date)

    def encode(
        self, example: Mapping[str, Any], partner: Mapping[str, Any], codec: CausalCodec, limit: int
    ) -> list[tuple[Encoded, int]]:
        """Chosen and rejected answer; for single answers the answer, and that of `partner` to this prompt."""
        if example["form"] == "preference":
            both = (example["chosen"], example["rejected"])
        else:
            both = (example["completion"], partner["completion"])
        found = [codec.answer(example, answer) for answer in both]
        if example["form"] == "preference" and np.array_equal(found[0].ids, found[1].ids):
            raise DataError(
                Problem("both answers are the same as the model reads them: they differ in white space alone"),
                "Leave the row out, or correct an answer.",
            )
        return [(one, 0) for one in found]

    def objective(
        self,
        rows: SequenceRows,
        items: np.ndarray,
        batches: Batches,
        *,
        reference: Likelihoods | None = None,
        good: np.ndarray | None = None,
    ) -> PairObjective | FeedbackObjective:
        assert reference is not None
        shared = (rows, items, reference, batches.rows, batches.tokens, batches.seed, self.options.beta)
        if good is None:
            return PairObjective(*shared, kind=self.options.preference_loss)
        return FeedbackObjective(*shared, good=good)

    def statistics(
        self, found: Likelihoods, *, reference: Likelihoods | None = None, good: np.ndarray | None = None
    ) -> RowStatistics:
        """Rewards are beta times log-ratios to the reference. Of single answers, a good one should have a
        positive reward and a bad one a negative one."""
        assert reference is not None
        beta, ratios = self.options.beta, torch.as_tensor(reference.loss - found.loss)
        first, second = ratios[::2], ratios[1::2]
        if good is None:
            lengths = torch.as_tensor(np.stack([reference.tokens[::2], reference.tokens[1::2]])).clamp(min=1)
            losses = dpo_loss(first, second, beta=beta, kind=self.options.preference_loss, lengths=lengths)
            return preference_rows((beta * first).numpy(), (beta * second).numpy(), losses.numpy())
        losses = kto_loss(first, torch.as_tensor(good), second, beta=beta)
        single = (beta * first).numpy()
        return preference_rows(np.where(good, single, 0.0), np.where(good, 0.0, single), losses.numpy())

    @classmethod
    def toys(cls) -> list[Toy]:
        words = ("ab", "cd", "ef", "gh", "ij", "kl", "mn", "op", "qr", "st")
        pairs = [{"prompt": f"say {w}:", "chosen": f" {w}{w}", "rejected": f" no {w[::-1]}"} for w in words]
        single = [
            {"prompt": p["prompt"], "completion": p["chosen" if i % 2 else "rejected"], "label": bool(i % 2)}
            for i, p in enumerate(pairs)
        ]
        return [Toy(rows, TOY_WORDS, tiny.causal, reaches=0.6, rate=1e-2) for rows in (pairs, single)]
