"""Detectors of transformers with a few thousand random weights, as model folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForObjectDetection,
    DetrConfig,
    ResNetConfig,
    RTDetrConfig,
    RTDetrResNetConfig,
    YolosConfig,
)

from tunesmith.core.files import write_text


def _detr() -> Any:
    backbone = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 12, 16, 24], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage4"],
    )  # fmt: skip
    return DetrConfig(
        use_timm_backbone=False, backbone_config=backbone, use_pretrained_backbone=False, backbone=None, d_model=32,
        encoder_layers=1, decoder_layers=1, encoder_ffn_dim=32, decoder_ffn_dim=32, encoder_attention_heads=2,
        decoder_attention_heads=2, num_queries=10,
    )  # fmt: skip


def _yolos() -> Any:
    return YolosConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=[64, 64],
        patch_size=16, num_detection_tokens=10,
    )  # fmt: skip


def _rt_detr() -> Any:
    backbone = RTDetrResNetConfig(
        embedding_size=8, hidden_sizes=[8, 12, 16, 24], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    return RTDetrConfig(
        backbone_config=backbone, encoder_in_channels=[12, 16, 24], encoder_hidden_dim=16, d_model=16, num_queries=12,
        decoder_in_channels=[16, 16, 16], encoder_ffn_dim=16, decoder_ffn_dim=16, decoder_layers=2, num_denoising=4,
        encoder_attention_heads=2, decoder_attention_heads=2, use_timm_backbone=False, freeze_backbone_batch_norms=True,
        decoder_n_points=2,
    )  # fmt: skip


MADE = {"detr": _detr, "yolos": _yolos, "rt_detr": _rt_detr}


def write(kind: str, folder: Path) -> None:
    """The detector as a model folder, for pictures of 64 x 64 pixels."""
    config = MADE[kind]()
    config.id2label, config.label2id = {0: "other", 1: "another"}, {"other": 0, "another": 1}
    torch.manual_seed(0)
    network = AutoModelForObjectDetection.from_config(config)
    network.save_pretrained(folder)
    name = "RTDetrImageProcessor" if kind == "rt_detr" else "DetrImageProcessor"
    half = [0.5, 0.5, 0.5]
    size = {"height": 64, "width": 64}
    said = {"image_processor_type": name, "do_resize": True, "size": size, "image_mean": half, "image_std": half}
    write_text(folder / "preprocessor_config.json", json.dumps(said))
