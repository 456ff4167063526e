"""Options of tasks that learn from pictures, and what is chosen where they leave it to us."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from tunesmith.core.events import Decided, Emit
from tunesmith.core.options import Options
from tunesmith.core.spec import Words
from tunesmith.engine.augment import Flip, Level, of_level
from tunesmith.engine.encoded import EncodedItems
from tunesmith.engine.invariance import Ask
from tunesmith.engine.pixels import DecodedAnew, EncodedPictures


class AugmentOptions(Options):
    augment: Literal["auto"] | Level = "auto"
    """How far training pictures are changed at random, anew in every epoch: none, light (crops, a little brightness),
    standard (also turned by up to 10 degrees, colours, parts erased), strong (also two operations of RandAugment);
    auto is standard."""
    flip: Literal["auto"] | Flip = "auto"
    """How training pictures may be mirrored. Never where labels depend on it, as those of digits, text and signs do;
    auto asks a linear head on the frozen base whether its answers stay the same."""
    tta: Flip = "none"
    """Test-time flips: answers are those to a picture and to its mirror images together, also in the saved model, and
    take as many times longer. Probabilities are averaged, boxes that overlap are fused."""


class PictureOptions(AugmentOptions):
    """Of tasks with one answer for a picture."""

    mixup: float = Field(default=0.0, ge=0)
    """Pictures of a batch are blended in pairs, and so are their targets: alpha of the Beta distribution that their
    shares are drawn from (mixup, Zhang et al. 2018; 0.2 is usual); 0: not at all."""
    cutmix: float = Field(default=0.0, ge=0)
    """The same with a part of one picture put into another (CutMix, Yun et al. 2019; 1.0 is usual). With both, each in
    half of the batches."""


def settle_augmentation(rows: EncodedItems, options: AugmentOptions, ask: Ask | None, emit: Emit) -> Words:
    """How the training batches of `rows` are changed from here on; the options that were chosen, by name.

    `ask`: None where labels can not depend on which way round a picture is, or no linear head gives them.
    """
    assert isinstance(rows, EncodedPictures)
    if isinstance(rows.pixels, DecodedAnew):
        size = f"{math.prod(rows.pixels.shape) / 1e9:,.0f} GB"
        emit(Decided("decoded", "anew for each batch", f"{len(rows):,} pictures would take {size} of the disk at once"))
    level = options.augment
    if level == "auto":
        level = "standard"
        emit(Decided("augment", level, "training pictures are changed at random in every epoch; --augment none if not"))
    flip: Flip = "none"
    if options.flip != "auto":
        flip = options.flip
    elif level != "none":
        flip, why = ("horizontal", "what stands left may stand right") if ask is None else _flips(rows, ask)
        emit(Decided("flip", flip, why))
    rows.augmentation = of_level(level, flip)
    if isinstance(options, PictureOptions):
        rows.mixup, rows.cutmix = options.mixup, options.cutmix
    return {"augment": level, "flip": flip}


def _flips(rows: EncodedPictures, ask: Ask) -> tuple[Flip, str]:
    """In which mirrors labels stay what they are, and the numbers that say so."""
    across, upside = ask(rows.mirrored(2)), ask(rows.mirrored(1))
    values = {"as they are": across.plain, "left for right": across.changed, "upside down": upside.changed}
    numbers = ", ".join(f"{value:.3f} {how}" for how, value in values.items())
    why = f"{across.metric.replace('_', ' ')} of a linear head on the frozen base: {numbers} ({across.rows} training "
    flip: Flip = "none"
    if across.holds:
        flip = "both" if upside.holds else "horizontal"
    elif upside.holds:
        flip = "vertical"
    return flip, why + "pictures, which it was not fitted to)"
