"""The base model as it is, and shown examples in its prompt: what a comparison has beside what trains."""

from __future__ import annotations

from pathlib import Path

from tunesmith.core.errors import OptionError
from tunesmith.core.events import ignore
from tunesmith.core.files import remove
from tunesmith.core.run import RunFolder
from tunesmith.core.spec import RunSpec, Words
from tunesmith.engine.stop import StopRequest
from tunesmith.evaluate.measured import RowStatistics
from tunesmith.families.generative import baselines
from tunesmith.families.generative.context import GenerativeRun
from tunesmith.runs import spine
from tunesmith.runs.protocols import Contention, Family

CONTENDERS = {"base": True, "few_shot": True}
_PROMPTED = ("chat", "completion", "pair")
"""Forms of examples that can stand in a prompt."""


def usual_contenders(form: str, task: str) -> list[str]:
    """Those that examples of this form allow."""
    return [name for name in CONTENDERS if name != "few_shot" or form in _PROMPTED]


def contend(family: Family[GenerativeRun], name: str, words: Words, folder: Path) -> Contention:
    """See `runs.protocols.Family`."""
    remove(folder / "run")  # of one that was cut off
    begun = RunFolder.create(folder / "run", "base")
    run = spine.begin(family, begun, RunSpec.make(words), ignore, StopRequest())
    test = run.items.splits["test"]
    rows: RowStatistics | None
    if name == "base":
        run.measure_reference()
        rows = run.statistics(test)
    else:
        _, rows = baselines.few_shot(run, test, test[:0])
        if rows is None:
            raise OptionError(f"few_shot: examples of the form {run.data.form!r} have no prompt to show others in.")
    return {"size_bytes": sum(p.numel() * p.element_size() for p in run.bundle.model.network.parameters())}, rows
