"""What a run of each method would cost, before it is chosen."""

from __future__ import annotations

from collections.abc import Callable

from tunesmith.core import registry
from tunesmith.core.errors import ModelError
from tunesmith.core.spec import RunSpec
from tunesmith.data.prepared import PreparedData
from tunesmith.engine import speed
from tunesmith.models import catalog
from tunesmith.models.lengths import CHARACTERS_PER_TOKEN, USUAL
from tunesmith.runs import choose


def forecast_of(model: str, data: PreparedData, spec: RunSpec) -> Callable[[str], dict[str, float] | None]:
    """Time, memory and disk of a run of a method, by its name, from the model's size alone; None when that is not
    known here. What lies beyond the limit of `spec` is not read, and costs nothing."""
    epochs = spec.options.get("epochs")
    if not data.modality.in_tokens:
        return lambda method: None
    try:
        size = catalog.size_of(catalog.find(model))
    except ModelError:
        size = None
    most = (spec.options.get("max_length") or USUAL) * CHARACTERS_PER_TOKEN
    characters = choose.letters(data, slice(None), most)[1]
    train = len(data.splits["train"])

    def of(method: str) -> dict[str, float] | None:
        if size is None:
            return None
        return speed.run_cost(
            size, frozen_body=registry.get("methods", method).frozen_body,
            epochs=choose.epochs_of(method, train) if epochs is None else epochs,
            rows=len(data.rows), train_rows=train, characters=characters,
        )  # fmt: skip

    return of
