"""A run that learns to write while it is under way: what each of its steps leaves to the next."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from tunesmith.data.conversations import Examples
from tunesmith.engine import batching
from tunesmith.engine.generate import Generated, Sampling, ending_ids, generate
from tunesmith.engine.likelihood import Likelihoods, likelihoods
from tunesmith.engine.precision import working
from tunesmith.engine.protocols import GenerativeTask
from tunesmith.engine.sequences import SequenceRows
from tunesmith.evaluate.measured import RowStatistics
from tunesmith.families.generative.corpus import Corpus
from tunesmith.families.generative.items import Items
from tunesmith.families.generative.retained import Read
from tunesmith.models.bundle import LanguageBundle
from tunesmith.models.codec import Codec, Example
from tunesmith.runs.context import RunContext
from tunesmith.runs.settle import Plan


@dataclass(frozen=True)
class OfBase:
    """What the base model made of the test rows before anything was trained, as it is and shown examples, by name."""

    items: np.ndarray
    """Those that are answered, int64."""
    statistics: dict[str, RowStatistics]
    """Of all test rows."""
    answers: dict[str, list[Generated]]


@dataclass(kw_only=True)
class GenerativeRun(RunContext):
    corpus: Corpus = field(init=False)  # read
    plan: Plan[GenerativeTask] = field(init=False)  # settle
    bundle: LanguageBundle = field(init=False)  # load
    codec: Codec = field(init=False)  # load
    limit: int = field(init=False)  # load
    """Most tokens of an example."""
    items: Items = field(init=False)  # encode
    retained: Sequence[Read] = ()
    reference: Likelihoods | None = None
    """The base model on every sequence, where the task learns against it."""
    base: OfBase = field(init=False)  # baselines
    predicted: dict[str, float] | None = None
    """Seconds and bytes that the training was expected to take."""
    train_seconds: float = 0.0
    ours: RowStatistics = field(init=False)  # judge
    """What the metrics of the test rows are made of, in the end."""
    moved: RowStatistics | None = None
    """How far it is from its base, of a task that learns against it."""
    answers: dict[str, list[Generated]] = field(default_factory=dict)
    """To the test rows that are answered, by contender."""
    gates: list[str] = field(default_factory=list)
    """What is wrong with its own."""
    expected: Likelihoods = field(init=False)  # write
    """Of some test rows, before the model was saved."""

    @property
    def fingerprint(self) -> str:
        return self.corpus.fingerprint

    def measure(self, rows: SequenceRows, sequences: np.ndarray) -> Likelihoods:
        """The model as it is now on some sequences."""
        model = self.bundle.model
        with working(model, self.precision, model.float32_names):
            return likelihoods(
                model, rows, sequences, on=self.device, tokens_at_once=batching.TOKENS_AT_ONCE, check=self.stop.check
            )

    def generate(self, prompts: Sequence[list[int]], sampling: Sampling, stop_ids: Collection[int]) -> list[Generated]:
        """What the model as it is now writes after each prompt of token ids."""
        model, tokenizer = self.bundle.model, self.bundle.tokenizer
        with working(model, self.precision, model.float32_names):
            return generate(model.running, tokenizer, prompts, sampling, stop_ids=stop_ids, check=self.stop.check)

    def measure_reference(self) -> None:
        """The model as it is now is what answers are compared with from here on, where the task needs that."""
        if self.plan.task.needs_reference:
            self.reference = self.measure(self.items.rows, np.arange(len(self.items.rows)))

    def statistics(self, items: np.ndarray) -> RowStatistics:
        """Metrics' statistics of the model as it is now on some items."""
        sequences = self.sequences(items)
        return self._statistics(self.measure(self.items.rows, sequences), items)

    def base_statistics(self, items: np.ndarray) -> RowStatistics:
        """The same before training. Where the base is the reference it is not measured again: rounding would tell
        the two apart, and give the base a preference."""
        if self.reference is None:
            return self.statistics(items)
        return self._statistics(_some(self.reference, self.sequences(items)), items)

    def _statistics(self, found: Likelihoods, items: np.ndarray) -> RowStatistics:
        if self.reference is None:
            return cast(RowStatistics, self.plan.task.statistics(found))
        good = None if self.items.good is None else self.items.good[items]
        reference = _some(self.reference, self.sequences(items))
        return cast(RowStatistics, self.plan.task.statistics(found, reference=reference, good=good))

    @property
    def data(self) -> Examples:
        return self.corpus.examples

    def example(self, item: int) -> Example:
        """What an item was made of."""
        return self.data[int(self.items.example[item])]

    @property
    def stop_ids(self) -> set[int]:
        """Tokens that end an answer, by the codec or by the model."""
        return {*self.codec.stop_ids, *ending_ids(self.bundle.model.network, self.bundle.tokenizer)}

    def sequences(self, items: np.ndarray) -> np.ndarray:
        """Positions of the items' sequences, in order."""
        many = self.plan.task.sequences_per_item
        return (many * items[:, None] + np.arange(many)).ravel()


def _some(found: Likelihoods, positions: np.ndarray) -> Likelihoods:
    return Likelihoods(found.loss[positions], found.tokens[positions], found.right[positions])
