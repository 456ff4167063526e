"""A plan for pictures: the network that a run would train, without its weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import tunesmith
from tunesmith.core import registry
from tunesmith.core.files import write_bytes
from tunesmith.families.plan import plan
from tunesmith.families.plan_words import Plan, render
from tunesmith.models import bare, catalog


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Name of a task -> the rows of its toy, in a folder with its pictures and its base."""
    found = {}
    for task in ("image-classification", "object-detection", "image-segmentation"):
        toy, folder = registry.get("tasks", task).toys()[0], tmp_path_factory.mktemp(task)
        for name, content in toy.files.items():
            write_bytes(folder / name, content)
        toy.base(folder / "base")
        found[task] = folder / "rows.jsonl"
        found[task].write_text("".join(json.dumps(row) + "\n" for row in toy.rows), encoding="utf-8")
    return found


def _plan(rows: Path, task: str, **words: object) -> Plan:
    return plan(str(rows), model=str(rows.parent / "base"), **{**registry.get("tasks", task).toys()[0].words, **words})


@pytest.mark.story
@pytest.mark.parametrize(
    "task",
    [
        "object-detection", pytest.param("image-classification", marks=pytest.mark.slow),
        pytest.param("image-segmentation", marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_what_a_run_on_pictures_takes(toys: dict[str, Path], task: str) -> None:
    made, lora = (_plan(toys[task], task, method=method, epochs=3, device="t4") for method in ("full", "lora"))
    assert (made.tokens, made.max_length, made.image_size) == (None, None, [64, 64])
    assert made.steps == 3
    assert made.parameters["total"] == lora.parameters["total"] > made.parameters["trainable"]
    assert lora.parameters["trainable"] < made.parameters["trainable"] / 2
    assert lora.memory["optimizer"] < made.memory["optimizer"]
    assert made.memory["total"] == pytest.approx(sum(v for k, v in made.memory.items() if k != "total"))
    assert made.fits
    assert 0 < made.seconds < 60
    assert "not measured" in made.seconds_how
    assert made.disk["checkpoints"] == 3 * 12 * made.parameters["trainable"]
    assert "64 x 64 pixels" in render(made, verbose=True)


@pytest.mark.story
def test_a_check_says_what_a_run_will_cost_here(toys: dict[str, Path]) -> None:
    rows = toys["image-classification"]
    words = {"model": str(rows.parent / "base"), "method": "head"}
    found, made = tunesmith.check(str(rows), **words), plan(str(rows), **words)
    assert "measured here" in made.seconds_how
    assert (made.epochs, made.steps) == (0, 0)
    assert made.seconds > 0
    assert found["estimate"]["disk_bytes"] == made.disk["total"]
    assert found["estimate"]["memory_bytes"] == pytest.approx(made.memory["total"])


@pytest.mark.slow
def test_larger_pictures_take_more(toys: dict[str, Path]) -> None:
    small, large = (
        _plan(toys["object-detection"], "object-detection", device="h100", image_size=side) for side in (64, 128)
    )
    assert large.image_size == [128, 128]
    assert large.memory["activations"] > 2 * small.memory["activations"]
    tight = _plan(toys["object-detection"], "object-detection", device="h100", image_size=2048, batch_size=1000)
    assert not tight.fits
    assert f"a batch of {tight.largest_batch} rows does" in " ".join(tight.notes)


def test_what_is_made_on_the_way_is_made_with_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with bare.without_weights():
        assert bare.device() == "meta"
        folder = catalog.fetch("tiny-convnet").folder
    assert bare.device() is None
    assert folder is not None
    assert (folder / "model.safetensors").stat().st_size > 1_000_000
