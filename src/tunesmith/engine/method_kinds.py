"""What several methods have in common: layers at rates by their depth, additions of PEFT, virtual tokens."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from torch import Tensor

from tunesmith.core.options import Options
from tunesmith.engine.optim import ParameterGroup, by_depth
from tunesmith.engine.protocols import Method
from tunesmith.models import virtual
from tunesmith.models.additions import add_to, moving, quiet_peft, split_head
from tunesmith.models.blocks import depths, writes_text
from tunesmith.models.bundle import Bundle
from tunesmith.models.types import Adapted

if TYPE_CHECKING:
    from peft import PeftConfig


class Layered(Method):
    """The lowest blocks stay as they are; those above move, each at a rate of its own."""

    def _share(self, bundle: Bundle) -> float:
        """Share of the blocks, from the bottom, that never move; 0: all moves, embeddings too."""
        return 0.0 if writes_text(bundle.model) else 1 / 3

    @abstractmethod
    def _rate(self, below: int, learning_rate: float) -> float:
        """Of a block that stands so many below the highest; -1 is the head."""

    def frozen_blocks(self, bundle: Bundle) -> int:
        _, top = depths(bundle.model)
        return round((top - 1) * self._share(bundle))

    def _lowest(self, bundle: Bundle) -> int:
        """The depth from which on the network moves."""
        return 0 if self._share(bundle) == 0 else 1 + self.frozen_blocks(bundle)

    def prepare(self, bundle: Bundle, seed: int) -> None:
        depth_of, _ = depths(bundle.model)
        lowest = self._lowest(bundle)
        for name, parameter in bundle.model.named_parameters():
            if depth_of[name] < lowest:
                parameter.requires_grad_(False)

    def groups(self, bundle: Bundle, learning_rate: float) -> list[ParameterGroup]:
        depth_of, top = depths(bundle.model)
        return by_depth(moving(bundle.model), depth_of, lambda depth: self._rate(top - 1 - depth, learning_rate))


class FrozenShareOptions(Options):
    frozen_share: float | None = Field(default=None, ge=0, le=1)
    """Share of the network, from the bottom, that stays as it is: its embeddings and this part of its
    blocks. 0 moves everything, embeddings too. When not given, a third of a text encoder, nothing of a
    language model."""


class FrozenShare(Layered):
    """How many blocks stay as they are can be asked for."""

    def __init__(self, options: FrozenShareOptions):
        super().__init__(options)
        self.learns_new_tokens = not options.frozen_share

    def _share(self, bundle: Bundle) -> float:
        asked: float | None = self.options.frozen_share
        return super()._share(bundle) if asked is None else asked


class Additive(Method):
    """What PEFT adds to a frozen network moves, and the head."""

    adds = True
    _peft: Adapted | None = None

    def _add(self, bundle: Bundle, config: PeftConfig, seed: int) -> None:
        self._peft = add_to(bundle.model, config, seed)

    def merge(self, bundle: Bundle, folder: Path) -> None:
        """Save what was added in PEFT's layout in `folder`/adapter, then fold it into the weights."""
        assert self._peft is not None
        with quiet_peft():
            self._peft.save_pretrained(folder / "adapter", safe_serialization=True)
            bundle.model.network = self._peft.merge_and_unload()


class VirtualTokens(Method):
    """What stands before every text moves, and the head; the base stays as it is, and the whole is saved beside it."""

    modalities = ("text",)
    """What is added stands before a text."""
    changes_features = True
    adds = True
    keeps_base_intact = True
    _name: ClassVar[str]
    _head_rate: ClassVar[float]
    """Of a text model's head, by the rate of what stands before the text."""
    _takes_checkpointing: ClassVar[bool]
    _size = 1.0
    """What the rate is measured in."""

    @staticmethod
    @abstractmethod
    def _add(bundle: Bundle, ids: Tensor) -> Adapted:
        """Put them before what the network reads; they start as the words `ids` int64 [n]."""

    @property
    def virtual_tokens(self) -> int:
        return int(self.options.virtual_tokens)

    def check(self, words: Mapping[str, object]) -> None:
        virtual.refuse(self._name, words, checkpointing=self._takes_checkpointing)

    def check_network(self, bundle: Bundle) -> None:
        virtual.check_network(bundle, self._name, self._add)

    def prepare(self, bundle: Bundle, seed: int) -> None:
        """Start from what real words give."""
        self._add(bundle, virtual.first_words(bundle, self.virtual_tokens, self.options.init_text, seed))

    def groups(self, bundle: Bundle, learning_rate: float) -> list[ParameterGroup]:
        words, head = split_head(bundle.model)
        rates = (learning_rate * self._size, learning_rate * self._head_rate)
        return [ParameterGroup(words, rates[0]), ParameterGroup(head, rates[1])]
