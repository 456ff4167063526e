"""The body learns which rows belong together, and to tell the classes; for few rows a class."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tunesmith.core.errors import OptionError
from tunesmith.core.events import Decided, Emit
from tunesmith.core.options import Options
from tunesmith.engine.contrastive import Comparison, ContrastiveObjective, encode_names, names_mean
from tunesmith.engine.method_kinds import Layered
from tunesmith.engine.objective import Objective, RowObjective
from tunesmith.engine.tokens import EncodedRows
from tunesmith.models.bundle import Bundle

_BLOCK_DECAY = 0.9
"""Learning rate of each block as a part of that of the block above it."""
_HEAD_RATE = 1.5
"""Learning rate of the head as a multiple of the highest of the body."""
_MEANING = 0.25
"""Names of labels are used that find the labels of this share of the rows that a guess would get wrong."""


class ContrastiveOptions(Options):
    temperature: float = Field(default=0.1, gt=0)
    """What cosine similarities are divided by; lower looks more at the nearest rows."""
    pair_weight: float = Field(default=1.0, ge=0)
    """What the comparison of rows counts in the loss, beside the head's own."""
    rows_per_class: int = Field(default=4, ge=2)
    """Rows of one class that stand together in a batch, to be compared."""
    learn_names: bool | None = None
    """Take the name of each label for one more row of it; when not given, where the names mean something to
    the base model."""


class Contrastive(Layered):
    Options = ContrastiveOptions
    summary: ClassVar[str] = (
        "learns by comparing: rows of one label are drawn together, all others apart; for few rows per label"
    )
    learning_rate = 2e-4
    epochs = 6
    batch_rows = 64
    """All rows of a batch are compared with each other."""
    least_steps = 24
    """Few rows are seen more often."""
    families = ("predictive",)
    modalities = ("text", "image")
    needs_vectors = True
    keeps_last = True
    """The few validation rows that such data leave prefer the start, or any epoch, by chance (docs/log.md)."""
    fits_head = True
    """In the end, and for every look at validation rows: the one that learns along lags behind its features."""

    def _rate(self, below: int, learning_rate: float) -> float:
        return learning_rate * (_HEAD_RATE if below < 0 else _BLOCK_DECAY**below)

    def objective(self, plain: RowObjective, bundle: Bundle, label_names: list[str] | None, emit: Emit) -> Objective:
        if label_names is None:  # numbers
            return plain
        options = self.options
        comparison = Comparison(options.rows_per_class, options.temperature, options.pair_weight)
        if not isinstance(plain.rows, EncodedRows):  # names of labels are texts, and only texts are compared with them
            if options.learn_names:
                raise OptionError(
                    "learn_names: the names of labels are texts, and can not be compared with what this data holds.",
                    "Leave it out.",
                )
            if getattr(plain.rows, "mixup", 0) or getattr(plain.rows, "cutmix", 0):
                raise OptionError(
                    "contrastive draws pictures of one label together, and mixup and cutmix make pictures of two.",
                    "Leave mixup and cutmix out, or use --method full.",
                )
            return ContrastiveObjective(plain, None, comparison)
        names = encode_names(label_names, bundle.tokenizer, plain.rows)
        learned, why = options.learn_names, "asked for"
        if learned is None:
            found, guess = names_mean(bundle.model, plain, names, next(bundle.model.parameters()).device)
            learned = found >= guess + _MEANING * (1 - guess)
            why = f"the nearest name is the right one for {found:.0%} of the rows; guessing gets {guess:.0%}"
        emit(Decided("learn_names", learned, why))
        return ContrastiveObjective(plain, names if learned else None, comparison)
