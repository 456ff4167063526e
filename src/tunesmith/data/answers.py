"""Answers as columns beside the rows they belong to."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from tunesmith.core.events import Emit, Warned
from tunesmith.core.files import written_to

if TYPE_CHECKING:
    import pandas

Prediction = Mapping[str, Any]
Predictions = Sequence[Prediction]


def as_columns(answers: Predictions, probabilities: bool = False) -> dict[str, list[Any]]:
    """`predicted`, what an answer names first (a label, a list of labels, a number, a text, shares of classes), and
    where it has them its `probability`, its `start` and `end` in another text, and its `mask`; with `probabilities` one
    column `probability_<label>` each.
    """
    first = answers[0]
    word = next(iter(first))
    columns = {"predicted": [answer[word] for answer in answers]}
    for name in ("start", "end", "probability", "mask"):
        if name in first:
            columns[name] = [answer[name] for answer in answers]
    if probabilities:
        for name in first.get("probabilities", {}):
            columns[f"probability_{name}"] = [answer["probabilities"][name] for answer in answers]
    return columns


def without_pictures(answer: Prediction) -> dict[str, Any]:
    """What of an answer can be written as text."""
    return {name: value for name, value in answer.items() if not isinstance(value, Image.Image)}


def saved_pictures(answers: Predictions, asked: Sequence[object], folder: Path, first: int) -> list[dict[str, Any]]:
    """Answers with the pictures in them saved as PNG in `folder`, and where each lies in their place, from the folder
    above. `asked`: what they are answers to, whose names they get; `first`: the number of the first of them. Raises
    FolderError."""
    found = []
    for number, (answer, of) in enumerate(zip(answers, asked, strict=True), first):
        kept = dict(answer)
        for key, value in answer.items():
            if isinstance(value, Image.Image):
                with written_to(folder):
                    folder.mkdir(exist_ok=True)
                    path = folder / f"{number:06d}-{_name(of)}.png"
                    value.save(path)
                kept[key] = f"{folder.name}/{path.name}"
        found.append(kept)
    return found


def _name(asked: object) -> str:
    given = str(next(iter(asked.values()), "")) if isinstance(asked, Mapping) else str(asked)
    stem = "" if given.startswith("data:") else Path(given).stem
    return re.sub(r"[^\w-]+", "_", stem)[:80] or "picture"


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
