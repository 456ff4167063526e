"""Answers as columns beside the rows they belong to."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tunesmith.core.events import Emit, Warned

if TYPE_CHECKING:
    import pandas

Prediction = Mapping[str, Any]
Predictions = Sequence[Prediction]


def as_columns(answers: Predictions, probabilities: bool = False) -> dict[str, list[Any]]:
    """`predicted`, what an answer names first (a label, a list of labels, a number, a text), and where it has them its
    `probability`, and its `start` and `end` in another text; with `probabilities` one column
    `probability_<label>` each.
    """
    first = answers[0]
    word = next(iter(first))
    columns = {"predicted": [answer[word] for answer in answers]}
    for name in ("start", "end", "probability"):
        if name in first:
            columns[name] = [answer[name] for answer in answers]
    if probabilities:
        for name in first.get("probabilities", {}):
            columns[f"probability_{name}"] = [answer["probabilities"][name] for answer in answers]
    return columns


def free_name(name: str, taken: Collection[object]) -> str:
    """`name`, or `name_2`, `name_3`, ... where that is taken."""
    candidates = (name if number == 1 else f"{name}_{number}" for number in itertools.count(1))
    return next(candidate for candidate in candidates if candidate not in taken)


def beside(
    frame: pandas.DataFrame, answers: Predictions, example: Prediction, emit: Emit, probabilities: bool = False
) -> pandas.DataFrame:
    """A copy of the DataFrame with the answers as further columns, its index kept.

    A name that the frame has already gets `_2`, and that is said. `example`: an answer that says which columns there
    are where the frame has no rows.
    """
    import pandas

    columns, renamed = {}, {}
    for name, values in as_columns(answers or [example], probabilities).items():
        free = free_name(name, frame.columns)
        plain = bool(values) and all(isinstance(value, float) for value in values)
        kept = values if answers else []
        columns[free] = pandas.Series(kept, index=frame.index, dtype="float64" if plain else "object")
        if free != name:
            renamed[name] = free
    if renamed:
        taken, free_ones = (", ".join(map(repr, names)) for names in (renamed, renamed.values()))
        emit(Warned("columns", f"the data has {taken} already: what is predicted stands in {free_ones}"))
    return pandas.concat([frame, pandas.DataFrame(columns, index=frame.index)], axis=1)
