"""Which examples train, validate and test: no prompt stands on two sides, and running text is cut once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.options import pick
from tunesmith.data import leakage, split
from tunesmith.data.conversations.examples import Examples
from tunesmith.data.conversations.shape import Example
from tunesmith.data.divide import refuse_empty, wanted_sizes
from tunesmith.data.duplicates import Duplicates, find_duplicates
from tunesmith.data.split import NAMES, TRAIN, Ints, Marks, renumbered
from tunesmith.data.types import SplitOptions

_NEAR = SplitOptions().near_duplicates
_GENERIC_ROWS, _GENERIC_SHARE = 10, 0.1


class Division(dict[str, Ints]):
    """Positions of the examples of 'train', 'validation' and 'test', ascending.

    facts, for the report: how and why; rows of each; prompts_seen_before (rows whose prompt an earlier row
    has); near_identical_prompts; moved_rows (that changed sides to stay with their like);
    remaining_rows (held-out rows that still have a like in an earlier part); generic_prompts (rows whose
    prompt so many share that it says nothing).
    """

    facts: dict[str, Any]


def divide(
    examples: Examples,
    *,
    validation: float | None = None,
    test: float | None = None,
    seed: int,
    group: Sequence[object] | None = None,
) -> Division:
    """Divide by prompt: (near-)identical ones, which are the first user message with its system message, stay
    on one side. Of running text the last parts are held out, in one block each. Parts that were given stay.

    validation, test: shares of the examples; None: a tenth and a fifth, less of many. group: a value for each
    example (default: `examples.groups`); no value stands in two parts. Deterministic. Raises DataError if a
    part would be empty, OptionError for a share outside 0 <= share < 1.
    """
    options = pick(SplitOptions, {"validation_size": validation, "test_size": test})
    marks = file_splits(examples)
    pool = np.flatnonzero(marks == TRAIN)
    wanted = wanted_sizes(options, pool.size, examples.parts)
    group = examples.groups if group is None else group
    found, generic = _similar_prompts(examples)
    moved = 0
    if not any(wanted):
        how, why = "given files", "validation and test are given, or none is wanted"
    elif examples.form == "text" and group is None:
        how, why = "in blocks", "running text is cut, not mixed: the last parts are held out"
        ends = np.cumsum([pool.size - sum(wanted), *wanted])
        marks[pool] = np.searchsorted(ends, np.arange(pool.size), side="right")
    else:
        inner = leakage.movable(Duplicates(renumbered(found.identical[pool]), renumbered(found.cluster[pool])))
        if group is not None:
            how, why = "by group", "no group stands in two parts"
            groups = leakage.merge_groups(_numbers(group, len(examples))[pool], inner)
            marks[pool] = split.by_group(groups, *wanted, seed)
        else:
            how, why = "by prompt", f"at random, seed {seed}; no prompt stands in two parts"
            alike = np.zeros(pool.size, dtype=np.int64)
            marks[pool] = split.stratify(alike, *wanted, seed)
            if leakage.measure(marks[pool], inner, 0.0).remaining_rows:
                marks[pool], moved = leakage.move_together(marks[pool], inner, alike, seed)
    result = Division({name: np.flatnonzero(marks == mark).astype(np.int64) for mark, name in enumerate(NAMES)})
    texts = int(found.identical.max(initial=-1)) + 1
    result.facts = {
        "how": how,
        "why": why,
        "rows": {name: int(rows.size) for name, rows in result.items()},
        "prompts_seen_before": len(examples) - texts,
        "near_identical_prompts": texts - int(np.unique(found.cluster).size),
        "generic_prompts": generic,
        "moved_rows": moved,
        "remaining_rows": leakage.measure(marks, found, 0.0).remaining_rows if marks.size else 0,
    }
    refuse_empty(result.facts["rows"], wanted, examples.files[0], "examples", "prompts")
    return result


def units(examples: Examples) -> Ints:
    """A number for each example, int64 [n]: those with the same one belong together, for their prompts are
    (near-)identical or they are of one group. Of running text each piece is one of its own."""
    found, _ = _similar_prompts(examples)
    if examples.groups is None:
        return leakage.movable(found).cluster
    return leakage.merge_groups(_numbers(examples.groups, len(examples)), leakage.movable(found))


def file_splits(examples: Examples) -> Marks:
    """The part of each example as its file says."""
    of_file = np.array([NAMES.index(part) for part in examples.parts], dtype=np.int8)
    marks: Marks = of_file[np.searchsorted(examples.starts, examples.ids, side="right") - 1]
    return marks


def _numbers(group: Sequence[object], rows: int) -> Ints:
    """A number for each group; an example without one is a group of its own."""
    if len(group) != rows:
        raise DataError(Problem(f"there are {len(group)} groups for {rows} examples"))
    return split.group_numbers(group)


def _similar_prompts(examples: Examples) -> tuple[Duplicates, int]:
    """Identical prompts (with their system message), near-identical ones (without), and how many rows have a
    generic one. Of running text whole pieces are compared, and only for identity."""
    if examples.form == "text":
        return find_duplicates(_table([("", example["text"]) for example in examples]), ["user"], 0.0), 0
    prompts = [_prompt(example) for example in examples]
    found = find_duplicates(_table(prompts), ["system", "user"], 0.0)
    counts = np.bincount(found.identical)
    generic = (counts > max(_GENERIC_ROWS, _GENERIC_SHARE * len(examples)))[found.identical]
    if generic.any():  # "Write a story.", a thousand times: only what follows tells such rows apart
        for number in np.flatnonzero(generic).tolist():
            prompts[number] = ("", _everything(examples[number]))
        found = find_duplicates(_table(prompts), ["system", "user"], 0.0)
    near = find_duplicates(_table(prompts), ["user"], _NEAR)
    return Duplicates(found.identical, near.cluster, near.chained, near.unchecked), int(generic.sum())


def _table(prompts: Sequence[tuple[str, str]]) -> pa.Table:
    return pa.table(dict(zip(("system", "user"), zip(*prompts, strict=True), strict=True)))


def _prompt(example: Example) -> tuple[str, str]:
    """System message and first user message; or the prompt, the source, the text."""
    messages = example.get("messages")
    if messages is None:
        return "", example.get("prompt") or example.get("source") or _everything(example)
    said: dict[str, str] = {}
    for message in messages:
        role = "system" if message["role"] == "developer" else message["role"]
        said.setdefault(role, str(message.get("content") or ""))
    return said.get("system", ""), said.get("user", "") or _everything(example)


def _everything(example: Example) -> str:
    """All texts of an example, one after another."""
    found: list[str] = []
    for key in ("messages", "prompt", "source", "target", "text", "completion", "chosen", "rejected"):
        value = example.get(key)
        if isinstance(value, list):
            found += [str(message.get("content") or message.get("tool_calls") or "") for message in value]
        elif value:
            found.append(str(value))
    return "\n".join(found)
