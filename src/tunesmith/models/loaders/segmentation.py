"""Networks that give a class for each pixel: ours on any base with maps of features, and those of transformers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tunesmith.core.errors import ModelError
from tunesmith.core.events import Decided, Emit, ignore
from tunesmith.models import catalog
from tunesmith.models.bundle import Bundle
from tunesmith.models.heads import network_with_outputs, own_order, set_labels
from tunesmith.models.loaders.vision import check_channels, save_vision_model
from tunesmith.models.manifest import check_manifest
from tunesmith.models.pretrained import fingerprint, load_network
from tunesmith.models.safety import check_folder, read_config
from tunesmith.models.segmentation import HEADS, OWN, SegmentationModel
from tunesmith.models.senses import refuse_other_sense
from tunesmith.models.types import Network
from tunesmith.models.whole_picture_processor import whole_picture_processor

SETS = ("maskformer", "mask2former")
"""Types that answer with a set of masks, each with a class."""
USUAL_SIDES = (128, 256)
"""Least and most pixels of the longer side of what our network reads, where nothing is asked."""
_GENTLY = 0.2
_NEW = ("head", "criterion", *HEADS)
"""How the names of weights begin that may be new."""
_PROCESSOR = "SegformerImageProcessor"
"""transformers' processor whose answers are shaped as those of our own network."""


def load_base(
    name: str, *, label_names: Sequence[str], longest: int | None, shape: float, side: float = math.inf,
    dropout: float = 0.0, emit: Emit = ignore,
) -> Bundle[SegmentationModel]:  # fmt: skip
    """The base called `name` with a class of `label_names` for each pixel, in float32: one that does so already with a
    new head, or its own where it was trained on the same classes; on any other our own way up.

    `longest`: pixels of the longer side of what it reads, `side` what suits the pictures where that is None: our own
    network reads as much, within `USUAL_SIDES`; `shape`: of the pictures, width by height. Raises ModelError
    when the model is unknown, unsafe, gives no maps of features, or its file lacks weights of its body.
    """
    source = catalog.fetch(name, emit)
    assert source.folder is not None
    config = check_segmenter(source.folder, name, emit)
    whole = _segments(config)
    own = config["model_type"] == OWN or not whole
    if longest is None and not whole:  # what stands already says its size
        longest = int(min(max(side, USUAL_SIDES[0]), USUAL_SIDES[1]))
    processor = whole_picture_processor(source.folder, name, longest=longest, shape=shape, own=own, usual=_PROCESSOR)
    zero_shot = False
    if whole:
        network = network_with_outputs(_maker(config), source, label_names, lambda key: key.startswith(_NEW))
        zero_shot = own_order(config, label_names, "Segmentation") == list(range(len(label_names)))
        if not zero_shot:
            _new_labels(network, len(label_names))
    else:
        network = _on_top(source, label_names, dropout)
        why = f"{name} gives maps of features; --model may also name a SegFormer or a Mask2Former"
        emit(Decided("segmenter", "U-Net", why))
    emit(Decided("image_size", [processor.height, processor.width], "height and width of what is read of each picture"))
    return Bundle(
        model=SegmentationModel(network, (processor.height, processor.width)), tokenizer=None, processor=processor,
        name=source.name, fingerprint=fingerprint(source.folder), position_limit=0, kind="segmentation",
        licence=source.entry.licence if source.entry else None, zero_shot="head" if zero_shot else None,
    )  # fmt: skip


def load_finished(folder: Path) -> Bundle[SegmentationModel]:
    """A model that a run saved. Raises ModelError when its files are not whole, or not as they were saved."""
    check_manifest(folder)
    config = check_folder(folder, str(folder))
    own = config["model_type"] == OWN
    processor = whole_picture_processor(folder, str(folder), own=own, usual=_PROCESSOR)
    network = load_network(_maker(config), folder, dtype="float32")
    return Bundle(
        model=SegmentationModel(network, (processor.height, processor.width)).eval(), tokenizer=None,
        processor=processor, name=folder.name, fingerprint=fingerprint(folder), position_limit=0, folder=folder,
        kind="segmentation",
    )  # fmt: skip


def check_segmenter(folder: Path, name: str, emit: Emit = ignore) -> dict[str, Any]:
    """The config, if this is a safe model that gives classes for pixels, or that can become one."""
    config = check_folder(folder, name, emit)
    if not _segments(config):
        refuse_other_sense(config, name, "pictures", f"Models that fit: {', '.join(catalog.aliases('vision'))}.")
    check_channels(config, name)
    return config


def rate_factor(folder: Path) -> tuple[float, str]:
    """Of the usual learning rate, which is that of a base below our own way up; and why."""
    try:
        config = read_config(folder, str(folder))
    except ModelError:  # told when it is loaded
        return 1.0, ""
    if config.get("model_type") in (None, OWN) or not _segments(config):
        return 1.0, ""
    return _GENTLY, f"a {config['model_type']} gives classes for pixels already, which larger steps ruin"


def _segments(config: dict[str, Any]) -> bool:
    """Whether transformers has a form of the type that gives classes for pixels, or it is ours. A BEiT or a MobileNet
    that was made to name pictures counts as a base."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES as NAMES

    kind = config["model_type"]
    made_for = str((config.get("architectures") or [""])[0])
    return kind in (OWN, "segformer", *SETS) or (kind in NAMES and made_for.endswith("ForSemanticSegmentation"))


def _maker(config: dict[str, Any]) -> Any:
    from transformers import AutoModelForSemanticSegmentation, AutoModelForUniversalSegmentation

    return AutoModelForUniversalSegmentation if config["model_type"] in SETS else AutoModelForSemanticSegmentation


def _on_top(source: catalog.Source, label_names: Sequence[str], dropout: float) -> Network:
    """Our own way up on a base."""
    from transformers import AutoModel

    from tunesmith.models.segmenter import SegmenterConfig, SegmenterForSemanticSegmentation

    assert source.folder is not None
    body = load_network(AutoModel, source.folder, dtype="float32")
    settings = SegmenterConfig(backbone_config=body.config, classifier_dropout=dropout)
    try:
        network = SegmenterForSemanticSegmentation(set_labels(settings, label_names))
    except ValueError:  # of a network that reads pictures of one size alone
        raise ModelError(
            f"The model {source.name!r} ({body.config.model_type}) gives no maps of features for pictures of any size.",
            "Choose a convolutional one, a Swin, a SegFormer or a Mask2Former.",
        ) from None
    network.backbone.load_state_dict(body.state_dict())
    made: Network = network
    return made


@torch.no_grad()
def _new_labels(network: Network, labels: int) -> None:
    """A head of other classes that happens to fit starts anew."""
    for name, module in network.named_modules():
        if not isinstance(module, nn.Linear | nn.Conv2d) or not name.rpartition(".")[2].startswith("class"):
            continue
        if {labels, labels + 1} & {getattr(module, "out_features", None), getattr(module, "out_channels", None)}:
            module.weight.normal_(0.0, 0.01)
            if module.bias is not None:
                module.bias.zero_()


class Segmentation:
    """See `models.bundle.Loader`."""

    bases = "vision"
    fits = staticmethod(check_segmenter)
    base = staticmethod(load_base)
    finished = staticmethod(load_finished)
    save = staticmethod(save_vision_model)
    rate_factor = staticmethod(rate_factor)
