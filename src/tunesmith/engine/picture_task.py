"""What tasks with one answer for a picture share, whatever that answer is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tunesmith.core.events import Emit
from tunesmith.core.spec import Words
from tunesmith.engine.augment import Flip
from tunesmith.engine.augment_options import PictureOptions, settle_augmentation
from tunesmith.engine.encoded import EncodedItems
from tunesmith.engine.invariance import Ask
from tunesmith.engine.protocols import PredictiveTask
from tunesmith.models.bundle import Bundle
from tunesmith.models.vision import VisionModel

_MIRRORS: dict[Flip, tuple[tuple[int, ...], ...]] = {
    "none": (), "horizontal": ((3,),), "vertical": ((2,),), "both": ((3,), (2,), (2, 3)),
}  # fmt: skip


class PictureTask(PredictiveTask):
    """Stands before the class that says what is learned: `class ImageClassification(PictureTask, Classification)`."""

    modality: ClassVar[str] = "image"
    loader: ClassVar[str] = "vision"
    options: PictureOptions
    _tta: Flip | None = None
    """Of a saved model."""

    def load(self, model: str, emit: Emit) -> Bundle:
        bundle = super().load(model, emit)  # type: ignore[safe-super]  # of the class behind it
        self.equip(bundle)
        return bundle

    def equip(self, bundle: Bundle) -> None:
        if isinstance(bundle.model, VisionModel):
            bundle.model.mirrors = _MIRRORS[self._tta or self.options.tta]

    def settle_rows(self, rows: EncodedItems, ask: Ask | None, emit: Emit) -> Words:
        return settle_augmentation(rows, self.options, ask, emit)

    def state(self) -> dict[str, Any]:
        return {**super().state(), "tta": self._tta or self.options.tta}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self._tta = state.get("tta", "none")  # models of earlier versions have none
