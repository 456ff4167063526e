"""Networks that read pictures, with a head that gives one answer for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from tunesmith.core.errors import ModelError
from tunesmith.core.events import Emit, ignore
from tunesmith.models import catalog
from tunesmith.models.additions import teach_additions
from tunesmith.models.bundle import VisionBundle
from tunesmith.models.guard import loading
from tunesmith.models.heads import network_with_head, own_order, settle_head
from tunesmith.models.manifest import check_manifest
from tunesmith.models.pretrained import fingerprint, load_network, quiet_transformers
from tunesmith.models.processor import PictureProcessor, read_processor
from tunesmith.models.safety import check_folder
from tunesmith.models.senses import refuse_other_sense
from tunesmith.models.vision import VisionModel


def load_vision_base(
    name: str, *, label_names: Sequence[str], problem_type: str, dropout: float = 0.0, emit: Emit = ignore
) -> VisionBundle:
    """The base model called `name` with a head of `len(label_names)` outputs, in float32: a new one, or its own
    in our order where it was trained on the same labels.

    `problem_type` is transformers' word for the kind of head. Raises ModelError when the model is unknown, unsafe,
    reads no pictures, or its file lacks weights of its body.
    """
    source = catalog.fetch(name, emit)
    assert source.folder is not None
    config = check_vision_model(source.folder, name, emit)
    processor = read_processor(source.folder, name)
    teach_additions(source.folder)
    from transformers import AutoModelForImageClassification

    network, new = network_with_head(AutoModelForImageClassification, source, label_names, problem_type, dropout)
    model = VisionModel(network)
    order = own_order(config, label_names, "ForImageClassification")
    if f"{model.head_name}.weight" in new:
        order = None
    else:
        settle_head(model, order)
    _check_fit(model, processor, source.folder)
    return VisionBundle(
        model=model, tokenizer=None, processor=processor, name=source.name, fingerprint=fingerprint(source.folder),
        position_limit=0, kind="vision", licence=source.entry.licence if source.entry else None,
        zero_shot=None if order is None else "head",
    )  # fmt: skip


def load_vision_finished(folder: Path) -> VisionBundle:
    """A model that a run saved. Raises ModelError when its files are not whole, or not as they were saved."""
    check_manifest(folder)
    check_folder(folder, str(folder))
    processor = read_processor(folder, str(folder))
    teach_additions(folder)
    from transformers import AutoModelForImageClassification

    network = load_network(AutoModelForImageClassification, folder, dtype="float32")
    with loading(folder):
        model = VisionModel(network).eval()
    return VisionBundle(
        model=model, tokenizer=None, processor=processor, name=folder.name, fingerprint=fingerprint(folder),
        position_limit=0, folder=folder, kind="vision",
    )  # fmt: skip


def check_vision_model(folder: Path, name: str, emit: Emit = ignore) -> dict[str, Any]:
    """The config, if this is a safe model that reads pictures and can carry a classification head."""
    config = check_folder(folder, name, emit)
    refuse_other_sense(config, name, "pictures", f"Models that fit: {', '.join(catalog.aliases('vision'))}.")
    check_channels(config, name)
    return config


def check_channels(config: Mapping[str, Any], name: str) -> None:
    """Raises ModelError for a network that reads other pictures than those in red, green and blue."""
    if config.get("num_channels", 3) != 3:
        raise ModelError(
            f"The model {name!r} reads pictures of {config['num_channels']} channels, and these have three: red, green "
            "and blue.", "Choose one for colour pictures.",
        )  # fmt: skip


def save_vision_model(bundle: VisionBundle, folder: Path, **_: object) -> None:
    """Write the finished model as a plain transformers folder: config, safetensors, preprocessor_config.json."""
    assert bundle.processor is not None
    with quiet_transformers():
        bundle.model.fold().save_pretrained(folder)
    bundle.processor.save(folder)


@torch.no_grad()
def _check_fit(model: VisionModel, processor: PictureProcessor, folder: Path) -> None:
    """Raises ModelError where the network can not read pictures as its processor makes them."""
    training = model.training
    with loading(folder):
        blank = {"pixel_values": torch.zeros(1, 3, processor.height, processor.width)}
        shapes = model.eval().features(blank).shape, model(blank).shape
    model.train(training)
    if shapes != ((1, model.head.in_features), (1, model.head.out_features)):
        raise ModelError(
            f"The head of {folder.name} reads {list(shapes[0])} and gives {list(shapes[1])} for one picture; expected "
            f"one vector of {model.head.in_features} and {model.head.out_features} outputs."
        )


class Vision:
    """See `models.bundle.Loader`."""

    bases = "vision"
    fits = staticmethod(check_vision_model)
    base = staticmethod(load_vision_base)
    finished = staticmethod(load_vision_finished)
    save = staticmethod(save_vision_model)
