"""check for text that is written: every row read, divided and put into tokens as a run would. Loads no weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tunesmith.core.errors import DataError, ModelError
from tunesmith.core.events import Decided, Emit, Warned
from tunesmith.core.files import scratch
from tunesmith.core.run import is_run
from tunesmith.core.spec import RunSpec
from tunesmith.data.conversations import Division, Examples, lint, read_examples, validate
from tunesmith.families.generative.corpus import Corpus, divided, wish
from tunesmith.families.generative.items import encode_items
from tunesmith.families.generative.settle import LanguagePlan, fitted, reader, settled
from tunesmith.families.predictive.glance import glance_at
from tunesmith.models import catalog
from tunesmith.models.load_language import outline
from tunesmith.runs.reading import read_options, split_options

_MOST = 20_000
"""Rows that are put into tokens; of more, evenly spread ones."""
_MEASURED = 2e9
"""Weights from which on a check does not measure how fast this machine trains a model, which would take minutes."""


@dataclass(frozen=True)
class InTokens:
    """How the model reads the rows that were put into tokens."""

    lengths: np.ndarray | None = None
    """Tokens of each sequence before anything is cut, int64; None where the model is not here."""
    limit: int | None = None
    """Most tokens of a sequence that a run reads."""
    unchecked: tuple[str, ...] = ()


def check(spec: RunSpec) -> dict[str, Any]:
    """Format, division, problems, samples, lengths, cost, what is advised and what was not checked; trains nothing.

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
    examples = read_examples(
        sources(spec), emit=listen, check=False, group=options.group, form=wish(spec), reading=read_options(spec)
    )
    plan = settled(spec, examples, listen)
    problems = validate(examples)
    fix: str | None = None
    read = InTokens()
    splits: dict[str, int] = {}
    glance: dict[str, Any] = {"samples": [], "lengths": None}
    cost = None
    if not problems:
        division = divided(examples, options, spec.seed)
        splits = {name: len(rows) for name, rows in division.items()}
        try:
            read = in_tokens(plan, examples, division, listen, most=_MOST)
            glance = glance_at(examples, division, read.lengths, read.limit)
            cost = _cost(plan, examples, splits) if read.lengths is not None else None
        except DataError as error:
            problems, fix = list(error.problems), error.fix
    return {
        "task": plan.spec.task, "form": examples.form, "format": examples.format,
        "model": plan.spec.model, "method": plan.spec.method,
        "rows": examples.ledger.rows_in, "ledger": examples.ledger.counts(), "splits": splits,
        "problems": [vars(problem) for problem in problems], "fix": fix, "advice": lint(examples),
        "unchecked": list(read.unchecked), "decisions": decisions, "warnings": warnings, "estimate": cost, **glance,
    }  # fmt: skip


def sources(spec: RunSpec, data: Any = None) -> Any:
    """What `read_examples` reads for a spec: one source, or a file for each part. `data`: where it is in memory."""
    main = spec.data if data is None else data
    given = {name: path for name in ("validation", "test") if (path := getattr(spec, name))}
    return {"train": main, **given} if given else main


def in_tokens(
    plan: LanguagePlan, examples: Examples, division: Division, emit: Emit, *, most: int, weights: bool = True
) -> InTokens:
    """At most `most` rows as the model would read them; with `weights` false the model's config and tokenizer do.

    Raises DataError with all rows that a run would refuse, OptionError and ModelError.
    """
    name = plan.spec.model
    if not _here(name, weights):
        return InTokens(unchecked=(f"how the model reads the rows: {name} is not on this machine",))
    if plan.engine.freeze and weights and not is_run(Path(name).expanduser()):
        from tunesmith.families.plan import check_blocks

        check_blocks(name, plan.engine.freeze, plan.task.network)
    bundle = outline(name, kind=plan.task.network, weights=weights, emit=emit)
    fitted(plan, bundle, emit)
    codec, limit = reader(plan, bundle, emit)
    corpus, notes = _some(examples, division, most)
    with scratch() as folder:
        items = encode_items(
            corpus, plan.task, codec, bundle, limit=limit, folder=folder, emit=emit, check=_go_on
        )  # fmt: skip
        return InTokens(items.uncut, limit, tuple(notes))


def _here(name: str, weights: bool) -> bool:
    """Whether the model is on this machine, or where its weights are not asked for, what reads text for it."""
    if is_run(Path(name).expanduser()):
        return True
    try:
        folder = catalog.find(name).folder
    except ModelError:
        return False
    return folder is not None and (weights or any(folder.glob("tokenizer*")) or any(folder.glob("*.safetensors")))


def _cost(plan: LanguagePlan, examples: Examples, splits: dict[str, int]) -> dict[str, float | None] | None:
    """As `tunesmith plan` reckons it, without the time where measuring would take long."""
    from tunesmith.families.plan import forecast, read_config
    from tunesmith.families.plan_data import found_in

    config, tokenizer, _ = read_config(plan.spec.model)
    made = forecast(found_in(plan, examples, splits), config, tokenizer, quick=_MEASURED)
    return {"seconds": made.seconds, "memory_bytes": made.memory["total"], "disk_bytes": made.disk["total"]}


def _some(examples: Examples, division: Division, most: int) -> tuple[Corpus, list[str]]:
    """At most `most` rows, evenly spread over all of them."""
    if len(examples) <= most:
        return Corpus(examples, division), []
    kept = np.unique(np.linspace(0, len(examples) - 1, most).astype(np.int64))
    fewer = replace(examples, rows=[examples[int(number)] for number in kept], ids=examples.ids[kept])
    parts = Division({name: np.flatnonzero(np.isin(kept, rows)) for name, rows in division.items()})
    parts.facts = division.facts
    return Corpus(fewer, parts), [f"how the model reads {len(examples) - most:,} of the {len(examples):,} rows"]


def _go_on() -> None:
    """Nothing stops a check."""
