"""The base model of a run that writes text."""

from __future__ import annotations

from pathlib import Path

from tunesmith.core import registry
from tunesmith.core.events import Decided
from tunesmith.core.run import is_run
from tunesmith.engine import hardware
from tunesmith.families.generative.context import GenerativeRun
from tunesmith.families.generative.settle import adapt_base
from tunesmith.models import catalog
from tunesmith.models.attention import LONGEST, use_for_short_rows


def load(run: GenerativeRun) -> None:
    """The base in the number format that its use asks for: float32 where its own weights move."""
    plan, emit, device = run.plan, run.emit, hardware.device()
    earlier = is_run(Path(plan.spec.model).expanduser())
    source = None if earlier else catalog.fetch(plan.spec.model)  # said when it is loaded
    size = catalog.size_of(source) if source else None
    precision = hardware.choose_precision(plan.engine.precision, device, size.hidden_size if size else 512, emit)
    plan.settle(precision=precision)
    kwargs = plan.method.load_kwargs()
    dtype = "bfloat16" if precision == "bf16" and plan.method.adds else "float32"
    bundle = registry.get("models.loaders", plan.task.network).base(
        plan.spec.model, dtype=dtype, quantization=kwargs.get("quantization"),
        beside=plan.spec.continue_from is not None, emit=emit,
    )  # fmt: skip
    adapt_base(plan, bundle, emit)
    bundle.model.to(device)
    if device.type == "cpu" and bundle.kind == "causal" and use_for_short_rows(bundle.model.network):
        emit(Decided("attention", "blocks", f"rows of up to {LONGEST:,} tokens are faster so on a processor"))
    run.bundle, run.device, run.precision = bundle, device, precision


def check_model(run: GenerativeRun) -> None:
    """That our log-probabilities are the network's own, on a few sequences."""
    bundle, items = run.bundle, run.items
    some = items.splits["train"][:2]
    batch = items.rows.collate(some)
    apart = bundle.model.eval().check({name: tensor.to(run.device) for name, tensor in batch.items()}, tolerance=0.02)
    if bundle.model.whole_logits:
        run.emit(
            Decided("chunked_logits", False, f"the network does more after its output layer (differs by {apart:.3g})")
        )
