"""predict on files for models that write text: rows ask as they did in training, in any format, answered or not."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import tunesmith
from language_runs import CHAT, TRANSLATION, Rows, jsonl, short_run
from tunesmith.cli import main
from tunesmith.core.errors import DataError, OptionError
from tunesmith.engine.generate import Sampling
from tunesmith.families.generative.predictor import TextGenerator
from tunesmith.families.generative.prompts import prompts_of
from tunesmith.runs.protocols import Streams
from tunesmith.workflows.evaluate import evaluate
from tunesmith.workflows.predict import predict

FEW: dict[str, Any] = {"epochs": 1, "generate_rows": 0, "few_shot": 0}
ASKED = ["anna: where is my tea?", "bob: where is my card?"]
UNANSWERED: dict[str, Rows] = {
    "messages": [{"messages": [{"role": "user", "content": text}]} for text in ASKED],
    "sharegpt": [{"conversations": [{"from": "human", "value": text}]} for text in ASKED],
    "gemini": [{"contents": [{"role": "user", "parts": [{"text": text}]}]} for text in ASKED],
    "alpaca": [{"instruction": text.split(" ", 1)[0], "input": text.split(" ", 1)[1]} for text in ASKED],
    "query": [{"query": text} for text in ASKED],
    "question": [{"question": text, "id": number} for number, text in enumerate(ASKED)],
    "prompt": [{"prompt": text} for text in ASKED],
    "article": [{"article": text} for text in ASKED],
    "answered": [{"prompt": text, "completion": "x" if number else ""} for number, text in enumerate(ASKED)],
}


@pytest.fixture(scope="module")
def chatting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return short_run(CHAT, out=str(tmp_path_factory.mktemp("chat") / "run"), **FEW).path


@pytest.fixture(scope="module")
def translating(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return short_run(TRANSLATION, "bart", str(tmp_path_factory.mktemp("pair") / "run"), **FEW).path


@pytest.mark.parametrize("name", UNANSWERED)
def test_rows_of_every_format_are_asked_as_in_training(
    name: str, chatting: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[list[int]] = []
    whole = TextGenerator.continued
    monkeypatch.setattr(TextGenerator, "continued", lambda self, ids, how: read.extend(ids) or whole(self, ids, how))
    assert (
        predict(chatting / "model", str(jsonl(in_tmp / "in.jsonl", UNANSWERED[name])), "out.jsonl", max_new_tokens=1)
        == 2
    )
    model = tunesmith.load(chatting)
    asked = [text.replace(" ", "\n", 1) for text in ASKED] if name == "alpaca" else ASKED
    assert read == [model.prompt_ids(text) for text in asked]
    written = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [{k: v for k, v in row.items() if k != "predicted"} for row in written] == UNANSWERED[name]


def test_system_history_and_tools_of_a_row_are_read(chatting: Path) -> None:
    model = tunesmith.load(chatting)
    row = {"instruction": "now?", "system": "be kind", "history": [["a", "b"]]}
    text = model.bundle.tokenizer.decode(model.prompt_ids([
        {"role": "system", "content": "be kind"}, {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"}, {"role": "user", "content": "now?"},
    ]))  # fmt: skip
    (ids,) = prompts_of(model, [("rows", 0, row)], print)
    assert model.bundle.tokenizer.decode(ids) == text


def test_every_row_that_asks_nothing_or_too_much_is_named(chatting: Path, in_tmp: Path) -> None:
    rows = [{"prompt": "hi"}, {"prompt": " "}, {"prompt": "x " * 900}]
    with pytest.raises(DataError) as caught:
        predict(chatting / "model", str(jsonl(in_tmp / "in.jsonl", rows)), "out.jsonl", max_new_tokens=1)
    assert [(problem.row, problem.message.split(" has ")[0]) for problem in caught.value.problems] == [
        (2, "nothing is asked: there is no prompt"), (3, "the prompt"),
    ]  # fmt: skip
    assert not Path("out.jsonl").exists()


@pytest.mark.story
def test_a_source_longer_than_in_training_is_cut_and_it_is_said(
    translating: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An encoder with learned positions can not read it; training cuts its end too."""
    jsonl(in_tmp / "in.jsonl", [{"source": "tea " * 900}, {"source": "tea"}])
    call = ["predict", str(translating), "--file", "in.jsonl", "--out", "out.parquet", "--set", "max_new_tokens=2"]
    monkeypatch.setattr("sys.argv", ["tunesmith", *call])
    with pytest.raises(SystemExit) as stopped:
        main.main()
    assert not stopped.value.code
    assert "cut rows: 1 of 2 rows: longer than 256 tokens" in capsys.readouterr().err
    assert pq.read_table("out.parquet").column_names == ["source", "predicted"]


def test_a_column_that_is_called_predicted_is_kept(translating: Path, in_tmp: Path) -> None:
    jsonl(in_tmp / "in.jsonl", [{"source": "tea", "predicted": "mine"}])
    for suffix, mark in ((".csv", ","), (".tsv", "\t")):
        predict(translating / "model", "in.jsonl", f"out{suffix}", max_new_tokens=1)
        (row,) = csv.DictReader(Path(f"out{suffix}").read_text().splitlines(), delimiter=mark)
        assert row["predicted"] == "mine"
        assert list(row) == ["source", "predicted", "predicted_2"]


def test_evaluate_cuts_what_training_cuts(translating: Path, in_tmp: Path) -> None:
    jsonl(in_tmp / "in.jsonl", [{"source": "tea " * 900, "target": "good"}] * 2)
    assert evaluate(translating, "in.jsonl")["rows"] == 2


@pytest.mark.story
def test_evaluate_reads_what_training_reads(translating: Path, in_tmp: Path) -> None:
    """Few targets, often repeated, are classes to one who is not told what they are."""
    jsonl(in_tmp / "in.jsonl", [{"source": f"tea {number}", "target": "good"} for number in range(20)])
    assert evaluate(translating, "in.jsonl")["rows"] == 20


def test_an_answer_that_grows_is_the_answer(chatting: Path) -> None:
    model = tunesmith.load(chatting)
    assert isinstance(model, Streams)
    whole = model.predict(ASKED[0], max_new_tokens=4)
    assert "".join(model.stream(ASKED[0], Sampling(max_new_tokens=4))).strip() == whole["text"]


@pytest.mark.parametrize("option", [["--threshold", "0.5"], ["--probabilities"], ["--precision", "fp32"]])
def test_what_is_for_labels_alone_is_refused(
    option: list[str], chatting: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["tunesmith", "predict", str(chatting), "hi", *option])
    with pytest.raises(SystemExit) as stopped:
        main.main()
    assert stopped.value.code == 2
    assert f"a model that writes text has no option '{option[0].strip('-')}'" in capsys.readouterr().err


def test_wrong_settings_are_told(chatting: Path) -> None:
    model = tunesmith.load(chatting)
    with pytest.raises(OptionError, match="temperature"):
        model.predict(["hi"], temperature=-1)
    with pytest.raises(OptionError, match="no option 'tokens'"):
        model.predict(["hi"], tokens=3)
