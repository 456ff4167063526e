"""Any text to any text with an encoder-decoder model: translation, summarisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from tunesmith.engine.likelihood import Likelihoods, TokenObjective
from tunesmith.engine.options import LanguageOptions
from tunesmith.engine.protocols import TOY_WORDS, Batches, GenerativeTask, Toy
from tunesmith.engine.sequences import SequenceRows
from tunesmith.evaluate.measured import RowStatistics
from tunesmith.evaluate.text_metrics import token_rows
from tunesmith.models import tiny
from tunesmith.models.codec import PairCodec
from tunesmith.models.mask import Encoded


class Seq2SeqOptions(LanguageOptions):
    prefix: str = ""
    """Put before every source, as T5 was trained with: 'summarize: '."""
    source_language: str | None = None
    """Of a model of many languages, in its own words: 'eng_Latn' for NLLB."""
    target_language: str | None = None
    """The language to write: 'deu_Latn'."""


class Seq2Seq(GenerativeTask):
    Options = Seq2SeqOptions
    summary: ClassVar[str] = "translation, summarisation, any text to text, with an encoder-decoder model"
    forms: ClassVar[tuple[str, ...]] = ("pair",)
    network = "seq2seq"
    metrics: tuple[str, ...] = ("loss", "perplexity", "token_accuracy")
    rate_factor: ClassVar[float] = 0.5

    options: Seq2SeqOptions

    def codec(self, tokenizer: Any) -> PairCodec:
        return PairCodec(tokenizer, self.options.prefix, self.options.source_language, self.options.target_language)

    def encode(
        self, example: Mapping[str, object], partner: Mapping[str, object], codec: PairCodec, limit: int
    ) -> list[tuple[Encoded, int]]:
        """Source and target as one sequence, with the number of source tokens."""
        sequence, source = codec.sequence(example)
        return [(sequence, source)]

    def objective(self, rows: SequenceRows, items: np.ndarray, batches: Batches, **_: object) -> TokenObjective:
        return TokenObjective(rows, items, batches.rows, batches.tokens, batches.seed, packed=False)

    def statistics(self, found: Likelihoods, **_: object) -> RowStatistics:
        return token_rows(found.loss, found.tokens, found.right)  # type: ignore[arg-type]

    @classmethod
    def toys(cls) -> list[Toy]:
        words = ("ab", "cd", "ef", "gh", "ij", "kl", "mn", "op", "qr", "st")
        return [
            Toy([{"source": f"say {word}", "target": word * 2} for word in words], TOY_WORDS, tiny.seq2seq, rate=1e-2)
        ]
