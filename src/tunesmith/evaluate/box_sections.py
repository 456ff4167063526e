"""The parts of report and card that are about boxes in pictures."""

from __future__ import annotations

import numpy as np

from tunesmith.core.errors import DataError
from tunesmith.data.pictures import read_picture
from tunesmith.evaluate import charts, drawing, page, words
from tunesmith.evaluate.boxes import Boxes, BoxMatches, overlaps
from tunesmith.evaluate.evidence import Evidence
from tunesmith.evaluate.page import text

_SHOWN = 9
_SIDE = 420
"""Pixels of the longer side of a picture on the page."""
_NAMED = 6
"""Boxes on a picture, up to which each says its label."""
_POINTS = 300
"""Of a curve."""


def shown(evidence: Evidence) -> str:
    """Test pictures with the boxes that were given, and the true ones: first those with most mistakes."""
    test = evidence.test
    if not isinstance(test, BoxMatches):
        return ""
    mistakes = [_mistakes(test.truth[row], test.answers(row)) for row in range(len(test))]
    order = sorted(range(len(test)), key=lambda row: -sum(mistakes[row]))
    parts = []
    for row in [*order[: _SHOWN - 3], *order[-3:]] if len(order) > _SHOWN else order:
        try:
            pixels = np.asarray(read_picture(evidence.row(row)["image"]))
        except (DataError, KeyError):  # it was there when the run began
            continue
        missed, wrong = mistakes[row]
        told = f"{missed} missed, {wrong} wrong" if missed or wrong else "all right"
        kind = "wrong" if missed or wrong else "right"
        name = text(evidence.test_inputs[row])
        parts.append(
            f'<figure class="{kind}"><img src="{_drawn(pixels, test, row)}" alt="{name}">'
            f'<figcaption><b>{told}</b><br><span class="soft">{name}</span></figcaption></figure>'
        )
    if not parts:
        return ""
    note = (
        "Coloured: boxes that were found, with how sure they are. White: the true ones. A box counts as wrong here "
        "where it overlaps no true one of its label by half. Most mistaken pictures first; the last three are the best."
    )
    return f'<p class="soft small">{note}</p>{page.legend(test.label_names)}<div class="figures">{"".join(parts)}</div>'


def precision_recall(evidence: Evidence) -> str:
    """Curves by label, and what each label is found with."""
    test = evidence.test
    if not isinstance(test, BoxMatches) or not len(test):
        return ""
    data, rows = [], []
    for at, row in enumerate(test.per_class()):
        recall, precision, _ = test.precision_recall(at)
        if row["support"] and len(recall):
            some = np.unique(np.linspace(0, len(recall) - 1, min(len(recall), _POINTS)).astype(int))
            colour = drawing.hexadecimal(at)
            data.append(charts.line(recall[some], precision[some], charts.plain(row["label"]), colour, width=2))
        spread = words.interval({"low": row["ap_low"], "high": row["ap_high"]}) if "ap_low" in row else "–"
        others = (words.number(row[name]) for name in ("ap50", "precision", "recall"))
        rows.append(
            (text(row["label"]), words.number(row["ap"]), spread, *others, text(row["support"]), text(row["predicted"]),
             words.number(row["threshold"]))
        )  # fmt: skip
    head = ("label", ("AP 50:95", "n"), ("95 % interval", "n"), ("AP 50", "n"), ("precision", "n"), ("recall", "n"),
            ("true", "n"), ("found", "n"), ("from a score of", "n"))  # fmt: skip
    layout = charts.axes("share found (recall)", "share right (precision)")
    layout["xaxis"] |= {"range": [0, 1.01]}
    layout["yaxis"] |= {"range": [0, 1.02]}
    note = (
        "A box is right where it overlaps a true one of its label by half at least. Precision and recall in the table "
        "are those of the answers, from a score on that is best (F1) on validation pictures; "
        "intervals are over pictures."
    )
    chart = page.chart({"data": data, "layout": layout}) if data else ""
    return f'<p class="soft small">{note}</p>{chart}{page.table(head, rows, fold=True)}'


def _mistakes(truth: Boxes, given: Boxes) -> tuple[int, int]:
    """(true boxes that were missed, boxes that are wrong)."""
    near = (overlaps(given.boxes, truth.boxes) >= 0.5) & (given.labels[:, None] == truth.labels)
    alone = ~truth.crowd
    return int((~near.any(0) & alone).sum()), int((~near.any(1)).sum())


def _drawn(pixels: np.ndarray, test: BoxMatches, row: int) -> str:
    given, truth = test.answers(row), test.truth[row]
    names = test.label_names if len(given) <= _NAMED else [""] * len(test.label_names)  # their colours say them too
    told = [f"{names[label]} {score:.2f}".strip() for label, score in zip(given.labels, given.scores, strict=True)]
    share = _SIDE / max(pixels.shape[:2])
    drawn = drawing.boxes(
        drawing.resized(pixels, _SIDE), share * given.boxes, given.labels.tolist(), told, share * truth.boxes
    )
    return drawing.to_uri(drawn)


def plain(evidence: Evidence) -> list[str]:
    """Lines of Python that use the model in plain transformers."""
    return [
        "from PIL import Image",
        "from transformers import AutoImageProcessor, AutoModelForObjectDetection",
        "",
        'model = AutoModelForObjectDetection.from_pretrained("path/to/this/folder")',
        'processor = AutoImageProcessor.from_pretrained("path/to/this/folder", backend="pil")',
        'picture = Image.open("picture.jpg").convert("RGB")',
        'answers = model(**processor(picture, return_tensors="pt"))',
        "sizes = [(picture.height, picture.width)]",
        "print(processor.post_process_object_detection(answers, threshold=0.3, target_sizes=sizes)[0])",
        "# doubles are left in, which tunesmith.load takes out",
    ]
