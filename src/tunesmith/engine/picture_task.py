"""What tasks on pictures share, whatever is learned of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tunesmith.core.events import Emit
from tunesmith.core.spec import Words
from tunesmith.engine.augment import Flip
from tunesmith.engine.augment_options import AugmentOptions, PictureOptions, settle_augmentation
from tunesmith.engine.encoded import EncodedItems
from tunesmith.engine.invariance import Ask
from tunesmith.engine.protocols import PredictiveTask
from tunesmith.models.bundle import Bundle
from tunesmith.models.mirrors import HEIGHT, WIDTH, Axes, Mirrored

_MIRRORS: dict[Flip, tuple[Axes, ...]] = {
    "none": (), "horizontal": ((WIDTH,),), "vertical": ((HEIGHT,),), "both": ((WIDTH,), (HEIGHT,), (HEIGHT, WIDTH)),
}  # fmt: skip


class SeenTask(PredictiveTask):
    """Learns from pictures that are changed at random, and may look at mirror images of those that are asked."""

    modality: ClassVar[str] = "image"
    options: AugmentOptions
    _tta: Flip | None = None
    """Of a saved model."""

    def equip(self, bundle: Bundle) -> None:
        if isinstance(bundle.model, Mirrored):
            bundle.model.mirrors = _MIRRORS[self._tta or self.options.tta]

    def settle_rows(self, rows: EncodedItems, ask: Ask | None, emit: Emit) -> Words:
        return settle_augmentation(rows, self.options, ask, emit)

    def state(self) -> dict[str, Any]:
        return {**super().state(), "tta": self._tta or self.options.tta}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self._tta = state.get("tta", "none")  # models of earlier versions have none


class PictureTask(SeenTask):
    """With one answer for a picture. Stands before the class that says what is learned: `class
    ImageClassification(PictureTask, Classification)`."""

    loader: ClassVar[str] = "vision"
    batch_rows: ClassVar[tuple[int, int]] = (16, 32)
    method_defaults: ClassVar[Mapping[str, tuple[float, int]]] = {
        "full": (1e-3, 15), "gradual": (1e-3, 15), "lora": (2e-3, 15), "scratch": (2e-3, 20),
    }  # fmt: skip
    """1,000 photographs of hands, ten signs: from random weights, 64 pixels, 0.87 of 300 right after 20 epochs at 3e-4,
    0.95 at 2e-3. Ten of each sign on EfficientNet-Lite0: 0.87 of 200 after ten epochs of `full` at 1e-3 (a linear head:
    0.73)."""
    trusts_few_rows: ClassVar[bool] = False
    """Ten pictures for each of ten hand signs: on the ten that chose, the first epochs were worse than the start, and
    training ended there; at its end 0.84 to 0.87 of 200 test pictures were right, at the start 0.73."""
    options: PictureOptions

    def load(self, model: str, emit: Emit) -> Bundle:
        bundle = super().load(model, emit)  # type: ignore[safe-super]  # of the class behind it
        self.equip(bundle)
        return bundle
