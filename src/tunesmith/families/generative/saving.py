"""The finished model that writes as a folder, read back and asked again; and what it made of the test rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from tunesmith.core import events
from tunesmith.core.errors import RunFailed
from tunesmith.core.files import full_disk_as_oserror, write_table
from tunesmith.core.spec import Words
from tunesmith.engine.generate import name_ends
from tunesmith.evaluate.measured import RowStatistics
from tunesmith.evaluate.metrics import TABLE
from tunesmith.families.generative.context import GenerativeRun
from tunesmith.models.additions import ADAPTER, quiet_peft, virtual_tokens
from tunesmith.models.loaders.language import base_of_adapter, load_language_finished
from tunesmith.models.manifest import write_metadata
from tunesmith.models.pretrained import quiet_transformers

_TOLERANCE = {"fp32": 1e-3, "bf16": 0.1}
"""Largest difference of a sequence's mean token loss between the model trained and the model read back."""


def write(run: GenerativeRun, aside: Path) -> None:
    """The trained model, or what was added to its base, into `aside`."""
    bundle = run.bundle
    run.expected = run.measure(run.items.rows, _some(run))
    if bundle.model.adapted is None:
        name_ends(bundle.model.network, run.stop_ids)
    with full_disk_as_oserror(), quiet_transformers(), quiet_peft():
        if bundle.model.adapted is None:
            bundle.model.network.save_pretrained(aside)
        else:
            # not the whole table of words beside the new rows, nor a base without the earlier run's adapter
            bundle.model.adapted.active_peft_config.base_model_name_or_path = str(bundle.folder)
            bundle.model.adapted.save_pretrained(aside, save_embedding_layers=False)
        bundle.tokenizer.save_pretrained(aside)
    write_metadata(aside, {
        "task": run.plan.spec.task, "network": bundle.kind, "base": str(bundle.folder),
        "base_fingerprint": bundle.fingerprint, "base_name": bundle.name, "quantization": bundle.quantization,
        "form": run.data.form, "conversational": any(example.get("messages") for example in run.data),
        "prefix": run.codec.prefix, "max_length": run.limit,
        "new_tokens": run.plan.task.options.new_tokens,
    })  # fmt: skip


def read_back(run: GenerativeRun, aside: Path) -> None:
    """What the saved model, read back, thinks of some test rows must be what the one in memory does; then its base
    beside it where it can not be read without. Raises RunFailed."""
    bundle, expected = run.bundle, run.expected
    ours, bundle.model = bundle.model, load_language_finished(aside).model.to(run.device)
    again = run.measure(run.items.rows, _some(run))
    bundle.model = ours
    worst = float(np.abs((again.loss - expected.loss) / np.maximum(expected.tokens, 1)).max())
    allowed = _TOLERANCE["bf16" if bundle.quantization else run.precision]
    if not worst <= allowed:
        raise RunFailed(
            f"The saved model answers differently from the trained one: the mean token loss of a test row differs "
            f"by {worst:.4g}, allowed {allowed:.4g}."
        )
    if _needs_base(run):
        _save_base(aside, run.stop_ids, run.emit)


def _some(run: GenerativeRun) -> np.ndarray:
    return run.sequences(run.items.splits["test"][:8])


def _needs_base(run: GenerativeRun) -> bool:
    """Whether the adapter was trained on something else than what the base's own folder holds: with rows for new
    tokens, or on what an earlier run's adapter makes of it. Virtual tokens are put beside a base by peft alone."""
    bundle = run.bundle
    if bundle.model.adapted is None or virtual_tokens(bundle.model.adapted):
        return False
    longest = bundle.model.network.get_input_embeddings().weight.shape[0] - 1
    return longest in bundle.new_token_ids or (bundle.folder / ADAPTER).exists()


def _save_base(folder: Path, ends: set[int], emit: events.Emit) -> None:
    """Beside the adapter in `folder` the base that it was trained on: from a folder with both transformers reads
    both, while it makes no table of words longer and puts no adapter on an adapter."""
    network = base_of_adapter(folder)
    name_ends(network, ends)
    with full_disk_as_oserror(), quiet_transformers():
        network.save_pretrained(folder)
    size = sum(file.stat().st_size for file in folder.glob("model*.safetensors"))
    why = "the adapter was trained on more than its base's own folder holds; plain transformers reads both from here"
    emit(events.Decided("base_saved_beside", f"{size / 1e6:,.1f} MB", why))


def beside(run: GenerativeRun) -> Words | None:
    """What plain peft needs to know to put the adapter beside its base; None of a whole model."""
    bundle = run.bundle
    if bundle.model.adapted is None:
        return None
    return {
        "base": str(bundle.folder), "run": str(bundle.folder.parent) if (bundle.folder / ADAPTER).exists() else None,
        "here": _needs_base(run), "quantization": bundle.quantization,
        "type": str(bundle.model.adapted.active_peft_config.peft_type.value),
    }  # fmt: skip


def write_predictions(run: GenerativeRun) -> None:
    """predictions.parquet: of each test row its row_id in the source, from 0, and what each metric is made of."""
    places = run.items.example[run.items.splits["test"]]
    columns = {"row_id": [int(run.data[int(place)]["row"]) - 1 for place in places]}
    write_table(pa.table({**columns, **run.ours.columns()}), run.folder.predictions)


def read_predictions(path: Path, table: pa.Table) -> RowStatistics:
    """See `runs.protocols.Family`."""
    return RowStatistics(
        {name: np.array(table.column(name).to_pylist()) for name in table.column_names if name in TABLE}
    )
