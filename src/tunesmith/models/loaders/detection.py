"""Networks that find boxes: ours on any base that gives maps of features, and those of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tunesmith.core.errors import ModelError
from tunesmith.core.events import Decided, Emit, ignore
from tunesmith.models import catalog
from tunesmith.models.bundle import Bundle
from tunesmith.models.detection import HEADS, DetectionModel
from tunesmith.models.heads import network_with_outputs, own_order, set_labels
from tunesmith.models.loaders.vision import check_channels, save_vision_model
from tunesmith.models.manifest import check_manifest
from tunesmith.models.model_json import read_object
from tunesmith.models.pretrained import fingerprint, load_network
from tunesmith.models.safety import check_folder
from tunesmith.models.senses import refuse_other_sense
from tunesmith.models.types import Network
from tunesmith.models.whole_picture_processor import whole_picture_processor

OWN = "tunesmith_detector"
_TRANSFORMER_RATE = 0.1
"""Of our own detector's rate: 1e-4, as DETR and RT-DETR were trained with."""


def load_base(
    name: str, *, label_names: Sequence[str], longest: int | None, usual: int, shape: float, emit: Emit = ignore
) -> Bundle[DetectionModel]:
    """The base called `name` as a detector of `label_names`, in float32: one that is a detector already with a new
    head, or its own where it was trained on the same labels; on any other our own detector.

    `longest`: pixels of the longer side of what it reads; None: as it was made for, or `usual` of our own. `shape`: of
    the pictures, width by height. Raises ModelError when the model is unknown, unsafe, gives no maps of features, or
    its file lacks weights of its body.
    """
    source = catalog.fetch(name, emit)
    assert source.folder is not None
    config = check_detector(source.folder, name, emit)
    catalog.check_weights(source)
    finds = _finds_boxes(config)
    own = config["model_type"] == OWN or not finds
    processor = whole_picture_processor(
        source.folder, name, longest=longest or (None if finds else usual), shape=shape, own=own
    )
    zero_shot = False
    if finds:
        from transformers import AutoModelForObjectDetection

        network = network_with_outputs(AutoModelForObjectDetection, source, label_names, _of_head)
        zero_shot = own_order(config, label_names, "ForObjectDetection") == list(range(len(label_names)))
        if not zero_shot:
            _new_labels(network, len(label_names))
    else:
        network = _on_top(source, label_names)
        why = f"{name} gives maps of features; --model may also name a detector, such as an RT-DETR"
        emit(Decided("detector", "dense, anchor-free", why))
    emit(Decided("image_size", [processor.height, processor.width], "height and width of what is read of each picture"))
    return Bundle(
        model=DetectionModel(network), tokenizer=None, processor=processor, name=source.name,
        fingerprint=fingerprint(source.folder), position_limit=0, kind="detection",
        licence=source.entry.licence if source.entry else None, zero_shot="head" if zero_shot else None,
    )  # fmt: skip


def load_finished(folder: Path) -> Bundle[DetectionModel]:
    """A model that a run saved. Raises ModelError when its files are not whole, or not as they were saved."""
    check_manifest(folder)
    config = check_folder(folder, str(folder))
    processor = whole_picture_processor(folder, str(folder), own=config["model_type"] == OWN)
    from transformers import AutoModelForObjectDetection

    network = load_network(AutoModelForObjectDetection, folder, dtype="float32")
    return Bundle(
        model=DetectionModel(network).eval(), tokenizer=None, processor=processor, name=folder.name,
        fingerprint=fingerprint(folder), position_limit=0, folder=folder, kind="detection",
    )  # fmt: skip


def check_detector(folder: Path, name: str, emit: Emit = ignore) -> dict[str, Any]:
    """The config, if this is a safe model that finds boxes, or on which a detector can stand."""
    config = check_folder(folder, name, emit)
    if not _finds_boxes(config):
        refuse_other_sense(config, name, "pictures", f"Models that fit: {', '.join(catalog.aliases('vision'))}.")
    check_channels(config, name)
    return config


def rate_factor(folder: Path) -> tuple[float, str]:
    """Of the usual learning rate, which is that of our own detector with its new head; and why."""
    try:
        config = read_object(folder / "config.json") if (folder / "config.json").exists() else {}
    except ModelError:  # told when it is loaded
        config = {}
    if not config.get("model_type") or config["model_type"] == OWN or not _finds_boxes(config):
        return 1.0, ""
    return (
        _TRANSFORMER_RATE,
        f"a {config['model_type']} is a transformer that finds boxes already, which larger steps ruin",
    )


def _finds_boxes(config: dict[str, Any]) -> bool:
    from transformers.models.auto.modeling_auto import MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES

    return config["model_type"] == OWN or config["model_type"] in MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES


def _of_head(key: str) -> bool:
    return any(f"{part}." in key for part in ("head.labels", *HEADS))


def _on_top(source: catalog.Source, label_names: Sequence[str]) -> Network:
    """Our own detector on a base."""
    from transformers import AutoModel

    from tunesmith.models.detector import DetectorConfig, DetectorForObjectDetection

    assert source.folder is not None
    body = load_network(AutoModel, source.folder, dtype="float32")
    try:
        network = DetectorForObjectDetection(set_labels(DetectorConfig(backbone_config=body.config), label_names))
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"No detector can stand on {source.name!r} ({body.config.model_type}): {error}.",
            f"Models that fit: {', '.join(catalog.aliases('vision'))}; a ResNet, a ConvNeXT, an RT-DETR, a DETR.",
        ) from None
    network.backbone.load_state_dict(body.state_dict())
    made: Network = network
    return made


def _new_labels(network: Network, labels: int) -> None:
    """A head of other labels that happens to fit starts anew."""
    for name, module in network.named_modules():
        sizes = getattr(module, "out_features", None), getattr(module, "out_channels", None)
        if ("class" in name or name == "head.labels") and {labels, labels + 1} & set(sizes):
            with torch.no_grad():
                assert isinstance(module, nn.Linear | nn.Conv2d)
                module.weight.normal_(0.0, 0.01)
                if module.bias is not None:
                    module.bias.copy_(module.bias.mean())  # of a network on no device too


class Detection:
    """See `models.bundle.Loader`."""

    bases = "vision"
    fits = staticmethod(check_detector)
    base = staticmethod(load_base)
    finished = staticmethod(load_finished)
    save = staticmethod(save_vision_model)
    rate_factor = staticmethod(rate_factor)
