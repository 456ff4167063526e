"""What there is to use: base models, and what `doctor` says of this machine."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


def test_models(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    said = run("models")
    heads = [line for line in said.stdout.splitlines() if line.startswith("model ")]
    assert len(heads) == 4
    assert heads[0].split() == ["model", "weights", "language", "here", "memory", "1,000", "rows"]
    assert "tunesmith models --estimate" in said.stdout
    encoders, rest = said.stdout.split("To answer, chat and write")
    assert "\nminilm " in encoders
    assert "gpt2" in rest
    assert "gpt2" not in encoders
    found = {row["model"]: row for row in run("models", "--json").json["models"]}
    assert {"minilm", "bert-base", "roberta-base", "modernbert", "deberta-v3-small"} <= set(found)
    minilm = found["minilm"]
    assert minilm["licence"] == "Apache-2.0"
    assert minilm["memory_bytes"] > 0
    assert minilm["seconds_per_1000_rows"] is None  # was not measured
    assert found["bert-base"]["on_this_machine"] is False
    assert "text-classification" in minilm["tasks"]
    assert not (tmp_path / "cache").exists()


def test_times_of_models_are_measured_once_and_kept_safely(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tunesmith.engine.hardware.seconds_per_product", lambda *_: 1e-3)
    measured = {row["model"]: row for row in run("models", "--estimate", "--json").json["models"]}
    monkeypatch.setattr("tunesmith.engine.hardware.seconds_per_product", lambda *_: 1 / 0)
    assert {row["model"]: row for row in run("models", "--json").json["models"]} == measured
    assert measured["bert-base"]["seconds_per_1000_rows"] > measured["minilm"]["seconds_per_1000_rows"] > 0
    said = run("models").stdout
    assert "--estimate" not in said
    assert re.search(r"^qwen3-4b .* \d+ (s|min|h)  ", said, re.M)
    file = tmp_path / "cache" / "tunesmith" / "speed.json"
    for damaged in ("", "[]", '{"machine": 3}', file.read_text().replace('"machine": "', '"machine": "other '),
                    re.sub(r"\d+\.\d+(?=,?$)", '"fast"', file.read_text(), flags=re.M)):  # fmt: skip
        file.write_text(damaged)
        assert run("models", "--json").json["models"][0]["seconds_per_1000_rows"] is None
    (tmp_path / "elsewhere").write_text("mine")
    file.unlink()
    file.symlink_to(tmp_path / "elsewhere")
    monkeypatch.setattr("tunesmith.engine.hardware.seconds_per_product", lambda *_: 1e-3)
    assert run("models", "--estimate").code == 0
    assert (tmp_path / "elsewhere").read_text() == "mine"


def test_a_model_has_a_page(run: Run) -> None:
    said = run("models", "bert-base").stdout
    for part in ("google-bert/bert-base-uncased", "Apache-2.0", "English", "110 M weights, 12 layers", "512 tokens",
                 "to train all of it", "contrastive", "not on this machine yet", "the first training fetches it",
                 "--blocks", "tunesmith train DATA --model bert-base"):  # fmt: skip
        assert part in said
    assert run("models", "bert-base", "--json").json["folder"] is None
    wrong = run("models", "minilmm")
    assert (wrong.code, "Did you mean 'minilm'?" in wrong.stderr) == (2, True)
    assert run("models", "--blocks").code == 2


def test_models_needs_no_torch() -> None:
    program = (
        "import sys; sys.argv = ['tunesmith', 'models']\n"
        "from tunesmith.cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(*{'torch', 'transformers', 'numpy', 'scipy'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "minilm" in done.stdout
    assert done.stderr.split() == []


def test_doctor(run: Run, minilm: Path) -> None:
    said = run("doctor")
    assert said.code == 0
    assert said.stdout.endswith("All is well.\n")
    found = run("doctor", "--json").json
    assert (found["ok"], found["problems"]) == (True, [])
    assert "minilm" in found["models"]
    assert found["machine"]["threads"] >= 1
    extras = {extra["name"]: extra for extra in found["extras"]}
    assert set(extras) == {"quickstart", "quickstart-image", "image", "search", "qlora", "timm"}
    assert extras["quickstart"]["installed"]
    assert extras["qlora"]["install"] == "pip install 'tunesmith[qlora]'"
    for part in ("the processor", "short numbers", "Optional parts", "quickstart     installed"):
        assert part in said.stdout


def test_doctor_refuses_a_package_that_downloads_code(run: Run, in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (in_tmp / "kernels.py").write_text("")
    monkeypatch.syspath_prepend(in_tmp)
    said = run("doctor", "--json")
    assert said.code == 2
    assert "pip uninstall kernels" in said.json["problems"][0]
