"""Networks that make one vector of each row and put a linear head on it; and what else machinery may ask of one."""

from __future__ import annotations

import threading
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from tunesmith.core.errors import ModelError
from tunesmith.models.model import Model
from tunesmith.models.types import Adapted, Network


class _Seen(Exception):
    """The rest of a network is of no interest."""


class PooledNetwork(Model):
    """`network` is one of transformers' whose head is its last linear layer of `config.num_labels` outputs."""

    table: list[dict[str, Any]] | None = None
    """How columns beside a text become numbers, as JSON; the head reads these behind what it reads of the text."""

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self.prompted: Adapted | None = None
        """PEFT's wrapper around `network` where virtual tokens stand before every text; it is what runs then."""
        self.head_name = _find_head(network)

    @property
    def head(self) -> nn.Linear:
        """The last linear layer: weight [outputs, hidden], bias [outputs]."""
        return self.network.get_submodule(self.head_name)

    @property
    def width(self) -> int:
        return int(self.head.in_features)

    @property
    def hidden_size(self) -> int:
        """Numbers of the states of a token."""
        return self.width

    @property
    def outputs(self) -> tuple[int, ...]:
        return (int(self.head.out_features),)

    @property
    def running(self) -> Network | Adapted:
        """What to call."""
        return self.network if self.prompted is None else self.prompted

    def body_parameters(self) -> list[nn.Parameter]:
        """Every parameter that is not the head's."""
        head = {id(parameter) for parameter in self.head.parameters()}
        return [parameter for parameter in self.network.parameters() if id(parameter) not in head]

    def seen(self, inputs: dict[str, Tensor], module: nn.Module, *, after: bool = False) -> Tensor:
        """What `module` is given, or with `after` the last states that come out of it, when the network is run; what
        would come then is not run."""
        seen: list[Tensor] = []
        thread = threading.get_ident()

        def look(_module: nn.Module, given: tuple[Tensor], output: Any = None) -> None:
            if threading.get_ident() == thread:  # other threads may be in this network too
                seen.append(output.last_hidden_state if after else given[0])
                raise _Seen

        hook = module.register_forward_hook(look) if after else module.register_forward_pre_hook(look)
        try:
            self.running(**inputs)
        except _Seen:
            pass
        finally:
            hook.remove()
        return seen[0]


@runtime_checkable
class Pooled(Protocol):
    """One linear head over one vector a row, so that features can be computed once."""

    head_name: str
    pooling: Any

    @property
    def head(self) -> nn.Linear: ...

    def features(self, batch: dict[str, Tensor]) -> Tensor:
        """What the head reads, float32 [rows, hidden]."""

    def body_parameters(self) -> list[nn.Parameter]: ...


@runtime_checkable
class Splittable(Protocol):
    """The lowest blocks can be run apart from the others, and their states kept."""

    frozen_prefix: int

    @property
    def splittable(self) -> bool:
        """Whether this one can be."""

    def freeze_prefix(self, blocks: int) -> None: ...

    def bottom(self, batch: dict[str, Tensor], blocks: int) -> Tensor: ...


def as_splittable(model: Any) -> Splittable | None:
    """The network as one that can be run in two pieces; None where it can not."""
    return model if isinstance(model, Splittable) and model.splittable else None


def _find_head(network: Network) -> str:
    outputs = network.config.num_labels
    named = [
        name for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == outputs
    ]  # fmt: skip
    if not named:
        raise ModelError(
            f"{type(network).__name__} has no linear layer of {outputs} outputs that could be its head.",
            "Expected a network that ends in an nn.Linear with an output for each label.",
        )
    return named[-1]
