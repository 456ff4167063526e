"""Pairs of a query and a document to a score: documents that were found are put into a better order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from datasets import Dataset, concatenate_datasets
from pydantic import Field
from sklearn.isotonic import IsotonicRegression
from torch import Tensor
from torch.nn import functional

from tunesmith.core.errors import OptionError
from tunesmith.core.events import Decided, Emit, ignore
from tunesmith.core.measured import Measured
from tunesmith.core.options import Options
from tunesmith.data.corpus import read_corpus
from tunesmith.data.pairs import keys, scale_of
from tunesmith.data.types import Kind
from tunesmith.engine import similarity
from tunesmith.engine.candidates import EncodedLists, Lists, find_lists
from tunesmith.engine.objective import RowObjective
from tunesmith.engine.protocols import PredictiveTask, Toy
from tunesmith.engine.relevance import RANKED, SCORED, judged_by
from tunesmith.engine.taught import TaughtObjective
from tunesmith.engine.text_vectors import MOST, TextVectors
from tunesmith.engine.tokens import encode_rows, encode_texts
from tunesmith.evaluate import relevance_sections
from tunesmith.evaluate.bm25 import BM25
from tunesmith.evaluate.targets.reranked import Reranked
from tunesmith.models.bundle import Bundle
from tunesmith.models.loaders.encoder import load_text_base

_SPARE = 3
"""Documents that are found for each one that is wanted, as some may be relevant."""
_BOTH = 0.02
"""Of the texts of one side, the share that stands on the other one too where both are of one kind."""
_NEAR = 20
_SHOWN = 20


class RerankingOptions(Options):
    loss: Literal["auto", "bce", "listwise", "mse"] = "auto"
    """What is learned: bce (each pair by itself, as relevant or not, or by its score from 0 to 1), listwise (the
    relevant documents of a query before all others of its list) or mse. Chosen by the data when not given."""
    hard_negatives: int = Field(default=4, ge=0, le=100)
    """Documents beside each row of training that BM25 finds for its query and that are not known to be relevant, where
    the data has none."""
    negative_margin: float = Field(default=0.05, ge=0, lt=1)
    """A document nearer to the query than its own by the base's cosine, less this share of it, may be relevant, and is
    no hard negative; of bases that are sentence encoders."""
    distill_epochs: int | None = Field(default=None, ge=0)
    """Epochs, the first ones, in which the network learns what the base says of other pairs of the training texts, by
    the cosines of their vectors. When not given, a third of all where pairs have scores and the base is a sentence
    encoder, at most two; 0: none."""
    symmetric: bool | None = None
    """Whether both texts of a pair are of one kind, so that pairs are learned in both orders, by turns. When not given,
    found out: where pairs have scores and the same texts stand on both sides."""
    candidates: int = Field(default=20, ge=1, le=1000)
    """Documents that BM25 finds for each query of validation and test rows, to be ordered with its own, where the data
    has no lists."""
    corpus: str | None = None
    """A file of more documents among which candidates are found, a text a row."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Dropout in the network while training."""
    max_length: int | None = Field(default=None, ge=8)
    """Longest pair in tokens; longer ones are cut at the end. When not given, as long as the model was made for, or,
    where much of the texts would not be read with that, as long as it can read; at most 512."""


class Reranking(PredictiveTask):
    Options = RerankingOptions
    summary: ClassVar[str] = "a score for a query and a document, read together: the order of what was found"
    kinds: ClassVar[tuple[Kind, ...]] = ("relevance",)
    modality: ClassVar[str] = "pairs"
    predictor: ClassVar[str | None] = "reranking"
    usual_method: ClassVar[str | None] = "full"
    method_defaults: ClassVar[Mapping[str, tuple[float, int]]] = {"full": (2e-4, 6), "head": (1e-3, 10)}
    probe_loss = None
    options: RerankingOptions

    def __init__(self, options: RerankingOptions):
        self.options = options
        self.kind: Kind = "relevance"
        self.label_names: list[str] | None = None
        self._ranks, self._listed = True, False
        self._loss = "bce"
        self._scale = (0.0, 1.0)
        self._corpus: list[str] = []
        self._of_test: Lists | None = None
        self._known: TextVectors | None = None
        """Of the texts of a run, by a base that is a sentence encoder."""
        self._train: tuple[Sequence[str], Sequence[str], np.ndarray] = ((), (), np.zeros(0))
        self._folder = Path()
        self._emit: Emit = ignore
        self._suspected: list[dict[str, Any]] = []
        """Documents that were found for a query and may be relevant to it, for the report."""

    @property
    def metrics(self) -> tuple[str, ...]:
        return RANKED if self._ranks else SCORED

    @property
    def target(self) -> Reranked:
        return Reranked(self.kind, None, ranks=self._ranks, lists=self._of_test, known=self._known)

    def fit(self, kind: Kind, label_names: list[str] | None, train_targets: Sequence[object], emit: Emit) -> None:
        """Choose the loss and how it is judged, by the data."""
        truth = self.target.truth(train_targets)
        self._ranks, why = judged_by(truth)
        emit(Decided("judged by", "documents in order" if self._ranks else "scores of pairs", why))
        self._scale = scale_of(truth[:, 0])
        one_sided = bool(np.ptp(truth[:, 0]) == 0)
        self._listed = self._ranks and (one_sided or bool((truth[:, 3] != 0).any()))
        self._loss, why = self.options.loss, "asked for"
        if self._loss == "auto":
            self._loss = "listwise" if self._listed else "bce"
            why = "each relevant document stands in a list with others" if self._listed else "each pair has a score"
        if one_sided and not self.options.hard_negatives and not (truth[:, 3] != 0).any():
            raise OptionError(
                "hard_negatives=0 leaves nothing but relevant documents, from which nothing can be learned.",
                "Leave it out, or give rows that are not relevant, with the score 0.",
            )
        emit(Decided("loss", self._loss, why))
        if self.options.corpus is not None:
            self._corpus = read_corpus(self.options.corpus)
            emit(Decided("corpus", len(self._corpus), f"more documents among candidates: {self.options.corpus}"))

    def load(self, model: str, emit: Emit) -> Bundle:
        return load_text_base(
            model, label_names=["score"], problem_type="regression", dropout=self.options.dropout, emit=emit
        )

    def encode(
        self, rows: Dataset, bundle: Bundle, folder: Path, emit: Emit, check: Callable[[], None]
    ) -> EncodedLists:
        self._emit, self._folder = emit, folder
        found: list[Sequence[str]] = [()] * len(rows)
        lists = {name: self._of_part(rows, name) for name in self.splits} if self._listed else {}
        said = [lists[name].texts[at] for name in lists for its in lists[name].of_row for at in its.tolist()]
        texts = list(dict.fromkeys([*rows["text"][:], *rows["text_pair"][:], *said]))
        if bundle.zero_shot == "names" and len(texts) <= MOST:
            self._known = TextVectors.of(bundle, texts, folder / "alone", check)
        for name, its in lists.items():
            kept = self._without_suspects(rows, its) if name == "train" else its
            if name == "test":
                self._of_test = kept
            for row, places in zip(self.splits[name], kept.of_row, strict=True):
                found[int(row)] = [kept.texts[at] for at in places]
        if self._listed:
            of = len(self._of_test.texts) if self._of_test else 0
            told = f"documents that share words with the query, of {of:,} to test on"
            emit(Decided("candidates", self.options.candidates, f"{told}; {self.options.hard_negatives} in training"))
        train = rows.select(self.splits.get("train", []))
        self._train = train["text"][:], train["text_pair"][:], self.truth(train["target"][:])[:, 0]
        turned = self._turned(emit)
        table = _pairs(rows, found)
        whole = concatenate_datasets([table, _turned_round(table)]) if turned else table
        encoded = encode_rows(whole, bundle, self.options.max_length, folder, emit, check)
        return self._made(rows, found, table, encoded, turned=turned)

    def _of_part(self, rows: Dataset, split: str) -> Lists:
        some = rows.select(self.splits[split])
        return self._lists(some, some["target"][:], training=split == "train")

    def _without_suspects(self, rows: Dataset, lists: Lists) -> Lists:
        """Lists of training rows without documents that the base takes for as relevant as what is."""
        some = rows.select(self.splits["train"])
        queries, documents = some["text"][:], some["text_pair"][:]
        count, given = self.options.hard_negatives, "text_negative" in rows.column_names
        if self._known is None or given:
            return replace(lists, of_row=[places[:count] for places in lists.of_row])
        own = self._known.cosines(queries, documents)
        most = own - self.options.negative_margin * np.abs(own)
        kept = []
        for row, places in enumerate(lists.of_row):
            texts = [lists.texts[at] for at in places]
            near = self._known.cosines([queries[row]] * len(texts), texts) > most[row]
            kept.append(places[~near][:count])
            if near.any() and len(self._suspected) < _SHOWN:
                self._suspected.append({"query": queries[row], "document": documents[row],
                                        "negative": texts[int(np.flatnonzero(near)[0])]})  # fmt: skip
        left = sum(len(before) > len(after) and len(after) < count
                   for before, after in zip(lists.of_row, kept, strict=True))  # fmt: skip
        why = f"{left:,} rows have fewer wrong documents for it"
        self._emit(Decided("negative_margin", self.options.negative_margin, why))
        return replace(lists, of_row=kept)

    def _turned(self, emit: Emit) -> bool:
        """Whether training pairs are learned in both orders."""
        if self._listed or self.options.symmetric is not None:
            return bool(self.options.symmetric) and not self._listed
        left, right = (set(keys(side).tolist()) for side in self._train[:2])
        both = len(left & right)
        found = not self._ranks and both >= _BOTH * min(len(left), len(right))
        emit(Decided("symmetric", found, f"{both:,} of {len(left | right):,} different texts stand on both sides"))
        return found

    def objective(self, plain: RowObjective, bundle: Bundle) -> RowObjective:
        """After what the base says of other pairs of the same texts, where it can say something."""
        asked = self.options.distill_epochs
        count = min(2, plain.epochs // 3) if asked is None and not self._ranks else asked or 0
        count = min(count, max(0, plain.epochs - 1))
        if self._known is None or not count:
            return plain
        left, right, scores = self._train
        said = IsotonicRegression(out_of_bounds="clip").fit(self._known.cosines(left, right), scores)
        taught = []
        for epoch in range(count):
            first, second = self._drawn_pairs(len(plain.positions), np.random.default_rng([plain.seed, epoch]))
            table = Dataset.from_dict({"text": first, "text_pair": second})
            rows = encode_texts(table, bundle.tokenizer, bundle.max_length, self._folder / f"taught-{epoch}")
            targets = np.zeros((len(first), 4))
            targets[:, 0] = said.predict(self._known.cosines(first, second))
            ids = np.full(len(first), -1, dtype=np.int64)
            rows = rows.with_targets(targets, ids)
            taught.append(replace(plain, rows=rows, positions=np.arange(len(first)), row_loss=self._of_pairs))
        why = "epochs, the first ones: what the base says of other pairs of these texts"
        self._emit(Decided("distill_epochs", count, "asked for" if asked is not None else why))
        return TaughtObjective.of(plain, taught)

    def _drawn_pairs(self, count: int, chance: np.random.Generator) -> tuple[list[str], list[str]]:
        """Training texts with others, two thirds of them near ones."""
        assert self._known is not None
        queries, documents = (list(dict.fromkeys(side)) for side in self._train[:2])
        drawn = chance.integers(0, len(queries), count)
        places = [np.array([self._known.place[text] for text in side]) for side in (queries, documents)]
        vectors = [self._known.vectors[its] for its in places]
        asked, back = np.unique(drawn, return_inverse=True)
        near = similarity.neighbours(vectors[0][asked], vectors[1], _NEAR)[back]
        near = near[np.arange(count), chance.integers(0, near.shape[1], count)]
        other = np.where(chance.random(count) < 2 / 3, near, chance.integers(0, len(documents), count))
        return [queries[at] for at in drawn], [documents[at] for at in other]

    def encode_asked(self, rows: Dataset, bundle: Bundle, folder: Path) -> EncodedLists:
        found: list[Sequence[str]] = [()] * len(rows)
        if self._listed and "judged" in rows.column_names:
            lists = self._lists(rows, rows["judged"][:], training=False)
            found = [[lists.texts[at] for at in its] for its in lists.of_row]
        table = _pairs(rows, found)
        return self._made(rows, found, table, encode_texts(table, bundle.tokenizer, bundle.max_length, folder))

    def _lists(self, rows: Dataset, targets: Sequence[object], *, training: bool) -> Lists:
        """Candidates of the rows of one part, found among its documents, and in the corpus where it is not learned
        from."""
        truth = self.target.truth(targets)
        words = [*rows["text_pair"][:], *(rows["text_negative"][:] if "text_negative" in rows.column_names else [])]
        own = dict(zip(words, keys(words), strict=True))
        texts, names = [text for text in own if text], [key for text, key in own.items() if text]
        if not training and self._corpus:
            more = {key: text for text, key in zip(self._corpus, keys(self._corpus).tolist(), strict=True)}
            known_names = set(names)
            new = [key for key in more if key not in known_names]
            texts, names = [*texts, *(more[key] for key in new)], [*names, *new]
        _, first = np.unique(names, return_index=True)
        texts, known = [texts[at] for at in sorted(first)], np.array(names)[sorted(first)]
        count = _SPARE * self.options.hard_negatives if training else self.options.candidates
        index = BM25(texts)
        lists = find_lists(rows["text"][:], truth, (texts, known), index.best, count, every=training)
        if "text_negative" in rows.column_names:  # what the data says is wrong comes first
            place = {key: at for at, key in enumerate(known.tolist())}
            wrong = [place.get(negative) for negative in truth[:, 3].tolist()]
            beside = [_first(document, its) for document, its in zip(wrong, lists.of_row, strict=True)]
            lists = Lists(texts, known, beside)
        return lists

    def _made(
        self, rows: Dataset, found: Sequence[Sequence[Any]], table: Dataset, encoded: Any, *, turned: bool = False
    ) -> EncodedLists:
        counts = np.array([1 + len(its) for its in found], dtype=np.int64)
        cut = np.unique(np.repeat(np.arange(len(rows)), counts)[encoded.cut[encoded.cut < len(table)]])
        documents = keys(table["text_pair"][:])
        return EncodedLists(pairs=encoded, answers=counts, documents=documents, turned=turned, cut=cut)

    def targets(self, values: Sequence[object]) -> np.ndarray:
        return self.target.truth(values)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """One loss per pair; of lists that of the list, for each of its pairs."""
        logits = outputs[:, 0]
        low, high = self._scale
        wanted = ((targets[:, 0] - low) / (high - low)).float()
        if self._loss == "mse":
            return (logits.sigmoid() - wanted).square()
        if self._loss == "bce":
            return self._of_pairs(outputs, targets)
        same = targets[:, None, 1] == targets[None, :, 1]
        log_shares = logits - logits[None, :].masked_fill(~same, torch.finfo(torch.float32).min).logsumexp(1)
        gains = (targets[:, 0].clamp(min=0)[None] * same).float()
        shares = gains / gains.sum(1, keepdim=True).clamp(min=1e-9)
        return -(shares * log_shares[None]).sum(1)

    def _of_pairs(self, outputs: Tensor, targets: Tensor) -> Tensor:
        low, high = self._scale
        wanted = ((targets[:, 0] - low) / (high - low)).float()
        return functional.binary_cross_entropy_with_logits(outputs[:, 0], wanted, reduction="none")

    def scores(self, logits: np.ndarray) -> np.ndarray:
        """From 0 to 1, as a `CrossEncoder` gives them."""
        return torch.from_numpy(np.asarray(logits, dtype=np.float64)[:, 0]).sigmoid().numpy()

    def finish(self, bundle: Bundle) -> None:
        """What sentence-transformers makes of the output."""
        bundle.model.config.sentence_transformers = {"activation_fn": "torch.nn.modules.activation.Sigmoid"}

    def evidence(self, rows: Dataset, test: Measured, others: Mapping[str, Measured]) -> dict[str, Any]:
        return {**relevance_sections.examples(rows, test, others), "negatives": self._suspected}

    def state(self) -> dict[str, Any]:
        return {"kind": self.kind, "label_names": None, "ranks": self._ranks, "listed": self._listed,
                "candidates": self.options.candidates}  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self._ranks, self._listed = bool(state["ranks"]), bool(state["listed"])
        self.options = self.options.model_copy(update={"candidates": state["candidates"]})

    @classmethod
    def toys(cls) -> list[Toy]:
        words = ["card", "parcel", "refund", "app", "order", "screen", "cable", "invoice", "password", "shop"]
        asked = [{"query": f"where is my {word}", "document": f"my {word} is there"} for word in words]
        scored = [
            {"sentence1": f"my {word} is here", "sentence2": f"the {word} is {'good' if at % 2 else 'bad'}",
             "score": float(at % 2)}
            for at, word in enumerate(words)
        ]  # fmt: skip
        return [
            Toy(asked, {"task": "reranking", "hard_negatives": 3, "candidates": 3}, reaches=0.6),
            Toy(scored, {"task": "reranking"}, reaches=0.6),
        ]


def _pairs(rows: Dataset, found: Sequence[Sequence[Any]]) -> Dataset:
    """Each row's own pair, and behind it its query with each of the documents that were found."""
    queries, documents = list[str](), list[str]()
    for query, document, more in zip(rows["text"][:], rows["text_pair"][:], found, strict=True):
        queries += [query] * (1 + len(more))
        documents += [document, *more]
    return Dataset.from_dict({"text": queries, "text_pair": documents})


def _turned_round(pairs: Dataset) -> Dataset:
    return Dataset.from_dict({"text": pairs["text_pair"][:], "text_pair": pairs["text"][:]})


def _first(document: int | None, others: np.ndarray) -> np.ndarray:
    """The document, where there is one, and of the others as many as make up their number with it."""
    if document is None:
        return others
    found = np.array([document, *others[others != document]], dtype=np.int64)
    return found[: max(1, len(others))]
