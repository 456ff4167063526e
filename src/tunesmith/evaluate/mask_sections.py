"""The parts of report and card about masks: classes with their intervals, test pictures with masks laid over."""

from __future__ import annotations

import numpy as np
from PIL import Image

from tunesmith.core.errors import DataError
from tunesmith.data.masks import IGNORED
from tunesmith.data.pictures import read_picture
from tunesmith.evaluate import drawing, page, words
from tunesmith.evaluate.evidence import Evidence
from tunesmith.evaluate.masks import MaskCounts, resized, truth_map
from tunesmith.evaluate.metrics import masks as metrics
from tunesmith.evaluate.page import text

_WORST, _OTHERS = 10, 6
"""Test pictures that are shown: those with the least IoU, and some from the worst to the best."""
_SIDE = 240
_WRONG = 3
"""The colour of places that are wrong: red."""
_CONFUSED = 10


def classes(evidence: Evidence) -> str:
    """One row a class, the weakest first, with intervals over pictures; and what is taken for what."""
    test = evidence.test
    rows = evidence.metrics.get("per_class") or []
    if not isinstance(test, MaskCounts) or not rows:
        return ""
    whole = sum(row.get("pixels", 0) for row in rows) or 1
    body: list[tuple[page.Cell, ...]] = [
        (text(row["label"]), (f'<span style="width:{100 * row["iou"]:.1f}%"></span>', "bar"),
         words.number(row["iou"]), _interval(row, "iou"), words.number(row["f1"]), _interval(row, "f1"),
         words.number(row["precision"]), words.number(row["recall"]), f"{100 * row['pixels'] / whole:.2f} %",
         text(row["support"]))
        for row in sorted(rows, key=lambda row: row["iou"])
    ]  # fmt: skip
    head = ("class", "", ("IoU", "n"), ("95 % interval", "n"), ("Dice", "n"), ("95 % interval", "n"),
            ("precision", "n"), ("recall", "n"), ("of all pixels", "n"), ("pictures", "n"))  # fmt: skip
    note = (
        '<p class="soft small">Pixels are counted at the size of the true masks, whatever size the network reads; '
        "intervals are over pictures. The weakest class first.</p>"
    )
    return note + page.table(head, body, fold=True) + _confused(test)


def _interval(row: dict[str, float], name: str) -> str:
    if f"{name}_low" not in row:
        return "–"
    return words.interval({"low": row[f"{name}_low"], "high": row[f"{name}_high"]})


def _confused(test: MaskCounts) -> str:
    if test.confused is None:
        return ""
    wrong = test.confused.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong.ravel(), kind="stable")[:_CONFUSED]
    pairs = [divmod(int(at), len(wrong)) for at in order if wrong.ravel()[at]]
    total = test.confused.sum(axis=1)
    rows = [
        (text(test.classes[true]), text(test.classes[said]), f"{wrong[true, said]:,}",
         f"{100 * wrong[true, said] / total[true]:.1f} %")
        for true, said in pairs
    ]  # fmt: skip
    head = ("truth", "given", ("pixels", "n"), ("of the class", "n"))
    return f"<h3>Most confused</h3>{page.table(head, rows)}" if rows else ""


def pictures(evidence: Evidence) -> str:
    """Test pictures, the worst first: as they are, with the true mask, that of the model, and where it is wrong."""
    test = evidence.test
    if not isinstance(test, MaskCounts) or test.given is None or test.truth is None or not len(test):
        return ""
    values = np.nan_to_num(metrics.TABLE["miou"].function(test.sums["miou"]), nan=1.0)
    order = np.argsort(values, kind="stable")
    spread = order[np.linspace(0, len(order) - 1, _OTHERS).astype(int)]
    chosen = list(dict.fromkeys([*order[:_WORST].tolist(), *spread.tolist()]))
    shown = "".join(filter(None, (_row(evidence, test, at, float(values[at])) for at in chosen)))
    if not shown:
        return ""
    plain = _plain(test)
    note = (
        "The pictures with the least IoU first, then some of all others. Red is where the model is wrong; "
        f"<b>{text(test.classes[plain])}</b> has no colour."
    )
    return f'<p class="soft small">{note}</p>{page.legend(test.classes, plain)}{shown}'


def _plain(test: MaskCounts) -> int:
    """The class that is left without a colour: the most frequent one."""
    return int(metrics.parts(test.sums["miou"].sum(axis=0)[None])[2][0].argmax())


def _row(evidence: Evidence, test: MaskCounts, at: int, value: float) -> str:
    assert test.given is not None
    assert test.truth is not None
    try:
        image = read_picture(evidence.row(at)["image"])
        wanted = truth_map(test.truth[at], {name: place for place, name in enumerate(test.classes)})
    except DataError:  # both were there when they were counted
        return ""
    scale = _SIDE / max(image.size)
    size = max(1, round(scale * image.width)), max(1, round(scale * image.height))
    pixels = np.asarray(image.resize(size))
    wanted = np.asarray(Image.fromarray(wanted).resize(size, Image.Resampling.NEAREST))
    given, plain = resized(test.given[at], pixels.shape), _plain(test)
    wrong = np.where((wanted != IGNORED) & (given != wanted), np.uint8(_WRONG), np.uint8(IGNORED))
    parts = [pixels, drawing.masks(pixels, wanted, plain=plain), drawing.masks(pixels, given, plain=plain),
             drawing.masks(pixels.mean(2, keepdims=True).repeat(3, 2), wrong, share=0.8)]  # fmt: skip
    name = evidence.test_inputs[at] if at < len(evidence.test_inputs) else str(at)
    shown = "".join(
        f'<figure><img src="{drawing.to_uri(part)}" alt=""><figcaption class="soft">{title}</figcaption></figure>'
        for title, part in zip(("picture", "truth", "model", "wrong"), parts, strict=True)
    )
    return (
        f'<div class="masks"><div class="said"><b>{text(name, 80)}</b>'
        f'<span>mean IoU <b>{words.number(value)}</b></span></div><div class="four">{shown}</div></div>'
    )


def plain(evidence: Evidence) -> list[str]:
    """Lines of Python that use the model in plain transformers."""
    return [
        "import tunesmith.models.segmenter  # needed where config.json says tunesmith_segmenter",
        "from PIL import Image",
        "from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation",
        "",
        'model = AutoModelForSemanticSegmentation.from_pretrained("path/to/this/folder")',
        'processor = AutoImageProcessor.from_pretrained("path/to/this/folder")',
        'image = Image.open("picture.jpg").convert("RGB")',
        'outputs = model(**processor(image, return_tensors="pt"))',
        "sizes = [(image.height, image.width)]",
        "print(processor.post_process_semantic_segmentation(outputs, target_sizes=sizes)[0])  # class numbers",
    ]
