"""Small networks with random weights, which `--method scratch` begins with where no base is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoModel, AutoTokenizer

import tunesmith
from tunesmith.models import catalog
from tunesmith.models.weight_files import read_weights


@pytest.mark.parametrize("kind", ["encoder", "causal", "seq2seq", "vision"])
def test_there_is_one_of_each_kind_and_it_is_no_default(kind: str) -> None:
    name = catalog.untrained(kind)
    assert name is not None
    assert catalog.is_untrained(name)
    assert name in catalog.on_this_machine()
    assert catalog.speaks(name) is None
    entry = next(entry for entry in catalog.CATALOG if entry.alias == name)
    source = catalog.fetch(name)
    assert source.folder is not None
    assert read_weights(source.folder).entries / 1e6 == pytest.approx(entry.parameters, rel=0.1)
    assert kind == "vision" or catalog.default(kind) != name


def test_it_reads_any_text_and_pairs() -> None:
    folder = catalog.fetch("tiny-encoder").folder
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text, other = "naïve – 東京 🙂", "x"
    ids = tokenizer(text, other)["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == text + other
    assert [tokenizer.convert_ids_to_tokens(ids)[at] for at in (0, -1)] == ["<s>", "</s>"]
    found = AutoModel.from_pretrained(folder)(**tokenizer(["a", "abc"], padding=True, return_tensors="pt"))
    assert found.last_hidden_state.shape[2] == 128


@pytest.mark.slow
def test_scratch_takes_it_where_no_base_is_asked_for(tmp_path: Path) -> None:
    rows = [{"text": f"{word} {number}", "label": word} for number in range(20) for word in ("good", "bad")]
    assert tunesmith.check(rows, method="scratch")["model"] == "tiny-encoder"
    pairs = [{"source": f"say {number}", "target": f"it is {number}"} for number in range(20)]
    assert tunesmith.check(pairs, method="scratch", task="seq2seq")["model"] == "tiny-seq2seq"
