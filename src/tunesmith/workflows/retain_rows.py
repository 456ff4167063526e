"""What a run on rows must not forget: earlier runs with their heads, files of labelled rows, general texts."""

from __future__ import annotations

import copy
import json
import re
import shutil
from abc import ABC, abstractmethod
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn

from tunesmith.core import registry
from tunesmith.core.errors import DataError, ModelError, Problem
from tunesmith.core.events import Decided, Emit, ignore
from tunesmith.core.options import resolve
from tunesmith.core.run import RunFolder, is_run
from tunesmith.core.spec import RunSpec
from tunesmith.data.conversations import peek, read_examples
from tunesmith.data.prepare import prepare
from tunesmith.data.prepared import PreparedData
from tunesmith.data.types import SplitOptions
from tunesmith.engine import batching
from tunesmith.engine.inference import answering, run_rows
from tunesmith.engine.lesson import RowLesson
from tunesmith.engine.probe import LinearSolution, solve
from tunesmith.engine.protocols import Task
from tunesmith.engine.retained import Keeping, Probe, Retained, relative_distance
from tunesmith.engine.tokens import EncodedRows, encode_texts
from tunesmith.evaluate import forgetting
from tunesmith.evaluate.thresholds import tune_thresholds
from tunesmith.evaluate.types import Outcome
from tunesmith.models import virtual
from tunesmith.models.load import Bundle, load_text_finished, quiet_transformers
from tunesmith.workflows import choose, retain
from tunesmith.workflows.model import MARK, Model

if TYPE_CHECKING:
    from tunesmith.workflows.pipeline import Work

_PROBE_ROWS = 2_000
"""Most rows of a retained task that are fitted or chosen on."""
_PROBE_TEXTS = 1_000
"""Most retained texts, half of which are measured."""
_FEWEST_TEXTS = 40
_SHORTEST = 20
"""Characters of a sentence that says anything."""
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)]*\s+(?=[^a-z\s])|\n\s*\n")


@dataclass(frozen=True)
class Read:
    """A retained file or run as data: rows with targets, or texts where it holds nothing else."""

    path: Path
    is_run: bool
    spec: RunSpec
    data: PreparedData | None
    texts: list[str]


def read(folder: RunFolder, spec: RunSpec) -> list[Read]:
    """Everything that is retained, so that faults in it are told before anything is computed. Raises DataError."""
    return [_read(folder, spec, path) for path in retain.retained_paths(spec)]


def _read(folder: RunFolder, own: RunSpec, path: Path) -> Read:
    run = retain.finished(path, "rows") if is_run(path) else None
    if run is None and (found := peek(str(path))) is not None and found.form == "text":
        return Read(path, False, own, None, _own_texts(path, own.seed))
    spec = run.load_spec() if run else RunSpec(data=str(path), seed=own.seed)
    words = {name: value for name, value in spec.options.items() if name in SplitOptions.model_fields}
    options = cast(SplitOptions, resolve(words, {"split": SplitOptions})["split"])
    try:
        data = prepare(
            spec.data, validation=spec.validation, test=spec.test, text=spec.text, target=spec.target,
            kinds=choose.kinds_for(spec.task), options=options, seed=spec.seed, emit=ignore, cache_dir=folder.cache,
        )  # fmt: skip
    except DataError as error:
        if run is None and "--target" in (error.fix or ""):  # which would name columns of the new data
            raise DataError(error.problems, "Leave only text and target in what is retained.") from error
        raise
    if run is not None:
        written = json.loads((run.data / "fingerprint.json").read_text(encoding="utf-8"))["sha256"]
        if written != data.fingerprint:
            raise DataError(
                Problem(f"the data of the run {path} is not what it was when that run was trained", spec.data),
                fix="Put the data back, or retain a file instead: --retain old_task.csv",
            )
    return Read(path, run is not None, spec, data, [])


def remember(work: Work) -> Keeping:
    """Look at everything that must not be forgotten, before anything is trained."""
    spec = work.plan.spec
    chain = [run.path.resolve() for run in retain.earlier(spec)]
    tasks = [_task(work, one, one.path in chain, number) for number, one in enumerate(work.retained)]
    drift = _general(work)
    probes: list[Probe] = [*tasks, drift]
    keeping = Keeping(probes, [], work.folder.cache, work.bundle.fingerprint, spec.seed)
    keeping.remember(choosing=retain.chooses(spec))
    if retain.holds(spec):
        held = [probe for probe in tasks if not isinstance(probe, _ApartProbe)]
        keeping.retained = [probe.retained() for probe in held or [drift]]
        if not held:
            why = "no data or run is retained (--retain), so what the base makes of general sentences is held"
            work.emit(Decided("retained", "general sentences", why))
    return keeping


# the base of a continued run


def base_name(spec: RunSpec, emit: Emit) -> str:
    """The name of the base model: the run that is continued, or what was asked for. Raises what `check` does."""
    retain.check(spec, "rows")
    name = choose.model_for(retain.base_name(spec), emit)
    if spec.continue_from is None and (Path(name) / "adapter_config.json").exists():
        raise ModelError(
            f"The model folder {name} holds a base and, beside it, what a run added to it.",
            "Give the base that it was added to.",
        )
    return name


def base_source(folder: RunFolder, spec: RunSpec) -> str:
    """What `load_text_base` loads: for a continued run, a folder in the cache with its body without its head."""
    if spec.continue_from is None:
        return spec.model
    path = folder.cache / "base"
    if not path.exists():
        _save_body(retain.finished(Path(spec.continue_from), "rows"), path)
    return str(path)


def _save_body(run: RunFolder, path: Path) -> None:
    """Written aside and renamed; the pooling goes along in the way of sentence encoders, and columns of
    earlier tasks as they lie beside the body."""
    added = retain.additions(run.path).get("peft_type")
    columns = added == "COLUMN"
    bundle = load_text_finished(run.model) if columns or added is None else _without_adapter(run.model, path)
    if columns:
        from tunesmith.models.column import take_out

        take_out(bundle.model.network)
    body = bundle.model.network.base_model
    body.config = copy.deepcopy(body.config)
    for mark in ("tunesmith", "problem_type"):
        if hasattr(body.config, mark):
            delattr(body.config, mark)
    aside = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    with quiet_transformers():
        body.save_pretrained(aside)
        bundle.tokenizer.save_pretrained(aside)
    if bundle.model.pooling != "own":
        (aside / "1_Pooling").mkdir()
        words = {"pooling_mode_cls_token": bundle.model.pooling == "cls"}
        (aside / "1_Pooling" / "config.json").write_text(json.dumps(words), encoding="utf-8")
    for name in ("adapter_config.json", "adapter_model.safetensors") if columns else ():
        shutil.copy(run.model / name, aside / name)
    length = {"max_seq_length": bundle.max_length}
    (aside / "sentence_bert_config.json").write_text(json.dumps(length), encoding="utf-8")
    aside.rename(path)


def _without_adapter(model: Path, beside: Path) -> Bundle:
    """The base in the folder `model`, or below it, as it is without the adapter that lies in it too."""
    bare = beside.with_name(f".{beside.name}.bare")
    shutil.rmtree(bare, ignore_errors=True)
    below = model / virtual.BASE if virtual.stands_beside(model) else model
    shutil.copytree(below, bare, ignore=shutil.ignore_patterns("adapter_*"))
    shutil.copy(model / MARK, bare / MARK)
    try:
        return load_text_finished(bare)
    finally:
        shutil.rmtree(bare)


# retained tasks


def _task(work: Work, read: Read, with_head: bool, number: int) -> _TaskProbe | _DriftProbe:
    """A run's data, and its head where this run starts from its body; a file's data, to be probed anew, or its
    texts where it holds nothing else."""
    path, spec, data = read.path, read.spec, read.data
    if data is None:
        return _DriftProbe(work, path.stem, read.texts, f"retained-{number}")
    name = choose.task_for(data.columns.kind, spec.task, ignore)
    plugin = registry.get("tasks", name)
    fields = plugin.Options.model_fields
    task = plugin(plugin.Options(**{key: value for key, value in spec.options.items() if key in fields}))
    task.fit(data.columns.kind, data.label_names, data.targets(data.splits["train"]), ignore)
    rows = task.encode(data.rows, work.bundle, work.folder.cache / f"retained-{number}", ignore, work.stop.check)
    row_ids = np.asarray(data.rows.with_format("numpy")["row_id"][:], dtype=np.int64)
    rows = rows.with_targets(task.targets(data.rows["target"][:]), row_ids)
    title = path.name if read.is_run else path.stem
    if read.is_run and with_head:
        model = Model.load(path)
        if retain.additions(path).get("peft_type") not in (None, "COLUMN"):
            return _ApartProbe(work, title, task, data, rows, model)
        columns = int(retain.additions(path).get("columns", 0))
        head = _head(model, task).to(work.device)
        return _HeadProbe(work, title, task, data, rows, head, model.thresholds, columns)
    return _LinearProbe(work, title, task, data, rows)


def _head(model: Model, task: Task) -> nn.Linear:
    """The saved head, its answers on the scale of the task's targets."""
    head = copy.deepcopy(model.bundle.model.head).requires_grad_(False)
    if task.kind == "number":
        factor, offset = _target_scale(task)
        with torch.no_grad():
            head.weight.mul_(factor)
            if head.bias is not None:
                head.bias.mul_(factor).add_(offset)
    return head


def _target_scale(task: Task) -> tuple[float, float]:
    """By what a number is multiplied, and what is added to it, to be on the scale of the task's targets."""
    low, high = (float(value) for value in task.targets([0.0, 1.0]))
    return high - low, low


def _features(work: Work, rows: EncodedRows, positions: np.ndarray, columns: int | None = None) -> np.ndarray:
    """What a head reads from the body as it is now, float32 [len(positions), hidden]; of a progressive network
    from the column of a run that left that many, or from the newest before this run."""
    reading = getattr(work.plan.method, "reading", None)
    with reading(work.bundle, columns) if reading else nullcontext():
        return work.features(rows, positions)


def _logits(head: nn.Linear, features: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return head(torch.from_numpy(features).to(head.weight.device)).cpu().numpy()


class _TaskProbe(ABC):
    """An earlier task's first metric, on its own rows."""

    is_task = True
    how = ""
    head: nn.Linear

    def __init__(self, work: Work, name: str, task: Task, data: PreparedData, rows: EncodedRows):
        self.work, self.name, self.task, self.data, self.rows = work, name, task, data, rows
        self.seed = work.plan.spec.seed

    def split(self, choosing: bool) -> np.ndarray:
        splits = self.data.splits
        return batching.sample(splits["validation"], _PROBE_ROWS, self.seed) if choosing else splits["test"]

    @abstractmethod
    def look(self, choosing: bool) -> Outcome:
        """What the model as it is now answers on the rows of the split."""

    def compare(self, before: Outcome, after: Outcome) -> dict[str, Any]:
        metric = self.task.metrics[0]
        probe = f"{metric} on {len(before)} rows of {self.name}, {self.how}"
        return forgetting.lost_metric(before, after, metric, name=self.name, probe=probe, seed=self.seed)

    def retained(self) -> Retained:
        lesson = HeadLesson(
            self.rows, self.data.splits["train"], self.task.loss, batching.ROWS, batching.TOKENS, self.seed, self.head,
            self.task.kind,
        )  # fmt: skip
        return Retained(self.name, lesson, lesson.surprise, self.head, self.task.kind)

    def _outcome(self, positions: np.ndarray, logits: np.ndarray, thresholds: np.ndarray | None = None) -> Outcome:
        truth = self.task.truth(self.data.targets(positions))
        return Outcome(self.task.kind, truth, self.task.scores(logits), self.task.label_names, thresholds)


class _HeadProbe(_TaskProbe):
    """The head of the earlier run on the body as it is now."""

    how = "by its own head"

    def __init__(
        self, work: Work, name: str, task: Task, data: PreparedData, rows: EncodedRows, head: nn.Linear,
        thresholds: np.ndarray | None, columns: int,
    ):  # fmt: skip
        super().__init__(work, name, task, data, rows)
        self.head, self.thresholds, self.columns = head, thresholds, columns

    def look(self, choosing: bool) -> Outcome:
        some = self.split(choosing)
        features = _features(self.work, self.rows, some, self.columns)
        return self._outcome(some, _logits(self.head, features), self.thresholds)


class _ApartProbe(_TaskProbe):
    """The earlier run's own model: its adapter and head beside a base that this run leaves as it is (`retain.APART`).

    There is nothing to hold, and nothing that could change, so it looks once.
    """

    how = "by its own adapter"

    def __init__(self, work: Work, name: str, task: Task, data: PreparedData, rows: EncodedRows, model: Model):
        super().__init__(work, name, task, data, rows)
        self.model, self.seen = model, dict[bool, Outcome]()

    def look(self, choosing: bool) -> Outcome:
        if choosing not in self.seen:
            some, model = self.split(choosing), self.model.bundle.model.to(self.work.device)
            with answering(model, "fp32"):  # once only; its layers may round more than those it was trained with
                logits = run_rows(model, self.rows, some, on=self.work.device, check=self.work.stop.check)
            if self.task.kind == "number":
                factor, offset = _target_scale(self.task)
                logits = logits * factor + offset
            self.seen[choosing] = self._outcome(some, logits, self.model.thresholds)
        return self.seen[choosing]


class _LinearProbe(_TaskProbe):
    """A linear solution on features of the body as it is now: what can still be read from them.

    The solution on the base's features is the head that callbacks hold.
    """

    how = "by a linear probe"

    def look(self, choosing: bool) -> Outcome:
        train, held, some = (
            batching.sample(self.data.splits["train"], _PROBE_ROWS, self.seed),
            self.split(True),
            self.split(choosing),
        )
        known = _features(self.work, self.rows, held)
        found = self._solve(train, held, known)
        if not hasattr(self, "head"):
            self.head = _linear(found, self.work.device)
        cuts = None
        if self.task.kind == "labels":  # at a half, few labels of many are ever given
            cuts = tune_thresholds(self._outcome(held, found.logits(known)))
        return self._outcome(some, found.logits(_features(self.work, self.rows, some)), cuts)

    def _solve(self, train: np.ndarray, held: np.ndarray, known: np.ndarray) -> LinearSolution:
        targets = cast(np.ndarray, self.rows.targets)
        outputs = len(self.task.label_names) if self.task.label_names else 1
        return solve(
            _features(self.work, self.rows, train), targets[train], known, targets[held],
            loss=self.task.probe_loss, outputs=outputs,
            row_weights=self.task.row_weights(targets[train]), check=self.work.stop.check,
        )  # fmt: skip


def _linear(found: LinearSolution, device: torch.device) -> nn.Linear:
    outputs, hidden = found.weight.shape
    head = nn.Linear(hidden, outputs).requires_grad_(False)
    head.weight.copy_(found.weight)
    head.bias.copy_(found.bias)
    return head.to(device)


class _DriftProbe:
    """How far the features of texts moved. Every second one is for holding features and for choosing, the others
    are measured."""

    def __init__(self, work: Work, name: str, texts: list[str], cache: str, general: int | None = None):
        """`general`: so many of the texts, from the first, are the bundled ones; None where they were retained."""
        self.work, self.name, self.is_task, self.general = work, name, general is None, general or 0
        limit = int(min(work.bundle.max_length, 512))
        rows, folder = Dataset.from_dict({"text": texts}), work.folder.cache / cache
        self.rows = encode_texts(rows, work.bundle.tokenizer, limit, folder, work.stop.check)

    def look(self, choosing: bool) -> tuple[np.ndarray, int]:
        """Features, and how many of them are of general sentences."""
        some = np.arange(0 if choosing else 1, len(self.rows), 2)
        return _features(self.work, self.rows, some), int((some < self.general).sum())

    def compare(self, before: tuple[np.ndarray, int], after: tuple[np.ndarray, int]) -> dict[str, Any]:
        found = forgetting.drift(before[0], after[0], before[1], self.work.plan.spec.seed)
        return forgetting.of_texts(found, self.name, len(before[0])) if self.is_task else found

    def retained(self) -> Retained:
        """Features that are to stay what they are."""
        held = np.arange(0, len(self.rows) if self.is_task else self.general, 2)
        features = np.zeros((len(self.rows), self.work.bundle.model.head.in_features), dtype=np.float32)
        features[held] = _features(self.work, self.rows, held)
        lesson = FeatureLesson(
            self.rows, held, lambda now, _: now, batching.ROWS, batching.TOKENS, self.work.plan.spec.seed, features,
        )  # fmt: skip
        return Retained("general sentences" if self.general else self.name, lesson, lesson.surprise)


def _general(work: Work) -> _DriftProbe:
    """General sentences, and as many of the run's own validation texts."""
    texts = list(forgetting.general_texts())
    held = work.data.rows.select(work.data.splits["validation"][: len(texts)])
    return _DriftProbe(work, "drift", texts + _first_texts(held), "probe", len(texts))


def _own_texts(path: Path, seed: int) -> list[str]:
    """Of a file that holds nothing but texts: its rows, or, of running text, its sentences. Raises DataError."""
    texts = [example["text"] for example in read_examples(str(path), emit=ignore)]
    if ".txt" in path.suffixes or path.is_dir():
        parts = (" ".join(part.split()) for text in texts for part in _SENTENCE_END.split(text))
        texts = [part for part in parts if len(part) >= _SHORTEST]
    texts = list(dict.fromkeys(texts))
    if len(texts) < _FEWEST_TEXTS:
        raise DataError(
            Problem(f"{len(texts)} different texts, too few to see whether they keep their neighbours", file=str(path)),
            fix=f"Give at least {_FEWEST_TEXTS} sentences or rows.",
        )
    return [texts[place] for place in batching.sample(np.arange(len(texts)), _PROBE_TEXTS, seed)]


def _first_texts(rows: Any) -> list[str]:
    return [str(text) for text in rows["text"][:]]


@dataclass
class HeadLesson(RowLesson):
    """An earlier task's rows through its own head, which stays as it is."""

    head: nn.Linear
    kind: str

    def loss(self, model: Any, items: np.ndarray, device: torch.device) -> Tensor:
        return super().loss(lambda batch: self.head(model.features(batch)), items, device)

    def surprise(self, model: Any, items: np.ndarray, device: torch.device, chance: torch.Generator) -> Tensor:
        """The loss of targets drawn from what the model answers (for numbers, with deviation 1)."""
        logits = self.head(_now(self.rows, self.positions[items], model, device))
        drawn = _draw(self.kind, logits.detach(), chance)
        return self.row_loss(logits, drawn).sum()


def _draw(kind: str, logits: Tensor, chance: torch.Generator) -> Tensor:
    if kind == "label":
        return torch.multinomial(logits.softmax(-1), 1, generator=chance)[:, 0]
    if kind == "labels":
        return torch.bernoulli(logits.sigmoid(), generator=chance)
    return logits[:, 0] + torch.randn(len(logits), generator=chance, device=logits.device)


@dataclass
class FeatureLesson(RowLesson):
    """Texts whose features are to stay what they were."""

    before: np.ndarray
    """By position, float32 [n, hidden]."""

    def loss(self, model: Any, items: np.ndarray, device: torch.device) -> Tensor:
        before = torch.from_numpy(self.before[self.positions[items]]).to(device)
        return relative_distance(before, _now(self.rows, self.positions[items], model, device))

    def surprise(self, model: Any, items: np.ndarray, device: torch.device, chance: torch.Generator) -> Tensor:
        """For features with noise of deviation 1, up to a constant."""
        now = _now(self.rows, self.positions[items], model, device)
        return (now * torch.randn(now.shape, generator=chance, device=device)).sum()


def _now(rows: EncodedRows, positions: np.ndarray, model: Any, device: torch.device) -> Tensor:
    batch = {name: tensor.to(device) for name, tensor in rows.collate(positions).items()}
    features: Tensor = model.features(batch)
    return features.float()
