"""How much two texts belong together: a score, a grade, a click, or nothing but that they stand together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from tunesmith.data.pairs import RELEVANCE, SCORES, keys
from tunesmith.data.profile import Profile, simple
from tunesmith.data.target_kind import TargetKind
from tunesmith.data.targets import OFF, ON
from tunesmith.data.texts import as_text
from tunesmith.data.types import Columns

_WORDS = {**dict.fromkeys(OFF, 0.0), **dict.fromkeys(ON, 1.0)}


class Relevance(TargetKind):
    arrow: ClassVar[pa.DataType] = pa.list_(pa.float64())
    labelled: ClassVar[bool] = False

    def claims(self, profile: Profile) -> float:
        scored = SCORES.search(simple(profile.name)) is not None
        if profile.kind in ("number", "bool"):
            if profile.name == RELEVANCE or (scored and profile.useless):
                return self.sure
            return 0.0 if profile.useless else 5.0 if scored else 1.0
        written = profile.kind == "string" and (profile.numeric > 0.9 or {*profile.counts} <= _WORDS.keys())
        return (5.0 if scored else 1.0) if written else 0.0

    def why(self, profile: Profile) -> str:
        if profile.name == RELEVANCE and profile.distinct == 1:
            return "no column holds a score: texts that stand together belong together"
        return "how much the two texts belong together"

    def shown(self, target: Any) -> Any:
        return target[0]

    def read(
        self, column: pa.ChunkedArray, inputs: Sequence[pa.ChunkedArray], columns: Columns
    ) -> tuple[pa.Array, list[tuple[int, str]]]:
        """Of each row the score and the keys of its texts (`data.pairs`)."""
        faults: list[tuple[int, str]] = []
        scores: list[float | None] = []
        for row, cell in enumerate(column.to_pylist()):
            try:
                scores.append(_score(cell))
            except ValueError as error:
                scores.append(None)
                faults.append((row, str(error)))
        sides = [keys([text or "" for text in as_text(one).to_pylist()]) for one in inputs[:3]]
        sides += [np.zeros(len(scores))] * (3 - len(sides))
        cells = [
            None if score is None else [score, *map(float, texts)]
            for score, texts in zip(scores, zip(*sides, strict=True), strict=True)
        ]
        return pa.array(cells, self.arrow), faults


def _score(cell: object) -> float | None:
    if isinstance(cell, list):
        return float(cell[0])
    if cell is None or isinstance(cell, bool):
        return None if cell is None else float(cell)
    text = str(cell).strip()
    if not text:
        return None
    if text.lower() in _WORDS and not text[0].isdigit():
        return _WORDS[text.lower()]
    try:
        found = float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
    except ValueError:
        raise ValueError(f"{text[:60]!r} is no score") from None
    if not np.isfinite(found):
        raise ValueError(f"{text[:60]!r} is no score")
    return found
