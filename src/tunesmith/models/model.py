"""What all models have in common: a network of transformers with a head, as a module of torch."""

from __future__ import annotations

from torch import nn

from tunesmith.models.types import Config, Network


class Model(nn.Module):
    """`network`, and the way in which it is trained and asked."""

    def __init__(self, network: Network):
        super().__init__()
        self.network: Network = network
        self.answers_before = False
        """Whether the head has been trained on the same answers before, and so can forget them."""

    @property
    def config(self) -> Config:
        return self.network.config

    @property
    def head(self) -> nn.Module:
        """The last layer."""
        raise NotImplementedError

    @property
    def width(self) -> int:
        """Numbers that the head reads for each answer."""
        raise NotImplementedError

    @property
    def outputs(self) -> tuple[int, ...]:
        """The shape of what it gives for an answer, as `PredictiveTask.kept` leaves it."""
        raise NotImplementedError

    @property
    def float32_names(self) -> frozenset[str]:
        """Parameters that are cheap and precise enough to stay float32 whatever the body computes in."""
        return frozenset()
