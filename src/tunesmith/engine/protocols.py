"""The seams: what a task, a method and a callback must have, and what they may. Machinery knows these and no plugin.

A plugin inherits its protocol and gets a default for all that it may have. What is abstract here, or has no value, it
brings itself; every other name of its class begins with an underscore, so that none is misspelled unseen
(`core.plugins`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

from tunesmith.core import registry
from tunesmith.core.events import Emit
from tunesmith.core.measured import Measured
from tunesmith.core.options import Options
from tunesmith.core.spec import Words
from tunesmith.data.features import FeatureTable, by_column
from tunesmith.data.types import Kind
from tunesmith.engine import batching
from tunesmith.engine.encoded import EncodedItems
from tunesmith.engine.invariance import Ask
from tunesmith.engine.likelihood import Likelihoods
from tunesmith.engine.objective import Objective, RowObjective
from tunesmith.engine.optim import ParameterGroup
from tunesmith.engine.options import LanguageOptions
from tunesmith.engine.probe import Loss
from tunesmith.engine.sequences import SequenceRows
from tunesmith.engine.target import Target
from tunesmith.engine.tokens import FEATURES
from tunesmith.engine.toy import Toy
from tunesmith.models.bundle import Bundle
from tunesmith.models.codec import Codec, Example
from tunesmith.models.mask import Encoded
from tunesmith.models.types import Tokenizer


@dataclass(frozen=True)
class Batches:
    """How training items are put together."""

    rows: int
    tokens: int | None
    seed: int
    packed: bool = False


class Task(ABC):
    """What is learned: what every task has, whatever its family."""

    Options: ClassVar[type[Options]]
    summary: ClassVar[str]
    """One line for `tunesmith tasks`."""
    family: ClassVar[str]
    """What a forward pass gives: the name of a family."""
    kinds: ClassVar[tuple[Kind, ...]] = ()
    """Kinds of target that it learns."""
    forms: ClassVar[tuple[str, ...]] = ()
    """Forms of example that it learns: 'chat', 'completion', 'text', 'preference', 'feedback', 'pair'."""
    modality: ClassVar[str | None] = None
    """What is read: the name of a modality. None: conversations, or texts that are gone on with."""
    needs_reference: ClassVar[bool] = False
    """Whether it learns against the base model's own likelihoods."""

    @property
    @abstractmethod
    def metrics(self) -> tuple[str, ...]:
        """Headline metrics; the first one picks the best checkpoint."""

    def __init__(self, options: Any) -> None:
        self.options = options

    @classmethod
    @abstractmethod
    def toys(cls) -> list[Toy]:
        """Rows that show what it can, ten of each kind or form."""


class PredictiveTask(Task):
    """An answer for every row. Made from its options, then `fit` to the training rows (or `restore`d)."""

    family: ClassVar[str] = "predictive"
    modality: ClassVar[str] = "text"
    """What its inputs are: a name of `modalities`."""
    loader: ClassVar[str] = "encoder"
    """The kind of network that it learns with: a name of `models.loaders`."""
    method_defaults: ClassVar[Mapping[str, tuple[float, int]]] = {}
    """Highest learning rate and epochs of a method, by its name, where they are not the method's own."""
    epochs_rows: ClassVar[int | None] = None
    """The training rows that these epochs are for: fewer are seen more often, in proportion, up to three times as
    often; more less often, down to a third. None: for all."""
    rate_width: ClassVar[int | None] = None
    """The hidden size that these rates are for: in wider networks they are less, in proportion. None: for all."""
    method_options: ClassVar[Mapping[str, Mapping[str, object]]] = {}
    """Options of a method, by its name, where they are not the method's own."""
    trusts_few_rows: ClassVar[bool] = True
    """Whether the best epoch is kept, and a training ended, by fewer than a hundred validation rows."""
    usual_method: ClassVar[str | None] = None
    """What is chosen where no method is asked for; None: it depends on the data."""
    usual_patience: ClassVar[int | None] = None
    """Evaluations without a better one after which a training stops, where nothing is asked; None: as for all."""
    predictor: ClassVar[str | None] = None
    """What asks the finished model: a name of `families.predictors`; None: that of its family."""
    batch_rows: ClassVar[tuple[int, int]] = (8, batching.ROWS)
    """The least rows of a batch where nothing is asked, and the most."""
    kind: Kind
    label_names: list[str] | None = None
    splits: Mapping[str, np.ndarray] = {}
    """Positions of the rows of each part, in a run; known before `encode`."""

    @property
    @abstractmethod
    def probe_loss(self) -> Loss | None:
        """The loss of the linear solution that the head starts from; None where no linear head gives the answers, and
        there is no such solution."""

    def fit(self, kind: Kind, label_names: list[str] | None, train_targets: Sequence[object], emit: Emit) -> None:
        """Learn what depends on the training targets: class weights, scale."""
        self.kind, self.label_names = kind, label_names

    @abstractmethod
    def load(self, model: str, emit: Emit) -> Bundle:
        """The base model with a head for this task."""

    def equip(self, bundle: Bundle) -> None:
        """What options of the task change in how a network answers, once it is loaded: a base, or a saved model."""

    def encode(
        self, rows: Dataset, bundle: Bundle, folder: Path, emit: Emit, check: Callable[[], None]
    ) -> EncodedItems:
        """Rows as tensors on disk, below `folder`: what the modality makes of them, where nothing has to be chosen."""
        encoded: EncodedItems = registry.get("modalities", self.modality)().encode(
            rows, bundle, bundle.max_length, folder, check
        )
        return encoded

    def encode_asked(self, rows: Dataset, bundle: Bundle, folder: Path) -> EncodedItems:
        """Rows that a finished model is asked, which have no more than inputs."""
        encoded: EncodedItems = registry.get("modalities", self.modality)().encode(
            rows, bundle, bundle.max_length, folder
        )
        return encoded

    def evidence(self, rows: Dataset, test: Measured, others: Mapping[str, Measured]) -> dict[str, Any]:
        """What its own sections of the report show of the test rows; `others`: what baselines make of them."""
        return {}

    def beside(self, bundle: Bundle, folder: Path, check: Callable[[], None]) -> EncodedItems | None:
        """What is computed beside the test rows to judge them, such as further documents; None: nothing."""
        return None

    def know_beside(self, outputs: np.ndarray) -> None:
        """Called with what the model makes of that, before `decode` is."""

    @property
    def target(self) -> Target:
        """What is learned of each row."""
        return registry.get("evaluate.targets", self.kind)(self.kind, self.label_names)

    def truth(self, values: Sequence[object]) -> Any:
        """Column 'target' as what predictions are compared with."""
        return self.target.truth(values)

    table: FeatureTable | None = None
    """How the columns beside a text become numbers, where there are any."""

    def fit_inputs(self, rows: Dataset) -> None:
        """Learn what must be known of the training rows to read and to judge others."""
        if FEATURES in rows.column_names:
            cells = rows[FEATURES][:]
            self.table = FeatureTable.fit(by_column(cells, list(cells[0])))

    def loaded(self, model: str, emit: Emit) -> Bundle:
        """`load`, with what reads the columns beside a text. Raises OptionError where the network can not."""
        bundle = self.load(model, emit)
        if self.table is not None:
            new = torch.zeros(bundle.model.head.out_features, self.table.width)
            bundle.model.join_table(self.table.record(), new)
            bundle.zero_shot = None if bundle.zero_shot == "names" else bundle.zero_shot
        return bundle

    def truth_of(self, values: Sequence[object], rows: Dataset) -> Any:
        """The same as `truth`, of these rows, where more is to be known of them."""
        return self.truth(values)

    @abstractmethod
    def targets(self, values: Sequence[object]) -> np.ndarray:
        """Column 'target' as what `loss` compares with."""

    @abstractmethod
    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Outputs of a batch and its targets to one loss per row, or answer, float32 [rows]."""

    def kept(self, outputs: Tensor) -> Tensor:
        """What `decode` needs of the outputs for a batch, float32 [answers, ...], alike for all rows."""
        return outputs

    def settle_rows(self, rows: EncodedItems, ask: Ask | None, emit: Emit) -> Words:
        """Choose how the training batches of `rows` are drawn (`EncodedItems.training_batch`), before a training of
        more than the head; the options that were chosen, by name. `ask`: what a linear head makes of changed rows,
        where there is one."""
        return {}

    def objective(self, plain: RowObjective, bundle: Bundle) -> RowObjective:
        """How the training rows are batched and learned, where not each for itself."""
        return plain

    def row_weights(self, targets: np.ndarray) -> np.ndarray | None:
        """What each row counts in the loss, float32 [rows]; None when all count alike."""
        return None

    @abstractmethod
    def scores(self, logits: np.ndarray) -> np.ndarray:
        """Logits [n, outputs] as probabilities or values in the user's units."""

    def decode(self, logits: np.ndarray, counts: np.ndarray | None = None, rows: Dataset | None = None) -> Any:
        """What it makes of logits [answers, outputs], or of what it `kept`: a prediction of each row. `counts` int64
        [rows]: answers of each row; None: one. `rows`: what was read, where it is at hand."""
        return self.target.decode(self.scores(logits), counts)

    def measure(self, predictions: Any, truth: Any, thresholds: np.ndarray | None = None) -> Measured:
        """Predictions of some rows beside their truth; `thresholds` as `target.tune` gives them."""
        return self.target.measure(predictions, truth, thresholds)

    def finish(self, bundle: Bundle) -> None:
        """Move what the saved model must know (the targets' scale) into its weights."""

    def state(self) -> dict[str, Any]:
        """JSON for `restore`."""
        return {"kind": self.kind, "label_names": self.label_names}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.kind, self.label_names = state["kind"], state["label_names"]


TOY_WORDS: dict[str, Any] = {"generate_rows": 0, "few_shot": 0}
"""Options of a toy of a model that writes: nothing is written before and after training, which takes longer."""


class GenerativeTask(Task):
    """Text."""

    family: ClassVar[str] = "generative"
    options: LanguageOptions
    network: ClassVar[Literal["causal", "seq2seq"]]
    """The kind of language model that it learns with: a name of `models.loaders`."""
    text_metric: ClassVar[str] = "rougeL"
    """What written answers are compared by."""
    rate_factor: ClassVar[float] = 1.0
    """Of a method's learning rate."""
    sequences_per_item: ClassVar[int] = 1
    """Sequences of tokens of one training item, such as a better and a worse answer."""

    @abstractmethod
    def codec(self, tokenizer: Tokenizer) -> Codec:
        """How examples become tokens. Raises OptionError for what the tokenizer does not have."""

    @abstractmethod
    def encode(self, example: Example, partner: Example, codec: Any, limit: int) -> list[tuple[Encoded, int]]:
        """The example's sequences, each with its number of source tokens (0: there is no encoder). `partner`: another
        example of the same split; `codec`: that of this task. Raises DataError."""

    @abstractmethod
    def objective(
        self,
        rows: SequenceRows,
        items: np.ndarray,
        batches: Batches,
        *,
        reference: Likelihoods | None = None,
        good: np.ndarray | None = None,
    ) -> Objective:
        """What is learned of some items (int64 [n]). `reference`: the base model's likelihoods of all sequences, where
        the task needs them; `good`: of judged single answers the judgement of every item, bool."""

    @abstractmethod
    def statistics(
        self, found: Likelihoods, *, reference: Likelihoods | None = None, good: np.ndarray | None = None
    ) -> Any:
        """What the metrics of some items are made of, an `evaluate.measured.RowStatistics`; `reference` and `good` are
        of the same items."""


class Traits:
    """What sets a method apart, with what holds for all others as the default."""

    families: ClassVar[tuple[str, ...] | None] = None
    """Names of the families of task that it fits; None: all."""
    modalities: ClassVar[tuple[str, ...] | None] = None
    """Names of the modalities whose inputs it can learn from; None: all."""
    language_learning_rate: ClassVar[float | None] = None
    """Highest rate for a language model, before the task's own factor, where it is not `learning_rate`."""
    rate_by_width: ClassVar[bool] = False
    """Whether the rate for a language model depends on its hidden size."""
    toy_rate: ClassVar[float] = 1.0
    """Times the rate of a toy, where so few weights move that each must go far; a step then sees all of its rows."""
    batch_rows: ClassVar[int | None] = None
    """Rows of a batch, where they do not follow from the data."""
    least_steps: ClassVar[int] = 0
    """Steps that few rows are given more epochs for; needs `batch_rows`."""
    frozen_body: ClassVar[bool] = False
    """The body never moves, so the head can train on features computed once."""
    starts_from_probe: bool = True
    """Whether the head starts from the linear solution on frozen features."""
    changes_features: ClassVar[bool] = False
    """What it adds changes what the head reads before it has learned anything, so the head starts from the linear
    solution on that."""
    fits_head: ClassVar[bool] = False
    """The head is fitted anew to the trained body in the end, and for every look at validation rows."""
    needs_vectors: ClassVar[bool] = False
    """Whether it learns from one vector a row, which a task without a linear solution does not have."""
    keeps_last: ClassVar[bool] = False
    """The end of training is kept, not the best evaluation."""
    same_batches: ClassVar[bool] = False
    """Every epoch has the batches of the first."""
    adds: ClassVar[bool] = False
    """The base stays as it is, and what is learned can lie beside it."""
    keeps_base_intact: ClassVar[bool] = False
    """What is learned lies beside the base of a text model, so that what earlier runs added to it answers as before."""
    learns_new_tokens: bool = False
    """Words that the vocabulary gets have embeddings that move."""

    @property
    def virtual_tokens(self) -> int:
        """By how much the context shrinks."""
        return 0

    def load_kwargs(self) -> dict[str, str]:
        """How a language model is loaded: {"quantization": "nf4"}, or as it is."""
        return {}

    def check(self, words: Mapping[str, object]) -> None:
        """Raises OptionError for other options of the run that it can not work with."""

    def check_network(self, bundle: Bundle) -> None:
        """Raises OptionError for a text model that it can not work with; asked where it has `virtual_tokens`."""

    def frozen_blocks(self, bundle: Bundle) -> int:
        """How many of the lowest blocks never move (embeddings included), so that they run only once."""
        return 0

    def stage(self, epoch: int, before: int, stalled: bool) -> int:
        """The stage (from 0) of the epoch (from 0) that begins, by the one before; `stalled` where validation has not
        improved in that."""
        return 0

    def on_stage(self, stage: int, bundle: Bundle) -> bool:
        """Called as an epoch of that stage begins or goes on after a resume; whether it is the last stage."""
        return True

    def frozen_prefix(self, stage: int, bundle: Bundle) -> int:
        """How many of the lowest blocks do not move in that stage, nor in those before."""
        return self.frozen_blocks(bundle)

    def objective(self, plain: RowObjective, bundle: Bundle, label_names: list[str] | None, emit: Emit) -> Objective:
        """The objective to train on in place of `plain`."""
        return plain

    def reading(self, bundle: Bundle, columns: int | None) -> AbstractContextManager[None]:
        """The model answers as a run with that many columns left it; as it was before this one when None."""
        return nullcontext()

    def merge(self, bundle: Bundle, folder: Path) -> None:
        """Fold what was added into the network; parts worth keeping apart are saved below `folder`."""


class Method(Traits, ABC):
    """Which weights move."""

    Options: ClassVar[type[Options]] = Options
    summary: ClassVar[str]
    """One line for `tunesmith methods`."""
    learning_rate: ClassVar[float]
    """Highest rate of the body when the user gives none."""
    epochs: ClassVar[int]

    def __init__(self, options: Any) -> None:
        self.options = options

    @abstractmethod
    def prepare(self, bundle: Bundle, seed: int) -> None:
        """Freeze, unfreeze or add weights. Called once, before anything trains."""

    @abstractmethod
    def groups(self, bundle: Bundle, learning_rate: float) -> list[ParameterGroup]: ...
