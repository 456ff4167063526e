"""A tag for each word: from files of any form to a model that plain transformers reads."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset

import tunesmith
from toys import save_bert
from tunesmith.core.errors import DataError, ModelError, OptionError
from tunesmith.core.events import Event
from tunesmith.engine.word_tokens import joined, windows
from tunesmith.modalities.tokens import Tokens
from tunesmith.models.tokenizer import read_tokenizer

NAMES = ["O", "B-THING", "I-THING"]


def _rows() -> list[dict[str, Any]]:
    things, verbs = ["the app", "my card", "this order", "the parcel", "your refund"], ["is", "was", "works", "arrived"]
    rows = []
    for at in range(40):
        thing, verb = things[at % 5].split(), verbs[at % 4]
        words = [*thing, verb, "good", str(at)] if at % 2 else ["sorry", *thing, verb, str(at)]
        tags = ["B-THING", "I-THING", "O", "O", "O"] if at % 2 else ["O", "B-THING", "I-THING", "O", "O"]
        rows.append({"tokens": words, "tags": tags})
    return rows


def _check(data: Any, tmp_path: Path, **words: Any) -> dict[str, Any]:
    if not (tmp_path / "base").exists():
        (tmp_path / "base").mkdir()
        save_bert(tmp_path / "base")
    return tunesmith.check(data, model=str(tmp_path / "base"), **words)


def _written(rows: list[dict[str, Any]], form: str, tmp_path: Path) -> Path:
    path = tmp_path / f"rows.{form}"
    if form == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif form == "csv":
        lines = [f'"{" ".join(row["tokens"])}","{" ".join(row["tags"])}"' for row in rows]
        path.write_text("\n".join(["sentence,tags", *lines]) + "\n", encoding="utf-8")
    elif form == "parquet":
        Dataset.from_list(rows).to_parquet(path)
    else:
        pairs = ["\n".join(map("\t".join, zip(row["tokens"], row["tags"], strict=True))) for row in rows]
        path.write_text("\n\n".join(pairs) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet", "conll", "txt"])
def test_forms_of_data(form: str, tmp_path: Path) -> None:
    words = {"task": "token-classification"} if form == "csv" else {}
    found = _check(_written(_rows(), form, tmp_path), tmp_path, **words)
    assert found["task"] == "token-classification"
    assert found["columns"]["kind"] == "spans"
    assert sorted(found["audit"]["labels"]) == sorted(NAMES)
    why = {one["what"]: one["why"] for one in found["decisions"]}
    assert why["target kind"] == "a tag for each word, in BIO"


def test_tags_may_be_numbers_with_names(tmp_path: Path) -> None:
    rows = [{"tokens": row["tokens"], "ner_tags": [NAMES.index(tag) for tag in row["tags"]]} for row in _rows()]
    found = _check(rows, tmp_path, task="token-classification", label_names=NAMES)
    assert sorted(found["audit"]["labels"]) == sorted(NAMES)


def test_other_schemes_are_read_and_that_is_said(tmp_path: Path) -> None:
    letters = {"B-THING": "B-THING", "I-THING": "L-THING", "O": "O"}
    rows = [{**row, "tags": [letters[tag] for tag in row["tags"]]} for row in _rows()]
    found = _check(rows, tmp_path)
    why = {one["what"]: one["why"] for one in found["decisions"]}
    assert why["target kind"] == "a tag for each word, in BILOU, read as BIO"
    assert sorted(found["audit"]["labels"]) == sorted(NAMES)


def test_words_and_tags_of_other_numbers_are_refused_with_their_row(tmp_path: Path) -> None:
    rows = _rows()
    rows[3]["tags"] = rows[3]["tags"][:-1]
    with pytest.raises(DataError, match="5 words, and 4 tags") as caught:
        _check(rows, tmp_path)
    assert [problem.row for problem in caught.value.problems] == [4]


def test_what_does_not_fit_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="does not fit the sentences of token-classification"):
        _check(_rows(), tmp_path, method="contrastive")
    with pytest.raises(OptionError, match="does not fit"):
        _check(_rows(), tmp_path, method="prompt")
    with pytest.raises(DataError, match="no column holds"):
        _check(_rows(), tmp_path, task="text-classification", target="tags")
    with pytest.raises(DataError):
        _check([{"text": f"text {at}", "label": "ab"[at % 2]} for at in range(20)], tmp_path,
               task="token-classification", target="label")  # fmt: skip


def test_labels_beside_a_text_are_not_taken_for_tags(tmp_path: Path) -> None:
    rows = [{"text": f"the app number {at} is here", "labels": ["x", "y"][: 1 + at % 2]} for at in range(40)]
    assert _check(rows, tmp_path)["task"] == "text-classification"


def test_the_first_token_speaks_for_a_word(tmp_path: Path) -> None:
    save_bert(tmp_path)
    tokenizer = read_tokenizer(tmp_path)
    bundle: Any = type("Bundle", (), {"tokenizer": tokenizer})()
    words = [["sorry", "unbelievableness", "is", "\u200b", "good"], ["the", "app"]]
    rows = Tokens().encode(Dataset.from_dict({"tokens": words}), bundle, 64, tmp_path / "rows")
    assert rows.answers is not None
    assert rows.answers.tolist() == [5, 2]
    ids = rows.ids[rows.offsets[0] : rows.offsets[1]]
    firsts = rows.firsts[:5]
    assert [tokenizer.convert_ids_to_tokens(int(ids[at])) for at in firsts[[0, 2, 4]]] == ["sorry", "is", "good"]
    assert firsts[3] == firsts[2], "a word of no token is answered at the one before"
    places = rows.inputs(np.array([1, 0]))["answers"]
    longest = int(rows.lengths.max())
    assert places.tolist() == [1, 2, *(longest + firsts).tolist()]
    long = [f"w{at}" for at in range(30)] + ["good"]
    parted = Tokens().encode(Dataset.from_dict({"tokens": [long, words[1]]}), bundle, 16, tmp_path / "long")
    assert parted.answers is not None
    assert parted.answers.tolist() == [31, 2], "nothing is left out"
    assert parted.longest == 16
    batch = parted.inputs(np.array([0, 1]))
    assert batch["input_ids"].shape[1] == 16
    flat, whole = batch["input_ids"].flatten()[batch["answers"]], parted.ids[parted.offsets[0] :][parted.firsts[:31]]
    assert flat[:31].tolist() == whole.tolist(), "each word is answered at its own token"
    assert [tokenizer.convert_ids_to_tokens(int(at)) for at in flat[-2:]] == ["the", "app"]


@pytest.mark.story
def test_a_run_from_words_to_plain_transformers(tmp_path: Path) -> None:
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    (tmp_path / "base").mkdir()
    save_bert(tmp_path / "base")
    path = _written(_rows(), "conll", tmp_path)
    said: list[Event] = []
    run = tunesmith.train(
        path, model=str(tmp_path / "base"), method="full", epochs=15, learning_rate=3e-3, near_duplicates=0,
        out=tmp_path / "run", listeners=[said.append],
    )  # fmt: skip
    assert run.document["test"]["f1"]["value"] > 0.9
    assert {"majority", "word_tags", "linear_probe"} <= set(run.document["baselines"])
    assert [row["label"] for row in run.document["per_class"]] == ["THING"]
    table = pq.read_table(run.folder.predictions).to_pydict()
    assert all(len(t) == len(p) for t, p in zip(table["truth"], table["predicted"], strict=True))
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "Spans that are wrong" in page
    assert "AutoModelForTokenClassification" in (run.folder.model / "README.md").read_text(encoding="utf-8")

    model = tunesmith.load(run.path)
    found = model.predict("sorry, the app was here 3")
    assert found["words"] == ["sorry", ",", "the", "app", "was", "here", "3"]
    assert model.predict([["sorry", "the", "app", "was", "3"]])[0]["spans"][0] == {
        "text": "the app", "type": "THING", "start": 6, "end": 13, "first_word": 1, "end_word": 3,
        "probability": pytest.approx(1, abs=0.5),
    }  # fmt: skip
    with pytest.warns(UserWarning, match="trained rows: 28 of 40 rows"):
        evaluated = tunesmith.evaluate(run.path, path)
    assert evaluated["metrics"]["f1"]["value"] > 0.9

    plain = AutoModelForTokenClassification.from_pretrained(run.folder.model)
    tokenizer = AutoTokenizer.from_pretrained(run.folder.model)
    assert sorted(plain.config.id2label.values()) == sorted(NAMES)
    for row in _rows()[:8]:
        inputs = tokenizer(joined(row["tokens"]), return_tensors="pt")
        with torch.no_grad():
            best = plain(**inputs).logits[0].argmax(-1)
        begins = np.cumsum([0, *(len(word) + 1 for word in row["tokens"])])[:-1]
        theirs = [plain.config.id2label[int(best[inputs.char_to_token(int(at))])] for at in begins]
        assert theirs == model.predict([row["tokens"]])[0]["tags"]


@pytest.mark.story
def test_long_rows_are_read_in_windows(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    save_bert(tmp_path / "base")
    rows = _rows()
    rows[0] = {"tokens": ["good"] * 30 + rows[0]["tokens"], "tags": ["O"] * 30 + rows[0]["tags"]}
    said: list[Event] = []
    run = tunesmith.train(
        rows, model=str(tmp_path / "base"), method="head", max_length=16, near_duplicates=0, out=tmp_path / "run",
        task="token-classification", listeners=[said.append],
    )  # fmt: skip
    assert any("in windows that overlap" in getattr(one, "why", "") for one in said)
    model: Any = tunesmith.load(run.path)
    found = model.predict([["good"] * 60 + ["sorry", "the", "app", "was"]])[0]
    assert len(found["tags"]) == 64
    assert model.cut_rows == 0


@pytest.mark.parametrize(("size", "limit"), [(5, 16), (40, 16), (17, 16), (500, 64)])
def test_windows_overlap_and_cover_a_row(size: int, limit: int) -> None:
    spans = windows(size, limit, 1, 1)
    read = {at for start, end in spans for at in range(start, end)}
    assert read == set(range(1, size - 1))
    assert all(end - start <= limit - 2 for start, end in spans)
    assert all(left[1] - right[0] >= (limit - 2) // 4 for left, right in itertools.pairwise(spans))


def test_a_model_of_whole_texts_is_no_base_for_words(tmp_path: Path) -> None:
    save_bert(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps({**config, "tunesmith": {"pooling": "mean"}}), encoding="utf-8")
    from tunesmith.models.loaders.words import check_word_model

    with pytest.raises(ModelError, match="its last layer is their mean"):
        check_word_model(tmp_path, "mine")


def test_a_token_may_have_the_space_before_it(tmp_path: Path) -> None:
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    words = ["Ada", "Lovelace-Byron", "naïvely", "😂", "New York", "#x", "!"]
    learned = ByteLevelBPETokenizer()
    learned.train_from_iterator([joined(words)] * 5, vocab_size=300, min_frequency=1, special_tokens=["<end>"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=learned._tokenizer, pad_token="<end>")
    bundle: Any = type("Bundle", (), {"tokenizer": tokenizer})()
    rows = Tokens().encode(Dataset.from_dict({"tokens": [words]}), bundle, 64, tmp_path / "rows")
    assert rows.answers is not None
    assert rows.answers.tolist() == [len(words)]
    offsets = tokenizer(joined(words), return_offsets_mapping=True)["offset_mapping"]
    begins = np.cumsum([0, *(len(word) + 1 for word in words)])[:-1]
    for at, begin in zip(rows.firsts, begins, strict=True):
        start, end = offsets[int(at)]
        assert start <= begin < end


@pytest.mark.slow
def test_ways_to_tag_are_compared(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    save_bert(tmp_path / "base")
    found = tunesmith.compare(
        _rows(), methods=["full"], model=str(tmp_path / "base"), near_duplicates=0, epochs=6, learning_rate=3e-3,
        out=tmp_path / "compared",
    )  # fmt: skip
    names = {row["rung"] for row in found["rungs"]}
    assert names == {"majority", "word_tags", "full"}
    assert found["metric"] == "f1"
