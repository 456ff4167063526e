"""The model and what a run has shown, written down: metrics.json, predictions, report, card, at last result.json."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from tunesmith.core import events
from tunesmith.core.files import fsync_folder, new_folder, remove, write_json, write_text
from tunesmith.core.spec import Words
from tunesmith.engine.hardware import peak_memory_bytes
from tunesmith.evaluate import card, metrics_json
from tunesmith.evaluate import report as page
from tunesmith.evaluate.evidence import Evidence
from tunesmith.models.manifest import write_manifest
from tunesmith.runs.history import latest, read_curves, versions
from tunesmith.runs.protocols import Family, R


def save(run: R, family: Family[R]) -> None:
    """The finished model: written aside, read back, and only then given its name. Raises RunFailed where the model that
    was read back answers differently."""
    run.clock.phase("save", str(run.folder.model))
    with new_folder(run.folder.model, replace=True) as aside:
        family.write(run, aside)
        family.read_back(run, aside)
        write_manifest(aside)


def report(run: R, family: Family[R], started: float) -> Words:
    """Returns the metrics document. `started`: when the run began, by `time.monotonic`."""
    folder = run.folder
    run.clock.phase("report", str(folder.report))
    document = family.document(run, {
        "wall_seconds": round(time.monotonic() - started, 3), "peak_memory_bytes": peak_memory_bytes(),
        "tokens": run.state.tokens, "trainable_parameters": run.trainable_parameters,
    })  # fmt: skip
    if run.forgetting is not None:
        document["forgetting"] = run.forgetting
    document["verdict"]["next_step"] = family.next_step(run, document)
    metrics_json.check(document)
    evidence = _evidence(run, family, document)
    write_json(folder.metrics, document)
    family.write_predictions(run)
    page.write_report(evidence, folder.report)
    write_text(folder.model / "README.md", card.model_card(evidence))
    if not run.plan.engine.keep_cache:
        remove(folder.cache)
    fsync_folder(folder.path)
    headline = {name: document["test"][name]["value"] for name in family.headline(run) if name in document["test"]}
    seconds = round(time.monotonic() - started, 3)
    write_json(folder.result, {
        "status": "finished", "metrics": headline, "verdict": document["verdict"], "seconds": seconds,
    })  # fmt: skip
    run.clock.end()
    run.emit(events.Finished(seconds, headline))
    return document


def _evidence(run: R, family: Family[R], document: Words) -> Evidence:
    log = events.read(run.folder.events)
    return Evidence(
        name=run.folder.name, created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), path=str(run.folder.path),
        task=run.plan.spec.task, method=document["method"], metrics=document, cost=document["cost"],
        curves=read_curves(run.folder.events), decisions=latest(log, "decided", ("what", "value", "why")),
        warnings=latest(log, "warned", ("what", "message")), spec=run.plan.spec.words(),
        data_fingerprint=run.fingerprint, versions=versions(), **family.evidence(run),
    )  # fmt: skip
