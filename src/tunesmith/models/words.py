"""A text encoder with a linear head that answers at every word."""

from __future__ import annotations

from torch import Tensor

from tunesmith.models.attention import use_for_short_rows
from tunesmith.models.pooled import PooledNetwork
from tunesmith.models.types import Network

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class WordModel(PooledNetwork):
    """`network` is an `AutoModelForTokenClassification`; the batch says at which tokens it answers."""

    pooling = "words"

    def __init__(self, network: Network):
        super().__init__(network)
        use_for_short_rows(network)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Logits [answers, outputs], from token tensors and 'answers', or from 'features' computed before."""
        if "features" in batch:
            return self.head(batch["features"].to(self.head.weight.dtype))
        return _at(self.running(**_inputs(batch)).logits, batch["answers"])

    def features(self, batch: dict[str, Tensor]) -> Tensor:
        """What the head reads, float32 [answers, hidden]."""
        return _at(self.seen(_inputs(batch), self.head), batch["answers"]).float()

    def fold(self) -> Network:
        """It is a plain network of transformers as it is."""
        return self.network


def _at(states: Tensor, answers: Tensor) -> Tensor:
    return states.reshape(-1, states.shape[-1])[answers]


def _inputs(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: batch[name] for name in _INPUTS if name in batch}
