"""check for text that is written: every row read, divided and put into tokens as a run would. Loads no weights."""

from __future__ import annotations

from tunesmith.core.errors import DataError
from tunesmith.core.events import Decided, Event, Warned
from tunesmith.core.spec import RunSpec, Words
from tunesmith.data.conversations import Examples, lint, validate
from tunesmith.families.generative.corpus import read_for, split_examples
from tunesmith.families.generative.in_tokens import InTokens, in_tokens
from tunesmith.families.generative.plan import summary_of
from tunesmith.families.generative.settle import Plan, settle_plan
from tunesmith.families.overview import overview_of
from tunesmith.families.plan import forecast
from tunesmith.models.config import read_config

_MOST = 20_000
"""Rows that are put into tokens; of more, evenly spread ones."""
_MEASURED = 2e9
"""Weights from which on a check does not measure how fast this machine trains a model, which would take minutes."""


def check(spec: RunSpec, source: object) -> Words:
    """See `runs.protocols.Family`. Faults of rows are reported, not raised."""
    log: list[Event] = []
    examples = read_for(spec, log.append, source, check=False)
    plan = settle_plan(spec, examples, log.append)
    problems = validate(examples)
    fix: str | None = None
    read = InTokens()
    splits: dict[str, int] = {}
    overview: Words = {"samples": [], "lengths": None}
    cost = None
    if not problems:
        division = split_examples(examples, spec)
        splits = {name: len(rows) for name, rows in division.items()}
        try:
            read = in_tokens(plan, examples, division, log.append, most=_MOST)
            overview = overview_of(examples, division, read.lengths, read.limit)
            cost = _cost(plan, examples, splits) if read.lengths is not None else None
        except DataError as error:
            problems, fix = list(error.problems), error.fix
    return {
        "task": plan.spec.task, "form": examples.form, "format": examples.format,
        "model": plan.spec.model, "method": plan.spec.method,
        "rows": examples.ledger.rows_in, "ledger": examples.ledger.counts(), "splits": splits,
        "problems": [vars(problem) for problem in problems], "fix": fix, "advice": lint(examples),
        "unchecked": list(read.unchecked), "decisions": [vars(event) for event in log if isinstance(event, Decided)],
        "warnings": [vars(event) for event in log if isinstance(event, Warned)], "estimate": cost, **overview,
    }  # fmt: skip


def _cost(plan: Plan, examples: Examples, splits: dict[str, int]) -> dict[str, float | None] | None:
    """As `tunesmith plan` reckons it, without the time where measuring would take long."""
    config, tokenizer, _ = read_config(plan.spec.model)
    return forecast(summary_of(plan, examples, splits), config, tokenizer, quick=_MEASURED).estimate
