"""Types of networks that transformers does not have and Tunesmith brings."""

from __future__ import annotations

import importlib

TABLE = {
    "efficientnet_lite": "tunesmith.models.efficientnet_lite",
    "tunesmith_module": "tunesmith.models.module_network",
    "tunesmith_detector": "tunesmith.models.detector",
    "tunesmith_segmenter": "tunesmith.models.segmenter",
}
"""`model_type` of a config.json -> the module that teaches it to transformers."""


def teach_type(model_type: str) -> None:
    """transformers reads folders of this type from then on, where it is one of ours."""
    if model_type in TABLE:
        importlib.import_module(TABLE[model_type])
