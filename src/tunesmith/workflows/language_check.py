"""check for text that is written: every row read, divided and put into tokens as a run would. Loads no weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.core.errors import DataError, ModelError
from tunesmith.core.events import Decided, Emit, Warned
from tunesmith.core.files import scratch
from tunesmith.core.run import is_run
from tunesmith.core.spec import RunSpec
from tunesmith.data.conversations import Division, Examples, lint, read_examples, validate
from tunesmith.models import catalog
from tunesmith.models.load_language import outline
from tunesmith.workflows.language_data import Corpus, divided, wish
from tunesmith.workflows.language_items import encode_items
from tunesmith.workflows.language_plan import LanguagePlan, fitted, reader, settled
from tunesmith.workflows.reading import read_options, split_options

_MOST = 20_000
"""Rows that are put into tokens; of more, evenly spread ones."""


def check(spec: RunSpec) -> dict[str, Any]:
    """Format, division, every problem, what is advised and what was not checked; trains nothing.

    Raises OptionError and ModelError as a run would before its first step.
    """
    decisions: list[dict[str, Any]] = []
    warnings: list[dict[str, Any]] = []

    def listen(event: Any) -> None:
        if isinstance(event, Decided):
            decisions.append({"what": event.what, "value": event.value, "why": event.why})
        elif isinstance(event, Warned):
            warnings.append({"what": event.what, "message": event.message})

    options = split_options(spec)
    given = {name: path for name in ("validation", "test") if (path := getattr(spec, name))}
    examples = read_examples(
        {"train": spec.data, **given} if given else spec.data, emit=listen, check=False, group=options.group,
        form=wish(spec), reading=read_options(spec),
    )  # fmt: skip
    plan = settled(spec, examples, listen)
    problems = validate(examples)
    fix: str | None = None
    unchecked: list[str] = []
    splits: dict[str, int] = {}
    if not problems:
        division = divided(examples, options, spec.seed)
        splits = {name: len(rows) for name, rows in division.items()}
        try:
            unchecked = _in_tokens(plan, examples, division, listen)
        except DataError as error:
            problems, fix = list(error.problems), error.fix
    return {
        "task": plan.spec.task, "form": examples.form, "format": examples.format,
        "model": plan.spec.model, "method": plan.spec.method,
        "rows": examples.ledger.rows_in, "ledger": examples.ledger.counts(), "splits": splits,
        "problems": [vars(problem) for problem in problems], "fix": fix, "advice": lint(examples),
        "unchecked": unchecked, "decisions": decisions, "warnings": warnings,
    }  # fmt: skip


def _in_tokens(plan: LanguagePlan, examples: Examples, division: Division, emit: Emit) -> list[str]:
    """Every row as the model would read it; what could not be checked. Raises DataError with all rows that a run would
    refuse, OptionError and ModelError."""
    name = plan.spec.model
    try:
        here = is_run(Path(name).expanduser()) or catalog.find(name).folder is not None
    except ModelError:
        here = False
    if not here:
        return [f"how the model reads the rows: {name} is not on this machine"]
    bundle = outline(name, kind=plan.task.network, emit=emit)
    fitted(plan, bundle, emit)
    codec, limit = reader(plan, bundle, emit)
    corpus, notes = _some(examples, division)
    with scratch() as folder:
        encode_items(corpus, plan.task, codec, bundle, limit=limit, folder=folder, emit=emit, check=_go_on)
    return notes


def _some(examples: Examples, division: Division) -> tuple[Corpus, list[str]]:
    """At most `_MOST` rows, evenly spread over all of them."""
    if len(examples) <= _MOST:
        return Corpus(examples, division), []
    kept = np.unique(np.linspace(0, len(examples) - 1, _MOST).astype(np.int64))
    fewer = replace(examples, rows=[examples[int(number)] for number in kept], ids=examples.ids[kept])
    parts = Division({name: np.flatnonzero(np.isin(kept, rows)) for name, rows in division.items()})
    parts.facts = division.facts
    return Corpus(fewer, parts), [f"how the model reads {len(examples) - _MOST:,} of the {len(examples):,} rows"]


def _go_on() -> None:
    """Nothing stops a check."""
