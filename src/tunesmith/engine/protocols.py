"""The seams: what a task, a method and a callback must have. Machinery knows these and no plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from datasets import Dataset
from torch import Tensor

from tunesmith.core.events import Emit
from tunesmith.core.options import Options
from tunesmith.engine.optim import ParameterGroup
from tunesmith.engine.probe import Loss
from tunesmith.engine.tokens import EncodedRows
from tunesmith.models.bundle import Bundle

Kind = Literal["label", "labels", "number"]


@dataclass
class Toy:
    """A few rows that a plugin brings for the conformance tests, and options that suit them."""

    rows: list[dict[str, Any]]
    words: dict[str, Any]


@dataclass(frozen=True)
class Batches:
    """How training items are put together."""

    rows: int
    tokens: int | None
    seed: int
    packed: bool = False


class Task(Protocol):
    """What is learned. Made from its options, then `fit` to the training rows (or `restore`d)."""

    Options: ClassVar[type[Options]]
    summary: ClassVar[str]
    """One line for `tunesmith tasks`."""
    kinds: ClassVar[tuple[Kind, ...]]
    """Kinds of target that it learns."""
    loader: ClassVar[str]
    """The kind of network that it learns with: a name of `models.loaders`."""
    metrics: tuple[str, ...]
    """Headline metrics; the first one picks the best checkpoint."""
    kind: Kind
    label_names: list[str] | None
    probe_loss: Loss

    def __init__(self, options: Any) -> None: ...

    def fit(self, kind: Kind, label_names: list[str] | None, train_targets: Sequence[Any], emit: Emit) -> None:
        """Learn what depends on the training targets: class weights, scale."""

    def load(self, model: str, emit: Emit) -> Bundle:
        """The base model with a head for this task."""

    def encode(
        self, rows: Dataset, bundle: Bundle, folder: Path, emit: Emit, check: Callable[[], None]
    ) -> EncodedRows: ...

    def targets(self, values: Sequence[Any]) -> np.ndarray:
        """Column 'target' as what `loss` compares with."""

    def truth(self, values: Sequence[Any]) -> np.ndarray:
        """Column 'target' as what metrics compare with."""

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """One loss per row, float32 [rows]."""

    def row_weights(self, targets: np.ndarray) -> np.ndarray | None:
        """What each row counts in the loss, float32 [rows]; None when all count alike."""

    def scores(self, logits: np.ndarray) -> np.ndarray:
        """Logits [n, outputs] as probabilities or values in the user's units."""

    def finish(self, bundle: Bundle) -> None:
        """Move what the saved model must know (the targets' scale) into its weights."""

    def state(self) -> dict[str, Any]:
        """JSON for `restore`."""

    def restore(self, state: Mapping[str, Any]) -> None: ...

    @classmethod
    def toys(cls) -> list[Toy]: ...


class Method(Protocol):
    """Which weights move. A method may also have:

    batch_rows, least_steps: rows of a batch, and steps that few rows are given epochs for · keeps_last: the end of
    training is kept, not the best evaluation · fits_head: the head is fitted anew to the trained body in the end ·
    same_batches: every epoch has the batches of the first · lesson(plain, bundle, label_names, emit) -> Lesson ·
    changes_features: what it adds changes what the head reads before it has learned anything, so the head starts from
    the linear solution on that · check(words) and check_network(bundle), which refuse what it can not work with ·
    stage(epoch, before, stalled), on_stage(stage, bundle) and resting(stage, bundle), where other weights move in other
    epochs
    """

    Options: ClassVar[type[Options]]
    summary: ClassVar[str]
    learning_rate: float
    """Highest rate of the body when the user gives none."""
    epochs: int
    frozen_body: bool
    """The body never moves, so the head can train on features computed once."""
    starts_from_probe: bool
    """Whether the head starts from the linear solution on frozen features."""

    def __init__(self, options: Any) -> None: ...

    def prepare(self, bundle: Bundle, seed: int) -> None:
        """Freeze, thaw or add weights. Called once, before anything trains."""

    def groups(self, bundle: Bundle, learning_rate: float) -> list[ParameterGroup]: ...

    def frozen_blocks(self, bundle: Bundle) -> int:
        """How many of the lowest blocks never move (embeddings included), so that they run only once."""

    def merge(self, bundle: Bundle, folder: Path) -> None:
        """Fold what was added into the network; parts worth keeping apart are saved below `folder`."""


def stage_of(method: Any, epoch: int, before: int, stalled: bool) -> int:
    """The stage (from 0) of a method in the epoch that begins, by the one before; `stalled` where validation has not
    improved in that. One for all epochs, where the method knows no stages."""
    return int(method.stage(epoch, before, stalled)) if hasattr(method, "stage") else 0


def begin_stage(method: Any, bundle: Any, stage: int) -> bool:
    """What moves in that stage does; whether it is the last one."""
    return bool(method.on_stage(stage, bundle)) if hasattr(method, "on_stage") else True


class Callback(Protocol):
    """What happens around a step. All of these are optional:

    on_setup(setup, keeping) · on_start(state) · on_loss(model, loss, share) -> loss ·
    on_gradients(masters) -> penalty · on_step(state, event) · on_evaluate(state, metrics) · on_end(state) ·
    on_trained(setup, keeping)

    on_loss is called for every part of a batch, with the share of the step that the part is; on_gradients once a
    step, with the float32 weights and their gradients, to which it may add.
    """

    Options: ClassVar[type[Options]]
    summary: ClassVar[str]

    def __init__(self, options: Any, *, engine: Any, folder: Path) -> None: ...
