"""A network in memory and what belongs to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

from tunesmith.core.events import Emit
from tunesmith.models.language import LanguageModel
from tunesmith.models.processor import PictureProcessor
from tunesmith.models.text import TextModel
from tunesmith.models.types import Tokenizer
from tunesmith.models.vision import VisionModel

ZeroShot = Literal["head", "names"]
"""By its own 'head', trained on the same labels; or, of a sentence encoder, by which of the labels' 'names' is the
nearest to the text."""
NetworkKind = Literal["causal", "seq2seq"]
M = TypeVar("M")


@dataclass
class Bundle(Generic[M]):
    """What a loader gives, of a base model or of a finished one."""

    model: M
    tokenizer: Tokenizer
    """None where it reads no text."""
    name: str
    """What the user called the base model."""
    fingerprint: str
    """sha256 over weights, config and tokenizer of the base model."""
    position_limit: int
    """Most tokens that it can read at all (and write, together)."""
    folder: Path = Path()
    """Where its weights lie."""
    max_length: int = 0
    """Longest row, in tokens, that an encoder was made for."""
    kind: str = "encoder"
    """The loader's name."""
    licence: str | None = None
    zero_shot: ZeroShot | None = None
    """How an encoder could answer before any training."""
    quantization: str | None = None
    processor: PictureProcessor | None = None
    """Of a model that reads pictures: what makes them of one size."""
    new_token_ids: list[int] = field(default_factory=list)
    """Tokens that the run added, and others for which the base has no row; they are trained whatever the method."""


TextBundle = Bundle[TextModel]
VisionBundle = Bundle[VisionModel]
LanguageBundle = Bundle[LanguageModel]


class Loader(Protocol):
    """One kind of network; asked for by the name that a task gives (`core.registry`, "models.loaders")."""

    bases: str
    """The kind of base that it begins with, as the catalogue calls it."""

    @staticmethod
    def fits(folder: Path, name: str, emit: Emit) -> dict[str, Any]:
        """The config, where the model folder is safe and holds such a network. Raises ModelError with what it is."""

    @staticmethod
    def base(name: str, **how: Any) -> Bundle[Any]:
        """The base model of that name, with what the task puts on it. Raises ModelError."""

    @staticmethod
    def finished(folder: Path) -> Bundle[Any]:
        """A model that a run saved. Raises ModelError."""
