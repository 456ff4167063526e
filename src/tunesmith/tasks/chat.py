"""Conversations, instructions, prompt and completion, or plain text: a causal model learns to go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from tunesmith.engine.likelihood import Likelihoods, TokenObjective
from tunesmith.engine.options import ConversationOptions
from tunesmith.engine.protocols import TOY_WORDS, Batches, GenerativeTask, Toy
from tunesmith.engine.sequences import SequenceRows
from tunesmith.evaluate.measured import RowStatistics
from tunesmith.evaluate.text_metrics import token_rows
from tunesmith.models import tiny
from tunesmith.models.codec import CausalCodec
from tunesmith.models.mask import Encoded, split_long


class ChatOptions(ConversationOptions):
    pass


class Chat(GenerativeTask):
    Options = ChatOptions
    summary: ClassVar[str] = "conversations, instructions or plain text, with a causal language model"
    forms: ClassVar[tuple[str, ...]] = ("chat", "completion", "text")
    network = "causal"
    metrics: tuple[str, ...] = ("loss", "perplexity", "token_accuracy")
    rate_factor: ClassVar[float] = 0.2

    options: ChatOptions

    def codec(self, tokenizer: Any) -> CausalCodec:
        return CausalCodec(tokenizer, self.options.date)

    def encode(
        self, example: Mapping[str, object], partner: Mapping[str, object], codec: CausalCodec, limit: int
    ) -> list[tuple[Encoded, int]]:
        """The example's sequences, each with its number of source tokens (0: there is no encoder)."""
        found = codec.sequences(example)
        if example["form"] != "text":
            if self.options.overflow == "truncate":  # of a long conversation no answer is lost
                found = [part for one in found for part in split_long(one, limit)]
            return [(one, 0) for one in found]
        (whole,) = found  # a long text goes on in further sequences; nothing is lost
        cuts = range(0, len(whole), limit)
        pieces = [Encoded(whole.ids[at : at + limit], whole.learned[at : at + limit], ()) for at in cuts]
        return [(piece, 0) for piece in pieces if len(piece) > 1]

    def objective(self, rows: SequenceRows, items: np.ndarray, batches: Batches, **_: object) -> TokenObjective:
        return TokenObjective(rows, items, batches.rows, batches.tokens, batches.seed, batches.packed)

    def statistics(self, found: Likelihoods, **_: object) -> RowStatistics:
        return token_rows(found.loss, found.tokens, found.right)  # type: ignore[arg-type]

    @classmethod
    def toys(cls) -> list[Toy]:
        rows = [
            {"messages": [{"role": "user", "content": f"say {word}"}, {"role": "assistant", "content": word * 2}]}
            for word in ("ab", "cd", "ef", "gh", "ij", "kl", "mn", "op", "qr", "st")
        ]
        completions = [
            {"prompt": r["messages"][0]["content"] + ":", "completion": " " + r["messages"][1]["content"]} for r in rows
        ]
        return [Toy(some, TOY_WORDS, tiny.causal, rate=1e-2) for some in (rows, completions)]
