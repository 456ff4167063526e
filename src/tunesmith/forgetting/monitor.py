"""Training without forgetting: callbacks are set up with what is to be kept, and what was lost is measured.

The same for every family, which makes the `ForgettingMonitor` of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from tunesmith.core import registry
from tunesmith.core.events import Decided
from tunesmith.core.spec import RunSpec, Words
from tunesmith.engine import loop
from tunesmith.engine.checkpoint import CheckpointStore
from tunesmith.engine.retained import ForgettingMonitor, Probe, copies, moving_body
from tunesmith.engine.setup import Callback, overrides
from tunesmith.evaluate import forgetting
from tunesmith.forgetting.chain import earlier, matrix
from tunesmith.forgetting.forget_at_most import Search
from tunesmith.models.additions import moving
from tunesmith.runs.context import RunContext

R = TypeVar("R", bound=RunContext)


def train(run: R, make: Callable[[R], loop.Setup]) -> loop.TrainState:
    """`loop.train` on the Setup that `make(run)` gives, with the callbacks against forgetting around it.

    With `forget_at_most`, also everything that it takes to lose no more.
    """
    monitor, spec = run.monitor, run.plan.spec
    if monitor is None or not moving_body(run.bundle.model):
        if monitor is not None:
            monitor.moves = False
            if is_regularised(spec):
                why = f"--method {spec.method} moves nothing below the head, so there is nothing to hold"
                run.emit(Decided("forgetting", "impossible", why))
        return loop.train(make(run))

    def trained(callbacks: Sequence[Callback], checkpoints: str | None = None) -> tuple[loop.Setup, loop.TrainState]:
        setup = make(run)
        setup.callbacks = list(callbacks)
        if checkpoints:
            setup.checkpoints = CheckpointStore(
                setup.checkpoints.folder / checkpoints, setup.checkpoints.identity, setup.emit
            )
        for callback in sorted(callbacks, key=lambda one: one.turn):
            callback.on_setup(setup, monitor)
        state = loop.train(setup)
        for callback in callbacks:
            callback.on_trained(setup, monitor)
        return setup, state

    start = copies(moving(run.bundle.model))
    setup, state = trained(run.plan.callbacks)
    if spec.forget_at_most is not None:
        state = Search(run, monitor, trained, start, spec.forget_at_most).train(setup, state)
    return state


def watch(
    run: RunContext, tasks: Sequence[Probe], general: Sequence[Probe], sampled: Sequence[Probe] = ()
) -> ForgettingMonitor:
    """Look at everything that must not be forgotten, before anything is trained. Held by callbacks are the tasks and
    what was `sampled`; where there are none, what the base makes of `general` sentences."""
    spec = run.plan.spec
    monitor = ForgettingMonitor([*tasks, *general], [], run.folder.cache, run.bundle.fingerprint, spec.seed)
    monitor.snapshot(choosing=chooses(spec))
    if is_regularised(spec):
        held = [*(probe for probe in tasks if not probe.apart), *sampled]
        monitor.retained = [probe.retained() for probe in held or general]
        if not held and general:
            why = "no data or run is retained (--retain), so what the base makes of general sentences is held"
            run.emit(Decided("retained", "general sentences", why))
    return monitor


def is_regularised(spec: RunSpec) -> bool:
    """Whether anything is done against forgetting, beside measuring it."""
    return spec.forget_at_most is not None or _listens(spec, "on_setup")


def chooses(spec: RunSpec) -> bool:
    """Whether the run chooses something by what was lost, and so needs to look at rows kept for that."""
    return spec.forget_at_most is not None or _listens(spec, "on_trained")


def _listens(spec: RunSpec, event: str) -> bool:
    return any(overrides(registry.get("callbacks", name), event) for name in spec.callbacks)


def measure(run: RunContext, metric: str, own: float | None) -> Words | None:
    """The part 'forgetting' of metrics.json; call it on the trained model before it is saved.

    `metric` and `own`: the first metric of the new task and its value on the test rows, None if it has none there.
    """
    monitor, spec = run.monitor, run.plan.spec
    if monitor is None:
        return None
    found = monitor.compare()
    counts = monitor.worst(found)
    document = forgetting.document(found, counts)
    chain = earlier(spec)
    if chain:
        document |= matrix(chain, found, (run.folder.name, metric, own))
    lost = document["lost"]
    if spec.retain or chain or is_regularised(spec):
        interval = f"95 % interval {lost['low']:.4f} to {lost['high']:.4f}"
        run.emit(Decided("lost", round(lost["value"], 4), f"{interval}; before against after: {counts['probe']}"))
    most = spec.forget_at_most
    if most is not None:
        lost = max((one["lost"] for one in monitor.counted(found)), key=lambda one: float(one["high"]))
        kept = "kept to" if lost["high"] <= most else "not certain" if lost["value"] <= most else "missed"
        why = f"lost {lost['value']:.4f} ({lost['low']:.4f} to {lost['high']:.4f}) on rows that nothing was chosen by"
        run.emit(Decided("forget_at_most", kept, why))
    return document
