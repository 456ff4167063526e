"""Sections of the report that show pictures."""

from __future__ import annotations

import numpy as np
from PIL import Image

from tunesmith.engine.augment import Pictured
from tunesmith.evaluate import drawing, page
from tunesmith.evaluate.errors import examples_of, said
from tunesmith.evaluate.evidence import Evidence
from tunesmith.evaluate.page import text
from tunesmith.evaluate.tables import confusion

_SIDE = 160
"""Pixels of the longer side of a picture on a sheet."""
_LOOK_SIDE = 160
_SHOWN = 12
"""Test pictures that were answered rightly, and of those that were not."""
_PAIRS = 5
"""Pairs of labels that are confused, with pictures."""
_OF_PAIR = 4
"""Pictures of each pair that were confused, and of each of its labels that were not."""


def training(evidence: Evidence) -> str:
    """Some training pictures as they are, and as the first epochs saw them."""
    rows = evidence.training_pictures
    if not rows:
        return ""
    sheet = drawing.to_uri(drawing.sheet([[_looked_at(one) for one in row] for row in rows], _SIDE))
    learned, names = "its label", list[str]()
    if rows[0][0].boxes is not None:
        learned, names = "these boxes", getattr(evidence.test, "label_names", [])
    elif rows[0][0].mask is not None:
        learned, names = "this mask", list(getattr(evidence.test, "classes", []))
    note = (
        "Left: training pictures as the network reads them. Right of each: the same as it was changed for the first "
        f"{len(rows[0]) - 1} epochs. Would you still give each of them {learned}? If not, choose less: "
        "<code>--augment light</code>, <code>--flip none</code>."
    )
    legend = page.legend(names) if names else ""
    return (
        f'<p class="soft small">{note}</p>{legend}'
        f'<img class="sheet" src="{sheet}" alt="training pictures and their changes">'
    )


def _looked_at(one: Pictured) -> np.ndarray:
    """A picture with its boxes or its mask laid over."""
    pixels = drawing.resized(one.pixels, _SIDE)
    if one.boxes is not None and one.labels is not None:
        share = _SIDE / max(one.pixels.shape[:2])
        return drawing.boxes(pixels, share * one.boxes, one.labels.tolist())
    if one.mask is not None:
        size = pixels.shape[1], pixels.shape[0]
        return drawing.masks(pixels, np.asarray(Image.fromarray(one.mask).resize(size, Image.Resampling.NEAREST)))
    return pixels


def test(evidence: Evidence) -> str:
    """Test pictures with what was said of them: the surest mistakes, and some that are right."""
    wrong, right = examples_of(evidence.outcome, _SHOWN, seed=0)
    numbers = evidence.kind == "number"
    parts = []
    for title, rows, kind in ((("Furthest off" if numbers else "Wrong, the surest first"), wrong, "wrong"),
                              (("Nearest" if numbers else "Right, drawn at random"), right, "right")):  # fmt: skip
        cards = [_card(evidence, one["row"], one["predicted"], one["truth"], kind) for one in rows]
        if any(cards):
            parts.append(f'<h3>{title}</h3><div class="cards">{"".join(cards)}</div>')
    return "".join(parts)


def confused(evidence: Evidence) -> str:
    """The pairs of labels that are confused most: pictures that were, beside some of both labels that were not."""
    found = evidence.metrics.get("confusion_matrix") or confusion(evidence.outcome)
    if not found:
        return ""
    outcome, predicted = evidence.outcome, evidence.outcome.predicted()
    places = {name: at for at, name in enumerate(outcome.labels)}
    parts = []
    for pair in found["most_confused"][:_PAIRS]:
        true, said = places[pair["truth"]], places[pair["predicted"]]
        mistaken = np.flatnonzero((outcome.truth == true) & (predicted == said))
        cards = [_card(evidence, int(at), pair["predicted"], pair["truth"], "wrong") for at in mistaken[:_OF_PAIR]]
        for label in (true, said):
            hits = np.flatnonzero((outcome.truth == label) & (predicted == label))[:_OF_PAIR]
            name = outcome.labels[label]
            cards += [_card(evidence, int(at), name, name, "right") for at in hits]
        title = f"{text(pair['truth'])} taken for {text(pair['predicted'])}: {text(pair['count'])}"
        parts.append(f'<h3>{title}</h3><div class="cards">{"".join(cards)}</div>')
    if not parts:
        return ""
    note = "First those that were confused, then some of either label that were not."
    return f'<p class="soft small">{note}</p>{"".join(parts)}'


def looked(evidence: Evidence) -> str:
    """Which parts of some test pictures the answers were made of."""
    if not evidence.looks:
        return ""
    outcome, cards = evidence.outcome, []
    for look in evidence.looks:
        rows = np.array([look.row])
        given, true = (said(outcome.named(values[rows])[0]) for values in (outcome.predicted(), outcome.truth))
        kind = "" if evidence.kind == "number" else "right" if given == true else "wrong"
        picture = drawing.to_uri(drawing.heat(look.pixels, look.heat), _LOOK_SIDE)
        cards.append(_framed(picture, text(given), text(true), kind, _sure(evidence, look.row)))
    note = (
        "Red is what the answer was made of (Grad-CAM, or attention from layer to layer for transformers). Where that "
        "is the background, a frame or a stamp, the model may have learned those, and fail on pictures without them."
    )
    return f'<p class="soft small">{note}</p><div class="cards large">{"".join(cards)}</div>'


def _card(evidence: Evidence, at: int, said: str, true: str, kind: str) -> str:
    picture = evidence.picture(at)
    return "" if picture is None else _framed(picture, text(said), text(true), kind, _sure(evidence, at))


def _sure(evidence: Evidence, at: int) -> str:
    """The probability of what was said of a test row, where one label was."""
    return f"{100 * evidence.outcome.scores[at].max():.0f} %" if evidence.kind == "label" else ""


def _framed(picture: str, said: str, true: str, kind: str, sure: str = "") -> str:
    """A picture with what was said of it, and the truth where that is something else."""
    beside = f' <span class="soft">{sure}</span>' if sure else ""
    words = f"<b>{said}</b>{beside}" + (f"<br>is {true}" if said != true else "")
    return f'<figure class="{kind}"><img src="{picture}" alt=""><figcaption>{words}</figcaption></figure>'
