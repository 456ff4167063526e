"""Low-rank additions to the linear layers move (Hu et al. 2021), through PEFT."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tunesmith.core.options import Options
from tunesmith.engine.method_kinds import Additive
from tunesmith.engine.optim import ParameterGroup
from tunesmith.models.additions import linear_targets, moving, new_token_targets
from tunesmith.models.bundle import Bundle
from tunesmith.models.virtual import typical_size

_NEW_TOKENS = "trainable_tokens_delta"
"""In PEFT's names of the embeddings of new tokens."""
_TOKEN_RATE = 100
"""Of new tokens, in units of the typical entry of a word's embedding: at 2e-4 a step moves one by a fiftieth of it.
Llama of 260 thousand weights, ChatML, 84 steps: 0 of 6 answers ended at the plain rate, all at this one."""


class LoraOptions(Options):
    rank: int = Field(default=16, ge=1)
    """Rank of each addition."""
    alpha: int = Field(default=32, ge=1)
    """The additions are scaled by alpha / sqrt(rank) (rank-stabilised: Kalajdzievski 2023)."""
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout before each addition."""
    dora: bool = False
    """Learn the length of each weight column apart from its direction (DoRA: Liu et al. 2024); slower."""


class Lora(Additive):
    Options = LoraOptions
    summary: ClassVar[str] = "small additions to every linear layer learn; little memory, a small file"
    learning_rate = 1e-3
    epochs = 4
    learns_new_tokens = True

    def prepare(self, bundle: Bundle, seed: int) -> None:
        from peft import LoraConfig

        config = LoraConfig(
            r=self.options.rank, lora_alpha=self.options.alpha, lora_dropout=self.options.lora_dropout,
            use_rslora=True, use_dora=self.options.dora, target_modules=linear_targets(bundle.model), bias="none",
            trainable_token_indices=new_token_targets(bundle.model, bundle.new_token_ids),
        )  # fmt: skip
        self._add(bundle, config, seed)

    def groups(self, bundle: Bundle, learning_rate: float) -> list[ParameterGroup]:
        """New tokens move faster where embeddings are large: they start at the mean of all words, Adam's steps are
        absolute, and at the rate of the additions a small model never learns to say its end-of-turn token."""
        named = moving(bundle.model)
        if not bundle.new_token_ids:
            return [ParameterGroup(named, learning_rate)]
        tokens = {name: one for name, one in named.items() if _NEW_TOKENS in name}
        added = {name: one for name, one in named.items() if name not in tokens}
        faster = max(1.0, _TOKEN_RATE * typical_size(bundle))
        return [ParameterGroup(added, learning_rate), ParameterGroup(tokens, learning_rate * faster)]


class Qlora(Lora):
    summary: ClassVar[str] = "lora on a base in 4 bits: a quarter of the memory, a little slower; language models only"
    families = ("generative",)

    @staticmethod
    def load_kwargs() -> dict[str, str]:
        """NF4 with double quantisation (Dettmers et al. 2023)."""
        return {"quantization": "nf4"}
