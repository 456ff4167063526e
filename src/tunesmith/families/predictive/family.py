"""An answer for each row: a label, several, a number."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np

from tunesmith.core.events import Decided
from tunesmith.core.spec import Words
from tunesmith.engine import hardware
from tunesmith.engine.background import leave_one_core
from tunesmith.evaluate.metrics import get
from tunesmith.evaluate.verdict import NextStep
from tunesmith.families.predictive import (
    check,
    continued,
    document,
    effort,
    features,
    forgetting,
    frozen_prefix,
    invariance,
    linear_head,
    plan,
    retained,
    saving,
    simple_baselines,
    split,
    training,
    zero_shot,
)
from tunesmith.families.predictive.contenders import (
    LEARNING_CURVE,
    all_contenders,
    contend,
    titles,
    usual_contenders,
    yardsticks,
)
from tunesmith.families.predictive.context import WATCHED_ROWS, PredictiveRun
from tunesmith.families.predictive.settle import settle_plan
from tunesmith.forgetting import monitor
from tunesmith.models.additions import checkpoint_activations
from tunesmith.models.blocks import freeze
from tunesmith.models.pooled import as_splittable
from tunesmith.models.pretrained import quiet_transformers
from tunesmith.models.virtual import make_room
from tunesmith.runs import choose, next_step
from tunesmith.runs.cut_texts import WORDS
from tunesmith.runs.protocols import Contention
from tunesmith.runs.reading import read
from tunesmith.runs.settle import Plan
from tunesmith.runs.shared_split import SharedSplit

_EARLY_STOPPING = "early-stopping"


class Predictive:
    """See `runs.protocols.Family`."""

    context = PredictiveRun
    gives = "gives one answer per row"
    tasks = "tasks with one answer per row"
    usual: Mapping[str, float] = {"batch_size": 16, "frozen_share": 1 / 3}
    tries_methods = True
    few_shot = "nearest_neighbours"
    learning_curve: str | None = LEARNING_CURVE
    epochs = staticmethod(choose.epochs_of)
    check = staticmethod(check.check)
    look = staticmethod(plan.look)
    make_split = staticmethod(split.make_split)
    pool = staticmethod(split.pool)
    usual_contenders = staticmethod(usual_contenders)
    yardsticks = staticmethod(yardsticks)
    titles = staticmethod(titles)
    write = staticmethod(saving.write)
    read_back = staticmethod(saving.read_back)
    evidence = staticmethod(document.evidence)
    write_predictions = staticmethod(saving.write_predictions)
    read_predictions = staticmethod(saving.read_predictions)

    def read(self, run: PredictiveRun) -> None:
        run.data = read(run.spec.data, run.spec, run.folder.cache, emit=run.emit)

    def settle(self, run: PredictiveRun) -> Plan:
        plan = settle_plan(run.spec, run.data, run.emit)
        watched = min(len(run.data.splits["validation"]), WATCHED_ROWS)
        if effort.keeps_last(plan, watched):  # nothing can stop it early
            listening = [name for name in run.spec.callbacks if name != _EARLY_STOPPING]
            plan.spec = plan.spec.model_copy(update={"callbacks": listening})
        return plan

    def read_retained(self, run: PredictiveRun) -> list[retained.Read]:
        return retained.read(run.folder, run.plan.spec)

    def load(self, run: PredictiveRun) -> None:
        plan = run.plan
        bundle = plan.task.loaded(continued.base_source(run.folder, plan.spec), run.emit)
        bundle.name = plan.spec.model
        if count := plan.method.virtual_tokens:
            with quiet_transformers():
                plan.method.check_network(bundle)
            make_room(bundle, count, run.emit)
        freeze(bundle.model, plan.engine.freeze)
        run.bundle = bundle

    def encode(self, run: PredictiveRun) -> None:
        plan, data, bundle = run.plan, run.data, run.bundle
        plan.task.splits = data.splits
        rows = plan.task.encode(data.rows, bundle, run.folder.cache / "tokens", run.emit, run.stop.check)
        row_ids = np.asarray(data.rows.with_format("numpy")["row_id"][:], dtype=np.int64)
        run.rows = rows.with_targets(plan.task.targets(data.rows["target"][:]), row_ids)
        if len(rows.cut):
            limit, share = rows.longest, len(rows.cut) / len(rows)
            data.ledger.cut(row_ids[rows.cut], f"longer than {limit} tokens: the end was cut off")
            told = (
                f"{share:.1%} of the rows are longer than {limit} tokens, about {round(limit * WORDS)} words; "
                "their end is not read; --max-length sets the limit"
            )
            run.emit(run.cut.warning if run.cut.much else Decided("cut", len(rows.cut), told))
        data.save(run.folder.data)
        run.device = hardware.device()
        bundle.model.to(run.device)
        run.precision = hardware.choose_precision(
            plan.engine.precision, run.device, bundle.model.width, run.emit,
            by_channel=getattr(bundle.model, "by_channel", False),
        )  # fmt: skip
        plan.settle(precision=run.precision)
        if plan.engine.gradient_checkpointing:
            checkpoint_activations(bundle.model.network)

    def baselines(self, run: PredictiveRun) -> None:
        """The frozen base with a linear head, as it is, and what needs no base at all, begun beside these."""
        plan, data, bundle = run.plan, run.data, run.bundle
        run.clock.phase("bottom", "the layers that stay as they are, run once")
        run.objective = training.objective(run)
        run.frozen_prefix = frozen_prefix.plan(plan.method, bundle, cast(int, plan.engine.epochs))
        features.run_bottom_once(run)
        # where they are the same in every epoch, the states come in the batches of the training, and so would the
        # features
        if not run.objective.same_batches:
            run.frozen_prefix.apply_permanent(bundle, run.rows)
            if (splittable := as_splittable(bundle.model)) is not None:
                splittable.freeze_prefix(0)
        if run.has_probe:
            run.clock.phase("features", f"{len(features.rows_of_features(run))} rows, once")
            run.features_of_base = features.features_of_base(run)
        run.simple = simple_baselines.in_background(plan.task, data, plan.spec.seed)
        if run.has_probe:
            self._probe(run)
        answered = zero_shot.logits(run)
        run.base = None if answered is None else run.measured("test", answered)

    def _probe(self, run: PredictiveRun) -> None:
        """The linear solution on the frozen base; where it leaves nothing to show, the plan ends with it."""
        plan = run.plan
        run.clock.phase("probe", f"a linear one, on what the base model makes of the {run.data.modality.nouns}")
        with leave_one_core():
            run.probe, run.probe_logits = linear_head.of_base(run)
            if plan.task.table is not None:
                _, run.text_logits = linear_head.of_base(run, slice(run.bundle.model.hidden_size))
        run.emit(Decided("penalty", run.probe.penalty, run.probe.why))
        on_validation = run.measured("validation", run.probe_logits["validation"])
        if why := effort.enough(plan, on_validation):
            run.emit(Decided("method", "head", why))
            effort.only_head(plan)
            run.frozen_prefix = frozen_prefix.plan(plan.method, run.bundle, 0)
            run.write_spec()

    def snapshot(self, run: PredictiveRun) -> None:
        run.clock.phase("retain", "what the base model knows, to see later what was forgotten")
        run.monitor = forgetting.snapshot(run)
        if run.plan.engine.epochs:  # a training needs all cores
            run.simple.wait(run.stop.check)

    def prepare(self, run: PredictiveRun) -> None:
        plan = run.plan
        if plan.method.frozen_body and run.has_probe:
            run.rows.features = run.features_of_base
        elif plan.engine.epochs:
            chosen = plan.task.settle_rows(run.rows, invariance.ask(run), run.emit)
            plan.spec = plan.spec.model_copy(update={"options": {**plan.spec.options, **chosen}})
            run.write_spec()
        training.prepare_model(run)

    def train(self, run: PredictiveRun) -> None:
        run.frozen_prefix.apply_permanent(run.bundle, run.rows)
        linear_head.start(run, run.watched)
        run.state = monitor.train(run, training.setup)
        linear_head.finish(run, run.watched)
        run.frozen_prefix.apply_permanent(run.bundle, run.rows)
        effort.hand_over(run, run.watched, training.noise)

    def judge(self, run: PredictiveRun) -> None:
        run.clock.phase("evaluate", f"{len(run.data.splits['test'])} test rows")
        document.judge(run)

    def document(self, run: PredictiveRun, cost: Words) -> Words:
        return document.document(run, cost)

    def next_step(self, run: PredictiveRun, document: Words) -> NextStep:
        sizes = {name: len(rows) for name, rows in run.data.splits.items()}
        more = run.cut.ways if run.cut.worst else ()
        return next_step.for_rows(run.plan.spec, document, run.folder.path, sizes, more)

    def headline(self, run: PredictiveRun) -> tuple[str, ...]:
        return tuple(run.plan.task.metrics)

    def rate(self, method: str, task: str, width: int | None = None) -> float:
        return choose.rate_and_epochs(method, task, 0)[0]

    def measured_by(self, metric: str, split: SharedSplit) -> Words:
        get(metric, split.kind)
        return {}

    def contend(self, name: str, words: Words, folder: Path) -> Contention:
        return contend(self, name, words, folder)

    @property
    def contenders(self) -> Mapping[str, bool]:
        return all_contenders()
