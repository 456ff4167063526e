"""Sections of the report that show pictures."""

from __future__ import annotations

from tunesmith.evaluate import drawing
from tunesmith.evaluate.evidence import Evidence

_SIDE = 112
"""Pixels of a picture on a sheet."""


def training(evidence: Evidence) -> str:
    """Some training pictures as they are, and as the first epochs saw them."""
    rows = evidence.training_pictures
    if not rows:
        return ""
    sheet = drawing.to_uri(drawing.sheet(rows, _SIDE))
    note = (
        "Left: training pictures as the network reads them. Right of each: the same as it was changed for the first "
        f"{len(rows[0]) - 1} epochs. Would you still give each of them its label? If not, choose less: "
        "<code>--augment light</code>, <code>--flip none</code>."
    )
    return (
        f'<p class="soft small">{note}</p><img class="sheet" src="{sheet}" alt="training pictures and their changes">'
    )
