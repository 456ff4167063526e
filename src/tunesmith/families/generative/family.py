"""Text, token by token: chat, plain text, preferences, text to text."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunesmith.engine.generate import begin_with
from tunesmith.families.generative import baselines, document, forgetting, loading, retained, saving, training
from tunesmith.families.generative.context import GenerativeRun
from tunesmith.families.generative.corpus import read_corpus
from tunesmith.families.generative.items import encode_items
from tunesmith.families.generative.settle import reader, settle_rate, settled
from tunesmith.forgetting import retain
from tunesmith.models.additions import checkpoint_activations
from tunesmith.runs import next_step
from tunesmith.runs.reading import split_options
from tunesmith.runs.settle import Plan


class Generative:
    """See `runs.protocols.Family`."""

    context = GenerativeRun

    def read(self, run: GenerativeRun) -> None:
        run.corpus = read_corpus(run.spec, split_options(run.spec), run.emit)

    def settle(self, run: GenerativeRun) -> Plan:
        return settled(run.spec, run.corpus.examples, run.emit)

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
        run.keeping = forgetting.remember(run)

    def prepare(self, run: GenerativeRun) -> None:
        run.plan.method.prepare(run.bundle, run.plan.spec.seed)
        if run.plan.engine.gradient_checkpointing:
            run.bundle.model.network.enable_input_require_grads()

    def train(self, run: GenerativeRun) -> None:
        begun = time.perf_counter()
        run.state = retain.train(run, training.setup)
        run.train_seconds += time.perf_counter() - begun

    def judge(self, run: GenerativeRun) -> None:
        run.clock.phase("evaluate", f"{len(run.items.splits['test'])} test examples")
        document.judge(run)

    def write(self, run: GenerativeRun, aside: Path) -> None:
        saving.write(run, aside)

    def read_back(self, run: GenerativeRun, aside: Path) -> None:
        saving.read_back(run, aside)

    def document(self, run: GenerativeRun, cost: Mapping[str, Any]) -> dict[str, Any]:
        return document.document(run, dict(cost))

    def next_step(self, run: GenerativeRun, document: Mapping[str, Any]) -> Any:
        return next_step.for_texts(run.plan.spec, document, run.folder.path, run.gates)

    def headline(self, run: GenerativeRun) -> tuple[str, ...]:
        return (*run.plan.task.metrics, run.plan.task.text_metric)

    def evidence(self, run: GenerativeRun) -> dict[str, Any]:
        return document.evidence(run)

    def write_predictions(self, run: GenerativeRun) -> None:
        saving.write_predictions(run)
