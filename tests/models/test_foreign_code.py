"""Code that a model folder names is never run, asked for, or asked about."""

from __future__ import annotations

import builtins
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import language_models
from tunesmith.core.errors import ModelError
from tunesmith.core.events import Warned
from tunesmith.families.generative.preview import previewed
from tunesmith.models.config import read_config
from tunesmith.models.loaders.encoder import load_text_base
from tunesmith.models.loaders.language import load_language_base
from tunesmith.models.pretrained import quiet_transformers
from tunesmith.workflows.base_models import blocks

CODE = "open('it-ran', 'w').close()\n\n\nclass Own:\n    pass\n"
HERE, HUB = "own.Own", "owner/repo--own.Own"


@pytest.fixture(autouse=True)
def nobody_answers(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A question fails the test, and so does a request to a hub for a file of code."""
    from transformers import dynamic_module_utils

    def never(*arguments: Any, **words: Any) -> Any:
        raise AssertionError(f"asked for {arguments}")

    monkeypatch.setattr(builtins, "input", never)
    monkeypatch.setattr(dynamic_module_utils, "cached_file", never)
    yield
    assert not (in_tmp / "it-ran").exists()


def copied(source: Path, file: str, **keys: Any) -> str:
    """A copy of a model folder, with code beside it, whose JSON `file` has these `keys` too."""
    folder = Path("base")
    shutil.copytree(source, folder)
    (folder / "own.py").write_text(CODE)
    path = folder / file
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**content, **keys}), encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize("where", [HERE, HUB])
@pytest.mark.parametrize("form", ["slow and fast", "fast only", "list", "text"])
def test_a_tokenizer_that_asks_for_code_is_read_without_it(form: str, where: str) -> None:
    forms: dict[str, Any] = {"slow and fast": {"AutoTokenizer": [where, where]},
                             "fast only": {"AutoTokenizer": [None, where]}, "list": [where, None],
                             "text": {"AutoTokenizer": where}}  # fmt: skip
    name, events = copied(language_models.folder("llama"), "tokenizer_config.json", auto_map=forms[form]), []
    bundle = load_language_base(name, kind="causal", emit=events.append)
    (said,) = [event.message for event in events if isinstance(event, Warned)]
    assert "never run (tokenizer_config.json names" in said
    assert where in said
    bundle.tokenizer.save_pretrained("saved")
    assert "auto_map" not in Path("saved/tokenizer_config.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("where", [HERE, HUB])
@pytest.mark.parametrize("use", ["train", "preview", "plan"])
def test_a_tokenizer_that_is_nothing_without_its_code_is_refused(use: str, where: str) -> None:
    tokenizer = {"auto_map": {"AutoTokenizer": [where, where]}, "tokenizer_class": "OwnTokenizer"}
    name = copied(language_models.folder("llama"), "tokenizer_config.json", **tokenizer)
    if use == "plan":
        _, found, notes = read_config(name)
        assert found is None
        assert "never run" in notes[0]
        return
    Path("data.jsonl").write_text(json.dumps({"messages": [
        {"role": "user", "content": "hello"}, {"role": "assistant", "content": "good"}]}) + "\n")  # fmt: skip
    uses = {"train": lambda: load_language_base(name, kind="causal"),
            "preview": lambda: list(previewed("data.jsonl", model=name))}  # fmt: skip
    with pytest.raises(ModelError, match="asks for code of its own, which is never run"):
        uses[use]()


@pytest.mark.parametrize("where", [HERE, HUB])
def test_a_config_that_names_code_gets_what_transformers_has(where: str, tiny_model: Path) -> None:
    named = {"AutoConfig": where, "AutoModel": where, "AutoModelForSequenceClassification": where}
    name, events = copied(tiny_model, "config.json", auto_map=named), []
    bundle = load_text_base(
        name, label_names=["a", "b"], problem_type="single_label_classification", dropout=0.0, emit=events.append
    )
    assert type(bundle.model.network).__module__.startswith("transformers.")
    assert not hasattr(bundle.model.network.config, "auto_map")
    assert sum(isinstance(event, Warned) and where in event.message for event in events) == 1
    assert blocks(name)


def test_a_type_that_only_its_own_code_knows_is_refused(tiny_model: Path) -> None:
    name = copied(tiny_model, "config.json", model_type="own", auto_map={"AutoConfig": HERE, "AutoModel": HERE})
    with pytest.raises(ModelError, match=r"does not know the model type 'own' .* and its own code is not run"):
        load_text_base(name, label_names=["a"], problem_type="regression", dropout=0.0)
    with pytest.raises(ModelError):
        blocks(name)
    with pytest.raises(ModelError):
        read_config(name)


def test_a_library_that_would_ask_is_told_no() -> None:
    """PEFT reads tokenizers too, and is not to be told what to answer."""
    from transformers import AutoTokenizer

    name = copied(language_models.folder("llama"), "tokenizer_config.json",
                  auto_map={"AutoTokenizer": [HUB, HUB]}, tokenizer_class="OwnTokenizer")  # fmt: skip
    with quiet_transformers(), pytest.raises(ValueError, match="trust_remote_code=True"):
        AutoTokenizer.from_pretrained(name)
