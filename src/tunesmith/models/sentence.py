"""A text encoder that makes a vector of each text: the mean of its token states, or the first of them, and perhaps a
linear projection behind it."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tunesmith.models.attention import use_for_short_rows
from tunesmith.models.model import Model
from tunesmith.models.types import Network

Pooling = Literal["mean", "cls"]
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_TOGETHER = 32
"""Texts that go through the network together: queries and documents differ in length, and together most would be
padding."""
_KEPT = 32_768
"""Tokens of a batch whose states are kept for the backward pass; of larger ones they are computed again."""


class SentenceModel(Model):
    """`network` is an `AutoModel`; the head is the projection, which is the identity, and rests until asked for."""

    prompted: ClassVar[None] = None

    def __init__(self, network: Network, pooling: Pooling):
        super().__init__(network)
        self.pooling = pooling
        size = int(network.config.hidden_size)
        self.projection = nn.Linear(size, size, bias=False)
        with torch.no_grad():
            self.projection.weight.copy_(torch.eye(size))
        self.projection.requires_grad_(False)
        self.prompts: dict[str, str] = {}
        """What is put before a 'query' and before a 'document'; the task does so, and other libraries are told."""
        self.recomputes = False
        """Whether states are computed again in the backward pass, however small the batch."""
        self.projected = False
        """Whether the projection is more than the identity."""
        for name, parameter in network.named_parameters():
            if "pooler" in name:  # made for another way to sum a text up
                parameter.requires_grad_(False)
        use_for_short_rows(network)

    @property
    def head(self) -> nn.Linear:
        return self.projection

    @property
    def width(self) -> int:
        return int(self.projection.in_features)

    @property
    def outputs(self) -> tuple[int, ...]:
        """Two texts a row, a vector each."""
        return 2, int(self.projection.out_features)

    @property
    def float32_names(self) -> frozenset[str]:
        return frozenset({"projection.weight"})

    def body_parameters(self) -> list[nn.Parameter]:
        """Every parameter that is not the projection's."""
        return list(self.network.parameters())

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Vectors float32 [rows, sides, size] of the texts that 'sides' int64 [rows, sides] names, zeros where it is
        negative; without 'sides' those of all texts, [texts, size]."""
        vectors = self.embed(batch)
        sides = batch.get("sides")
        if sides is None:
            return vectors
        return vectors[sides.clamp(min=0)] * (sides >= 0).unsqueeze(-1)

    def features(self, batch: dict[str, Tensor]) -> Tensor:
        """Vectors of the first texts of the rows, float32 [rows, size]."""
        vectors = self.embed(batch)
        return vectors[batch["sides"][:, 0]] if "sides" in batch else vectors

    def embed(self, batch: dict[str, Tensor]) -> Tensor:
        """A vector of each text, float32 [texts, size]: in chunks of like length, whose insides are computed again in
        the backward pass where all of them would be too much (as GradCache: Gao et al. 2021, with the same result)."""
        mask = batch["attention_mask"]
        lengths = mask.sum(1)
        order = torch.argsort(lengths, stable=True)
        again = torch.is_grad_enabled() and (self.recomputes or int(lengths.sum()) > _KEPT)
        found = []
        for chunk in order.split(_TOGETHER):
            longest = int(lengths[chunk[-1]])
            inputs = {name: batch[name][chunk, :longest] for name in _INPUTS if name in batch}
            found.append(checkpoint(self._vectors, inputs, use_reentrant=False) if again else self._vectors(inputs))
        return torch.cat(found)[torch.argsort(order)]

    def _vectors(self, inputs: dict[str, Tensor]) -> Tensor:
        hidden = self.network(**inputs).last_hidden_state.float()
        pooled = hidden[:, 0] if self.pooling == "cls" else mean(hidden, inputs["attention_mask"])
        if self.projected or self.projection.weight.requires_grad:
            pooled = self.projection(pooled)
        return pooled

    def fold(self) -> Network:
        """The network without the projection."""
        return self.network


def mean(hidden: Tensor, mask: Tensor) -> Tensor:
    """The mean of token states [rows, length, size] over what is no padding."""
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
