"""`--model my_package:build`: a module of the user's own as a base; whose code is run, and whose is not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import tunesmith
from tunesmith.core.errors import MissingPackageError, ModelError
from tunesmith.models import catalog, own_module
from tunesmith.models.blocks import list_blocks
from tunesmith.models.loaders.vision import load_vision_base, load_vision_finished, save_vision_model

CODE = """
import torch
from torch import nn

def build(outputs):
    body = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )
    with torch.no_grad():
        body[0].weight.fill_(0.25)  # "pre-trained"
    model = nn.Sequential()
    model.features, model.classifier = body, nn.Linear(16, outputs)
    model.image_size, model.image_mean, model.image_std = 32, (0.4, 0.5, 0.6), (0.2, 0.2, 0.2)
    return model

def refuses(outputs):
    raise RuntimeError("no such number")

def headless(outputs):
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())

def number(outputs):
    return 3
"""
HEAD: dict[str, Any] = {"label_names": ["a", "b", "c"], "problem_type": "single_label_classification"}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module on Python's search path that nobody has imported or named."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "own_networks.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path / "code")
    monkeypatch.setattr(own_module, "_named", set())
    yield "own_networks"
    sys.modules.pop("own_networks", None)


def test_what_is_built_is_a_base_as_others_are(package: str, tmp_path: Path) -> None:
    name = f"{package}:build"
    own_module.allow(name)
    bundle = load_vision_base(name, **HEAD)
    model = bundle.model.eval()
    assert bundle.processor is not None
    assert (bundle.processor.height, model.head.out_features, model.head_name) == (32, 3, "module.classifier")
    assert torch.equal(model.network.module.features[0].weight, torch.full((8, 3, 3, 3), 0.25))
    assert 0 < float(model.head.weight.detach().abs().max()) < 1
    assert [block.name for block in list_blocks(model)] == ["embeddings", "layers.0", "layers.1", "head"]
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        logits = model({"pixel_values": pixels})
        torch.testing.assert_close(model({"features": model.features({"pixel_values": pixels})}), logits)
        save_vision_model(bundle, tmp_path / "saved")
        torch.testing.assert_close(load_vision_finished(tmp_path / "saved").model({"pixel_values": pixels}), logits)
    assert catalog.fetch(name).folder == catalog.fetch(name).folder
    sys.modules.pop(package)
    own_module._named.clear()
    with pytest.raises(ModelError, match="nobody has named that code here"):  # a file names it, and no person
        load_vision_finished(tmp_path / "saved")
    assert package not in sys.modules
    config = tmp_path / "saved" / "config.json"
    config.write_text(config.read_text().replace(name, "time:sleep"))  # that Python has imported it changes nothing
    with pytest.raises(ModelError, match="nobody has named that code here"):
        load_vision_finished(tmp_path / "saved")


@pytest.mark.parametrize(("function", "said"), [
    ("nothing", "has no function called 'nothing'"), ("refuses", "failed: RuntimeError: no such number"),
    ("number", "gave a int; expected a torch.nn.Module"), ("headless", "has no linear layer of 3 outputs"),
])  # fmt: skip
def test_what_does_not_fit_is_said(package: str, function: str, said: str) -> None:
    own_module.allow(f"{package}:{function}")
    with pytest.raises(ModelError, match=said):
        load_vision_base(f"{package}:{function}", **HEAD)


def test_code_is_run_only_where_a_person_names_it(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match="nobody has named that code here"):
        catalog.fetch(f"{package}:build")
    (tmp_path / "spec.yaml").write_text(f"data: {tmp_path}\nmodel: {package}:build\n")
    with pytest.raises(tunesmith.TunesmithError):
        tunesmith.train(str(tmp_path / "spec.yaml"), out=tmp_path / "run", verbose=False)
    assert package not in sys.modules
    monkeypatch.setenv(own_module.VARIABLE, f"other,{package}")
    assert catalog.fetch(f"{package}:build").folder is not None
    own_module.allow("no_such_package:build")
    with pytest.raises(ModelError, match="Python can not import 'no_such_package'"):
        catalog.fetch("no_such_package:build")


@pytest.mark.story
def test_a_run_learns_on_it_and_is_asked(package: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name, colour in (("red", (200, 60, 40)), ("blue", (30, 80, 210))):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(12):
            pixels = (np.array(colour) + random.integers(-25, 26, (32, 32, 3))).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    run = tunesmith.train(
        str(tmp_path / "photos"), out=tmp_path / "run", model=f"{package}:build", method="full", epochs=2,
        learning_rate=1e-3, augment="none", precision="fp32", verbose=False,
    )  # fmt: skip
    assert run.model.predict(str(tmp_path / "photos" / "red" / "0.png"))["label"] in ("red", "blue")


def test_timm_is_asked_by_name(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingPackageError, match="tunesmith\\[timm\\]"):
        catalog.fetch("timm:vgg16")
    own_module.allow(f"{package}:build")
    asked: list[tuple[str, bool]] = []

    def create_model(name: str, pretrained: bool, num_classes: int) -> nn.Module:
        asked.append((name, pretrained))
        if name != "vgg16":
            raise RuntimeError(f"Unknown model ({name})")
        made: nn.Module = own_module.build(f"{package}:build", num_classes)
        return made

    timm = ModuleType("timm")
    about = {"input_size": (3, 48, 48), "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    timm.__dict__.update(create_model=create_model, data=SimpleNamespace(resolve_model_data_config=lambda _: about))
    monkeypatch.setitem(sys.modules, "timm", timm)
    bundle = load_vision_base("timm:vgg16", **HEAD)
    assert bundle.processor is not None
    assert bundle.processor.height == 48
    assert asked[0] == ("vgg16", True)
    assert not any(pretrained for _, pretrained in asked[1:])  # what is loaded afterwards comes from the folder
    with pytest.raises(ModelError, match="timm has no model 'vgg61'"):
        catalog.fetch("timm:vgg61")
