"""The training loop: the only one.

    for each epoch: for each batch: forward, backward, clip, step; now and then evaluate and save.

It knows a model, an objective that turns its items into batches and losses, named parameter groups, and
nothing of tasks, methods or data. Losses and gradients are checked
at every step; what is not finite is never stepped on and never saved.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from tunesmith.core.errors import Diverged, RunFailed, Stopped
from tunesmith.core.events import Decided, Evaluated, Paused, RolledBack, Saved, Step
from tunesmith.engine.batching import in_parts
from tunesmith.engine.hardware import random_state, release_memory, set_random_state
from tunesmith.engine.inference import is_out_of_memory
from tunesmith.engine.objective import of_parts, spare
from tunesmith.engine.optim import (
    ParameterGroup,
    load_optimizer_tensors,
    make_optimizer,
    optimizer_tensors,
    schedule_factor,
    set_learning_rate,
)
from tunesmith.engine.precision import WorkingWeights, working
from tunesmith.engine.setup import Callback, Setup
from tunesmith.engine.state import TrainState
from tunesmith.models.vision import running_statistics

SAVE_SECONDS = 300.0
"""Without `save_steps`, no more than this much work is ever at risk."""
ROLLBACKS = 2
TIDY_SECONDS = 0.8
"""Batches of ever new shapes fragment the heap; freed memory is given back so often. It takes some 10 ms."""


class _NotFinite(Exception):
    def __init__(self, what: str, items: np.ndarray | None = None):
        self.what = what
        self.items = items  # None when it was found after a step, in what the step left behind


def train(setup: Setup) -> TrainState:
    """Train from the newest valid checkpoint, or from the start; ends with the best weights loaded.

    Raises Stopped (signal or full disk; resumable), Diverged, RunFailed.
    """
    with working(setup.model, setup.precision, setup.float32_names) as weights:
        engine = _Engine(setup, weights)
        resumed = engine.resume()
        for callback in setup.callbacks:
            callback.on_start(resumed or TrainState())
        state = resumed or engine.begin()
        setup.model.train()  # what was loaded, or has just been measured, may be in part in evaluation mode
        while state.step < engine.steps and not state.should_stop:
            try:
                _epoch(setup, engine, state)
            except _NotFinite as fault:
                state = engine.roll_back(state, fault)
        engine.restore_best(state)
        for callback in setup.callbacks:
            callback.on_end(state)
    return state


def _epoch(setup: Setup, engine: _Engine, state: TrainState) -> None:
    """The rest of the epoch that `state` stands in."""
    if state.batch == 0:
        engine.begin_stage(state)
    state.last_stage = setup.on_stage(state.stage)
    plan = engine.plan(state.epoch)
    while state.batch < len(plan) and state.step < engine.steps and not state.should_stop:
        batches = plan[state.batch : state.batch + setup.options.gradient_accumulation]
        engine.step(state, batches)
        state.batch += len(batches)
        ends_epoch = state.batch >= len(plan)
        if ends_epoch:
            state.epoch, state.batch = state.epoch + 1, 0
        every = setup.options.eval_steps
        last = state.step == engine.steps
        if last or (state.step % every == 0 if every else ends_epoch):
            engine.evaluate(state)
        engine.save_if_due(state)
        engine.tidy()
        if setup.stop.signal and not (last or state.should_stop):
            engine.save(state)
            setup.emit(Paused(state.step, f"stopped by {setup.stop.signal}"))
            told = f"Stopped by {setup.stop.signal} after step {state.step}; saved."
            raise Stopped(told, reason="signal", step=state.step)
        if ends_epoch:
            return


class _Engine:
    """The working parts of one training: model, optimizer, checkpoints, clock."""

    def __init__(self, setup: Setup, weights: WorkingWeights):
        self.setup = setup
        self.weights = weights
        self.options = setup.options
        self.accelerator = Accelerator(cpu=setup.device.type == "cpu")
        self.trainable = weights.masters
        self.moving: dict[str, Tensor] = {**weights.masters, **running_statistics(setup.model)}
        groups = [
            ParameterGroup({name: weights.masters[name] for name in group.parameters}, group.learning_rate)
            for group in setup.groups
        ]
        optimizer = make_optimizer(groups, setup.options.weight_decay)
        self.model, self.optimizer = self.accelerator.prepare(setup.model, optimizer)
        self._planned: tuple[int, list[np.ndarray]] | None = None
        per_epoch = -(-len(self.plan(0)) // setup.options.gradient_accumulation)
        self.steps = setup.epochs * per_epoch
        if setup.options.max_steps is not None:
            self.steps = min(self.steps, setup.options.max_steps)
        self.per_epoch = per_epoch
        self.saved_at = time.monotonic()
        self.saved_step: int | None = None
        self._stepped = np.zeros(0, dtype=np.int64)  # items of the last step
        self._tidied_at = time.monotonic()
        torch.manual_seed(setup.seed)

    def plan(self, epoch: int) -> list[np.ndarray]:
        """The batches of one epoch; the last one asked for is kept, as planning sorts all rows."""
        if self._planned is None or self._planned[0] != epoch:
            self._planned = (epoch, self.setup.objective.plan(epoch))
        return self._planned[1]

    def tidy(self) -> None:
        """Give freed memory back to the system, if that was not done just now."""
        if time.monotonic() - self._tidied_at > TIDY_SECONDS:
            release_memory()
            self._tidied_at = time.monotonic()

    def begin_stage(self, state: TrainState) -> None:
        """What was just unfrozen has the whole of its patience."""
        stalled = state.evaluations_since_best > 0
        stage = self.setup.stage(state.epoch, state.stage, stalled)
        if stage != state.stage:
            why = f"validation {self.setup.metric} has {'not improved' if stalled else 'improved'} in the epoch before"
            self.setup.emit(Decided("stage", stage, f"epoch {state.epoch} of {self.setup.epochs} is over; {why}"))
            state.stage, state.evaluations_since_best = stage, 0

    # one step

    def step(self, state: TrainState, batches: Sequence[np.ndarray]) -> None:
        """Forward, backward and one optimizer step over `batches`."""
        start = time.perf_counter()
        warmup = round(self.options.warmup_ratio * self.steps)
        factor = schedule_factor(state.step, self.steps, warmup=warmup, kind=self.options.schedule)
        rate = set_learning_rate(self.optimizer, factor * state.learning_rate_factor)
        loss = self._gradients(state, batches)
        self.weights.hand_over_gradients()
        # callbacks may add to the gradients of the float32 weights, once for the whole step
        loss += float(sum(callback.on_gradients(self.trainable) for callback in self.setup.callbacks))
        flat = np.concatenate(batches)
        norm = float(self.accelerator.clip_grad_norm_(self.trainable.values(), self.options.max_grad_norm))
        if not np.isfinite(norm):
            raise _NotFinite("gradients", flat)
        self.optimizer.step()
        self._stepped = flat
        self.weights.publish()
        self.weights.drop_gradients()
        state.step += 1
        for callback in self.setup.callbacks:
            callback.on_weights(self.moving, state.step)
        state.rows += len(flat)
        tokens = int(self.setup.objective.lengths[flat].sum())
        state.tokens += tokens
        seconds = time.perf_counter() - start
        state.seconds += seconds
        epoch = round(state.epoch + (state.batch + len(batches)) / len(self.plan(state.epoch)), 4)
        event = Step(state.step, self.steps, epoch, loss, rate, norm, len(flat), tokens, seconds)
        self.setup.emit(event)
        for callback in self.setup.callbacks:
            callback.on_step(state, event)

    def _gradients(self, state: TrainState, batches: Sequence[np.ndarray]) -> float:
        """Fill the gradients of the mean loss over all batches together; returns that loss."""
        total = sum(self.setup.objective.weight(batch) for batch in batches)
        while True:
            try:
                parts = [part for batch in batches for part in self._parts(batch, state.splits)]
                return sum(self._backward(part, total) for part in parts)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._need_less(state, max(len(batch) for batch in batches), error)

    def _need_less(self, state: TrainState, largest: int, error: BaseException) -> None:
        """Compute in a way that takes less memory from now on. Raises RunFailed where there is none."""
        objective, when = self.setup.objective, f"memory ran out at step {state.step + 1}"
        self.weights.drop_gradients()
        if spare(objective, self.model):
            self.setup.emit(Decided("states_kept", False, f"{when}; they are computed again, the result is the same"))
            return
        if state.splits >= largest:
            raise RunFailed(
                f"Not enough memory for a single row ({error}).",
                "Set a smaller max_length, gradient_checkpointing=true, or choose a smaller model.",
            ) from error
        state.splits *= 2
        self.setup.emit(Decided("batch_parts", state.splits, f"{when}; {of_parts(objective)}"))

    def _parts(self, batch: np.ndarray, splits: int) -> list[np.ndarray]:
        return in_parts(batch, self.setup.objective.tokens(batch), self.setup.tokens_at_once, splits)

    def _backward(self, items: np.ndarray, total: float) -> float:
        loss = self.setup.objective.loss(self.model, items, self.setup.device) / total
        share = self.setup.objective.weight(items) / total
        for callback in self.setup.callbacks:
            loss = callback.on_loss(self.model, loss, share)
        value = float(loss.detach())
        if not np.isfinite(value):
            raise _NotFinite("loss", items)
        self.accelerator.backward(loss)
        return value

    # evaluation and checkpoints

    def evaluate(self, state: TrainState) -> None:
        with self._stand_ins():
            metrics = dict(self.setup.evaluate())
        if not np.isfinite(metrics["loss"]):
            raise _NotFinite("validation loss")
        value = metrics.get(self.setup.metric)  # undefined of rows that are all alike, for some
        better = self._is_better(state, value, metrics["loss"])
        if better:
            state.best_step, state.evaluations_since_best = state.step, 0
            state.best_value, state.best_loss = value, metrics["loss"]
        else:
            state.evaluations_since_best += 1
        self.setup.emit(Evaluated(state.step, "validation", metrics, best=better))
        for callback in self.setup.callbacks:
            callback.on_evaluate(state, metrics)
        if better or self.options.save_steps is None:
            self.save(state)

    def _is_better(self, state: TrainState, value: float | None, loss: float) -> bool:
        """By the metric; where the difference is within its noise, or it is not defined, by the validation loss."""
        if self.setup.keeps_last or state.best_loss is None:
            return True
        if value is None or state.best_value is None:
            return loss < state.best_loss if value == state.best_value else value is not None
        gain = value - state.best_value if self.setup.higher_is_better else state.best_value - value
        if abs(gain) <= self.setup.noise(state.best_value):
            return loss < state.best_loss
        return gain > 0

    def save_if_due(self, state: TrainState) -> None:
        every = self.options.save_steps
        due = state.step % every == 0 if every else time.monotonic() - self.saved_at > SAVE_SECONDS
        if due:
            self.save(state)

    def save(self, state: TrainState) -> None:
        """One checkpoint, unless this step is saved already. Raises Stopped when the disk is full."""
        if self.saved_step == state.step:
            return
        weights = {name: one.detach().cpu() for name, one in self.moving.items()}
        broken = [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]
        if broken:
            raise _NotFinite(f"weight {broken[0]}")
        tensors = {
            "trainable": weights,
            "optimizer": optimizer_tensors(self.optimizer.optimizer),
            "random": random_state(),
        }
        for callback in self.setup.callbacks:
            if kept := callback.tensors():
                tensors[_file_of(callback)] = {name: one.detach().cpu() for name, one in kept.items()}
        try:
            path = self.setup.checkpoints.save(state.step, tensors, asdict(state))
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            self.setup.emit(Paused(state.step, "disk_full"))
            raise Stopped(
                f"The disk is full: the checkpoint of step {state.step} could not be written; the last one is intact.",
                reason="disk_full",
                fix="Free some space and resume.",
                step=state.step,
            ) from error
        self.saved_at, self.saved_step = time.monotonic(), state.step
        self.setup.checkpoints.prune(state.best_step)
        self.setup.emit(Saved(state.step, str(path)))

    def begin(self) -> TrainState:
        """A first evaluation (what the new head starts from) and a first checkpoint to fall back to."""
        state = TrainState()
        try:
            self.evaluate(state)
            self.save(state)
        except _NotFinite as fault:
            raise RunFailed(
                f"The {fault.what} of the base model is not finite before the first step.",
                "Its weights are damaged, or precision=fp32 is needed.",
            ) from None
        return state

    def resume(self) -> TrainState | None:
        path = self.setup.checkpoints.newest()
        return self._load(path) if path else None

    def roll_back(self, state: TrainState, fault: _NotFinite) -> TrainState:
        """Back to the last checkpoint with half the learning rate. Raises Diverged the third time."""
        step, items = (state.step, self._stepped) if fault.items is None else (state.step + 1, fault.items)
        row_ids = [int(row_id) for row_id in self.setup.objective.row_ids[items]]
        path = self.setup.checkpoints.newest()
        if state.rollbacks >= ROLLBACKS or path is None:
            raise Diverged(
                f"Training diverged at step {step}: the {fault.what} stopped being finite, also after "
                f"{state.rollbacks} restarts from the last checkpoint with half the learning rate each. "
                f"Rows of that step: {', '.join(map(str, row_ids[:50]))}.",
                step=step,
                row_ids=row_ids,
                fix="Look at those rows (row_id in data/splits.parquet), or set a lower learning_rate.",
            )
        before = state
        state = self._load(path)
        state.rollbacks = before.rollbacks + 1
        state.learning_rate_factor = before.learning_rate_factor / 2
        why = f"the {fault.what} stopped being finite"
        self.setup.emit(RolledBack(step, state.step, state.learning_rate_factor, row_ids, why))
        self.saved_step = None
        return state

    def restore_best(self, state: TrainState) -> None:
        """Load the weights of the best evaluation, if training went on after it, or what stands in for them."""
        if state.best_step is not None and state.best_step != state.step:
            self._load_best(state, state.best_step)
        self._place(self._standing_in())

    def _load_best(self, state: TrainState, step: int) -> None:
        why = (
            f"{self.setup.metric} on the validation rows was the best there; training ended at step {state.step} of "
            f"{self.steps}"
        )
        self.setup.emit(Decided("kept_step", step, why))
        tensors, _ = self.setup.checkpoints.load(self.setup.checkpoints.path_of(step))
        self._load_weights(tensors)

    def _standing_in(self) -> dict[str, Tensor]:
        """What callbacks put in place of the weights that move."""
        given = [callback.stand_ins() for callback in self.setup.callbacks]
        return {name: one for some in given if some is not None for name, one in some.items()}

    @contextmanager
    def _stand_ins(self) -> Iterator[None]:
        """The model has them while the block lasts."""
        given = self._standing_in()
        before = {name: self.moving[name].detach().clone() for name in given}
        self._place(given)
        try:
            yield
        finally:
            self._place(before)

    def _place(self, given: Mapping[str, Tensor]) -> None:
        if given:
            with torch.no_grad():
                for name, one in given.items():
                    self.moving[name].copy_(one)
            self.weights.publish()

    def _load(self, path: Path) -> TrainState:
        tensors, saved = self.setup.checkpoints.load(path)
        self._load_weights(tensors)
        load_optimizer_tensors(self.optimizer.optimizer, tensors["optimizer"])
        self.weights.drop_gradients()
        set_random_state(tensors["random"])
        state = TrainState(**saved)
        self.saved_step = state.step
        return state

    def _load_weights(self, tensors: Mapping[str, Mapping[str, Tensor]]) -> None:
        with torch.no_grad():
            for name, one in self.moving.items():
                one.copy_(tensors["trainable"][name])
        self.weights.publish()
        for callback in self.setup.callbacks:
            kept = tensors.get(_file_of(callback), {})
            callback.restore({name: one.to(self.setup.device) for name, one in kept.items()})


def _file_of(callback: Callback) -> str:
    """The file of a checkpoint with what a callback keeps."""
    return f"callback-{type(callback).__name__.lower()}"
