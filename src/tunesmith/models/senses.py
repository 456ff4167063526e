"""What a type of model reads, texts or pictures, so that none is given the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from tunesmith.core.errors import ModelError
from tunesmith.models.own_types import TABLE as OWN_TYPES

Sense = Literal["texts", "pictures"]
_NO_HEAD = {
    "texts": "has no form that gives one answer for a whole text",
    "pictures": "has no form that gives one answer for a whole picture",
}


def refuse_other_sense(config: dict[str, Any], name: str, wanted: Sense, fix: str) -> None:
    """Raises ModelError for a model that transformers does not know, that reads something else than `wanted`, or that
    can carry no classification head. `config` is its config.json."""
    from transformers.models.auto import modeling_auto as auto
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    model_type = config["model_type"]
    if model_type not in CONFIG_MAPPING:
        needs_code = " and its own code is not run" if "auto_map" in config else ""
        raise ModelError(f"transformers does not know the model type {model_type!r} of {name!r}{needs_code}.", fix)
    if wanted == "pictures" and model_type in OWN_TYPES:
        return
    with_head = {
        "texts": auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
        "pictures": auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
    }
    if model_type in with_head[wanted]:
        return
    reads: dict[Sense, tuple[Mapping[str, object], ...]] = {
        "texts": (with_head["texts"], auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
                  auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES),
        "pictures": (with_head["pictures"], OWN_TYPES, auto.MODEL_FOR_IMAGE_MAPPING_NAMES,
                     auto.MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES),
    }  # fmt: skip
    other = next(
        (sense for sense, tables in reads.items() if sense != wanted and any(model_type in t for t in tables)), None
    )
    if other:
        raise ModelError(f"The model {name!r} ({model_type}) reads {other}, and this task reads {wanted}.", fix)
    raise ModelError(f"The model {name!r} ({model_type}) {_NO_HEAD[wanted]}.", fix)
