"""Text, token by token: chat, plain text, preferences, text to text."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from tunesmith.core import registry
from tunesmith.core.errors import OptionError
from tunesmith.core.spec import Words
from tunesmith.engine.generate import begin_with
from tunesmith.evaluate.metrics import get
from tunesmith.evaluate.verdict import NextStep
from tunesmith.families.generative import (
    baselines,
    check,
    document,
    forgetting,
    loading,
    plan,
    retained,
    saving,
    split,
    training,
)
from tunesmith.families.generative.contenders import CONTENDERS, contend, usual_contenders
from tunesmith.families.generative.context import GenerativeRun
from tunesmith.families.generative.corpus import read_corpus
from tunesmith.families.generative.items import encode_items
from tunesmith.families.generative.settle import epochs_of, rate_of, reader, settle_plan, settle_rate
from tunesmith.forgetting import monitor
from tunesmith.models.additions import checkpoint_activations
from tunesmith.runs import next_step
from tunesmith.runs.protocols import Contention
from tunesmith.runs.settle import Plan
from tunesmith.runs.shared_split import SharedSplit


class Generative:
    """See `runs.protocols.Family`."""

    context = GenerativeRun
    gives = "writes text"
    tasks = "tasks that write text"
    usual: Mapping[str, float] = {"batch_size": 8, "frozen_share": 0.0}
    tries_methods = False
    contenders: Mapping[str, bool] = CONTENDERS
    few_shot = "few_shot"
    learning_curve: str | None = None
    check = staticmethod(check.check)
    look = staticmethod(plan.look)
    make_split = staticmethod(split.make_split)
    pool = staticmethod(split.pool)
    epochs = staticmethod(epochs_of)
    rate = staticmethod(rate_of)
    usual_contenders = staticmethod(usual_contenders)
    write = staticmethod(saving.write)
    read_back = staticmethod(saving.read_back)
    evidence = staticmethod(document.evidence)
    write_predictions = staticmethod(saving.write_predictions)
    read_predictions = staticmethod(saving.read_predictions)

    def read(self, run: GenerativeRun) -> None:
        run.corpus = read_corpus(run.spec, run.emit)

    def settle(self, run: GenerativeRun) -> Plan:
        return settle_plan(run.spec, run.corpus.examples, run.emit)

    def read_retained(self, run: GenerativeRun) -> list[retained.Read]:
        return retained.read(run.plan.spec, run.plan.task.network)

    def load(self, run: GenerativeRun) -> None:
        loading.load(run)
        settle_rate(run.plan, run.bundle, run.emit)
        run.codec, run.limit = reader(run.plan, run.bundle, run.emit)

    def encode(self, run: GenerativeRun) -> None:
        if run.codec.languages:
            begin_with(run.bundle.model.network, run.codec.first)
        run.items = encode_items(
            run.corpus, run.plan.task, run.codec, run.bundle,
            limit=run.limit, folder=run.folder.cache / "tokens", emit=run.emit, check=run.stop.check,
        )  # fmt: skip
        run.corpus.save(run.folder.data)
        if run.plan.engine.gradient_checkpointing:
            checkpoint_activations(run.bundle.model.network)
        loading.check_model(run)

    def baselines(self, run: GenerativeRun) -> None:
        run.clock.phase("base", "the base model as it is, on the test rows")
        run.measure_reference()
        run.base = baselines.measure_base(run)

    def snapshot(self, run: GenerativeRun) -> None:
        run.monitor = forgetting.snapshot(run)

    def prepare(self, run: GenerativeRun) -> None:
        run.plan.method.prepare(run.bundle, run.plan.init_seed)
        if run.plan.engine.gradient_checkpointing:
            run.bundle.model.network.enable_input_require_grads()

    def train(self, run: GenerativeRun) -> None:
        begun = time.perf_counter()
        run.state = monitor.train(run, training.setup)
        run.train_seconds += time.perf_counter() - begun

    def judge(self, run: GenerativeRun) -> None:
        run.clock.phase("evaluate", f"{len(run.items.splits['test'])} test examples")
        document.judge(run)

    def document(self, run: GenerativeRun, cost: Words) -> Words:
        return document.document(run, cost)

    def next_step(self, run: GenerativeRun, document: Words) -> NextStep:
        return next_step.for_texts(run.plan.spec, document, run.folder.path, run.gates)

    def headline(self, run: GenerativeRun) -> tuple[str, ...]:
        return (*run.plan.task.metrics, run.plan.task.text_metric)

    def measured_by(self, metric: str, split: SharedSplit) -> Words:
        own = registry.get("tasks", split.words["task"]).metrics
        if "text" not in get(metric).kinds:
            raise OptionError(
                f"--until {metric}: {metric} is not measured of text that is written.",
                f"Measured are {', '.join(own)} and those of answers.",
            )
        return {} if metric in own else {"generate_rows": None}  # answers are written where they are measured

    def contend(self, name: str, words: Words, folder: Path) -> Contention:
        return contend(self, name, words, folder)

    def titles(self, kind: str, task: str) -> dict[str, str]:
        return {}

    def yardsticks(self, task: str) -> list[str]:
        return ["base"]
