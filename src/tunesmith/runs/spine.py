"""A run from spec to report: every stage once, in the order in which it happens. What differs by family is the
family's."""

from __future__ import annotations

import torch

from tunesmith.core.events import Emit
from tunesmith.core.run import RunFolder
from tunesmith.core.spec import RunSpec, Words
from tunesmith.engine import hardware
from tunesmith.engine.stop import StopRequest
from tunesmith.models.additions import trainable_parameters
from tunesmith.runs.context import Clock
from tunesmith.runs.family import family_named, family_of
from tunesmith.runs.identity import check_data, check_retained
from tunesmith.runs.protocols import Family, R
from tunesmith.runs.report import report, save

ADAM_BYTES = 12
"""A trained weight in float32, and its two moments."""


def run(folder: RunFolder, spec: RunSpec, emit: Emit, stop: StopRequest, started: float) -> Words:
    """All stages; `result.json` is written last. Returns the metrics document.

    `started`: when the run began, by `time.monotonic`. Raises the errors of `core.errors`.
    """
    family = family_named(family_of(spec))
    run = begin(family, folder, spec, emit, stop)
    family.baselines(run)
    family.snapshot(run)
    run.clock.phase("train", run.plan.spec.method)
    family.prepare(run)
    run.trainable_parameters = trainable_parameters(run.bundle.model)
    hardware.check_disk(folder.path, ADAM_BYTES * run.trainable_parameters)
    family.train(run)
    run.clock.end()
    family.judge(run)
    stop.check()
    save(run, family)
    return report(run, family, started)


def begin(family: Family[R], folder: RunFolder, spec: RunSpec, emit: Emit, stop: StopRequest) -> R:
    """The data as tensors on disk and the base model, before anything is measured. Raises the errors of
    `core.errors`."""
    hardware.prepare()
    torch.manual_seed(spec.seed)
    run = family.context(folder=folder, spec=spec, emit=emit, stop=stop, clock=Clock(emit))
    run.clock.phase("read", spec.data)
    family.read(run)
    check_data(folder, spec.data, run.fingerprint)
    stop.check()
    run.plan = family.settle(run)
    run.plan.make_callbacks(folder.path)
    run.retained = family.read_retained(run)
    check_retained(folder, {str(one.path): one.fingerprint for one in run.retained})
    if run.plan.engine.init_seed is not None:
        torch.manual_seed(run.plan.engine.init_seed)
    run.clock.phase("load", run.plan.spec.model)
    family.load(run)
    family.encode(run)
    run.write_spec()
    return run
