"""What there is: runs, models, methods, tasks. Plain values, for a screen or as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith.core import events, registry
from tunesmith.core.errors import ModelError
from tunesmith.core.files import read_json
from tunesmith.core.options import describe
from tunesmith.core.run import RunFolder, list_runs
from tunesmith.models import catalog


def runs(root: Path) -> list[dict[str, Any]]:
    """One row per run folder below `root`: path, status, what, and the first metric if finished."""
    return [_row(folder) for folder in list_runs(root)]


def _row(folder: RunFolder) -> dict[str, Any]:
    spec = folder.load_spec()
    row: dict[str, Any] = {
        "run": str(folder.path), "status": folder.status(), "task": spec.task, "model": spec.model,
        "method": spec.method, "data": spec.data,
    }  # fmt: skip
    if folder.metrics.exists():
        document = folder.load_metrics()
        name = document["first_metric"]
        row |= {"metric": name, **document["test"][name], "outcome": document["verdict"]["outcome"]}
    return row


def run(path: str | Path) -> dict[str, Any]:
    """A run in full: its row, and what metrics.json holds once it is finished."""
    folder = RunFolder.open(path)
    found = _row(folder) | {"report": str(folder.report), "model_folder": str(folder.model)}
    log = events.read(folder.events)
    if folder.metrics.exists():
        found["document"] = folder.load_metrics()
        found["decisions"] = [record for record in log if record["event"] == "decided"]
    else:
        found["last_events"] = log[-3:]
        found["progress"] = progress(log)
    return found


def progress(log: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How far an unfinished run has come: its last {"phase", "step", "evaluated", "best", "saved", "failed", "paused"},
    each the record of that event, as far as there was one."""
    found: dict[str, Any] = {}
    for record in log:
        if record["event"] == "started":  # of a resume, which does better perhaps
            found.pop("failed", None)
            found.pop("paused", None)
        if record["event"] == "evaluated" and record["best"]:
            found["best"] = record
        found[record["event"]] = record
    names = ("phase", "step", "evaluated", "best", "saved", "failed", "paused")
    return {name: found[name] for name in names if name in found}


SERIES = ("search", "folds", "seeds", "until", "ladder")
"""What the document of several runs is called, by the verb that wrote it: DOCUMENT.json in its folder."""


def series(path: str | Path) -> tuple[str, dict[str, Any]] | None:
    """(name of the document, the document) of a folder of several runs; None for any other."""
    for name in SERIES:
        file = Path(path) / f"{name}.json"
        if file.exists():
            return name, read_json(file)
    return None


def models() -> list[dict[str, Any]]:
    """The catalogue, with what each would cost on this machine (per 1,000 training rows of 100 letters)."""
    from tunesmith.engine.estimate import run_cost

    here = catalog.on_this_machine()
    found = []
    for entry in catalog.CATALOG:
        size = catalog.size_of(catalog.find(entry.alias))
        assert size is not None
        cost = run_cost(size, frozen_body=False, epochs=3, rows=1_250, train_rows=1_000, characters=100)
        found.append({
            "model": entry.alias, "hub_id": entry.hub_id, "parameters_million": entry.parameters,
            "licence": entry.licence, "languages": entry.languages, "max_length": entry.max_length,
            "tasks": list(catalog.TASKS[entry.kind]), "on_this_machine": entry.alias in here,
            "memory_bytes": cost["memory_bytes"], "seconds_per_1000_rows": cost["seconds"], "note": entry.note,
        })  # fmt: skip
    return found


def blocks(name: str) -> list[dict[str, Any]]:
    """The parts of a model from the bottom, by the names that `freeze` knows. Builds it without weights.

    The head of a base that writes text is its own; any other gets its head with the task.
    """
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    from tunesmith.models.blocks import list_blocks

    source = catalog.fetch(name)
    assert source.folder is not None
    try:
        config = AutoConfig.from_pretrained(source.folder, trust_remote_code=False)
    except ValueError as error:
        raise ModelError(f"The config of {name!r} can not be read: {str(error).splitlines()[0]}") from None
    architecture = (config.architectures or [""])[0]
    maker: Any = AutoModel
    if "CausalLM" in architecture or "LMHead" in architecture:
        maker = AutoModelForCausalLM
    elif "ConditionalGeneration" in architecture:
        maker = AutoModelForSeq2SeqLM
    with torch.device("meta"):
        network = maker.from_config(config, trust_remote_code=False)
    return [{"name": block.name, "parameters": block.parameters} for block in list_blocks(network)]


def plugins(seam: str) -> list[dict[str, Any]]:
    """Name, one line and options of every plugin of a seam."""
    found = []
    for name in registry.names(seam):
        plugin = registry.get(seam, name)
        found.append({"name": name, "summary": plugin.summary, "options": describe(plugin.Options)})
    return found
