"""Texts of which much is not read: how much is said before, while and after training, and what to do about it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tunesmith
from tunesmith.core.files import write_json
from tunesmith.models import catalog
from tunesmith.models.lengths import chosen_limit
from tunesmith.runs.cut_texts import Cut
from tunesmith.workflows.evaluate import evaluate
from tunesmith.workflows.predict import predict_file

ENGLISH = ["this is a long text that tells of many things, and of some of them more than once"] * 5
GERMAN = ["dies ist ein langer Text, der von vielen Dingen erzählt, und von manchen mehr als einmal"] * 5


def cut(*lengths: int, limit: int = 256, reads: int | None = 512, **words: Any) -> Cut:
    return Cut(np.array(lengths), words.pop("rows", len(lengths)), limit, "minilm", reads, words.pop("texts", ENGLISH))


def test_little_that_is_cut_is_no_warning() -> None:
    assert not cut(100, 200, 256).much
    assert not cut(*[100] * 99, 50_000).much  # one book among many notes
    assert not cut(*[260] * 10).much  # a word or two of each
    assert cut(*[100] * 15, *[900] * 5).much


def test_the_warning_says_how_much_and_what_to_do() -> None:
    found = cut(200, 600, 800, 400)
    assert found.evidence.startswith("3 of 4 texts are longer than the 256 tokens (about 190 words)")
    assert f"{100 * (1 - (200 + 3 * 256) / 2000):.0f} % of all words are not read" in found.evidence
    (more, words), (base, other) = found.ways
    assert words == ["--max-length", "512"]
    assert "the most that minilm can" in more
    assert "19 % of the words would still not be read, in at least 1.7 times the time" in more
    assert other[:2] == ["--model", "modernbert"]
    assert int(other[3]) % 64 == 0
    assert int(other[3]) >= 770
    assert "up to 8,192 tokens" in base
    assert "--group COLUMN" in found.advice


def test_a_limit_that_is_enough_needs_no_other_base() -> None:
    ways = cut(*[300] * 20).ways
    assert [words for _, words in ways] == [["--max-length", "320"]]
    assert "nearly all would be read" in ways[0][0]
    assert cut(*[300] * 20, rows=4_000).evidence.startswith("About 4,000 of 4,000 texts")


def test_a_base_for_longer_texts_speaks_their_language() -> None:
    assert catalog.for_longer(512, "de") is None
    assert cut(900, 800, limit=512, texts=GERMAN).ways == []
    assert "a row of each part" in cut(900, 800, limit=512, texts=GERMAN).advice
    assert cut(900, 800, limit=512).ways[0][1][1] == "modernbert"


def measured(run: tunesmith.Run) -> Any:
    return json.loads((Path(run.path) / "metrics.json").read_text(encoding="utf-8"))


def test_a_model_reads_further_than_it_was_made_for_where_much_would_be_lost() -> None:
    long, short = np.array([900] * 5 + [100] * 5), np.array([200, 250, 260])
    assert chosen_limit(long, made_for=256, positions=512) == 512
    assert chosen_limit(short, made_for=256, positions=512) == 256
    assert chosen_limit(long, made_for=256, positions=300) == 300
    assert chosen_limit(long, made_for=256, positions=256) == 256
    assert chosen_limit(long, made_for=8_192, positions=8_192) == 512  # more costs much, and is asked for


@pytest.fixture(scope="module")
def long_rows(tickets: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{**row, "text": f"{row['text']} {'and so it was ' * 8}"} for row in tickets]


@pytest.mark.story
def test_check_plan_and_train_warn_and_the_run_remembers(
    train: Callable[..., tunesmith.Run], long_rows: list[dict[str, str]], tiny_model: Path, records: Any, tmp_path: Path
) -> None:
    words: dict[str, Any] = {"model": str(tiny_model), "max_length": 16}
    checked = tunesmith.check(long_rows, **words)
    assert checked["lengths"]["limit"] == 16
    assert 0.4 < checked["lengths"]["unread"] < 0.8
    (told,) = [one["message"] for one in checked["warnings"] if one["what"] == "cut texts"]
    assert told.startswith("60 of 60 texts are longer than the 16 tokens")
    assert tunesmith.check(long_rows, model=str(tiny_model))["lengths"]["limit"] == 64
    assert told in tunesmith.plan(long_rows, **words).notes
    run = train(long_rows, method="head", **words)
    assert told in [one["message"] for one in records(run, "warned")]
    document = measured(run)
    assert "60 of 60 texts" in document["verdict"]["good"]["words"]
    assert "texts_cut" in [one["name"] for one in document["findings"]]
    heard: list[Any] = []
    source = tmp_path / "more.jsonl"
    some = [{"text": "the card", "label": "praise"}, *long_rows[:2]]
    source.write_text("".join(json.dumps(row) + "\n" for row in some), encoding="utf-8")
    predict_file(run, source, tmp_path / "out.jsonl", emit=heard.append)
    evaluate(run.path, source, emit=heard.append)
    cuts = [event.message for event in heard if event.name == "warned" and event.what == "cut texts"]
    assert len(cuts) == 2
    assert cuts[0] == cuts[1]
    assert cuts[0].startswith("2 of 3 texts are longer than the 16 tokens that this model reads of each")
    texts = [row["text"] for row in some]
    for ask, told in ((texts, "2 of 3 texts are longer"), (texts[1], "The text is longer than the 16")):
        for method in (run.model.predict, run.model.predict_proba):
            with pytest.warns(UserWarning, match=told) as caught:
                method(ask)
            assert len(caught) == 1
    run.model.predict(texts[0])
    # a base that was made for less than it has positions for reads on, and so does the finished model
    base = Path(shutil.copytree(tiny_model, tmp_path / "base"))
    write_json(base / "sentence_bert_config.json", {"max_seq_length": 16})
    assert tunesmith.check(long_rows, model=str(base))["lengths"]["limit"] == 64
    assert tunesmith.plan(long_rows, model=str(base)).max_length == 64
    whole = train(long_rows, out="whole", method="head", model=str(base))
    assert "made for 16 tokens, but" in next(
        one["why"] for one in records(whole, "decided") if one["what"] == "max_length"
    )
    assert whole.model.bundle.max_length == 64
    assert "texts_cut" not in [one["name"] for one in measured(whole)["findings"]]
    assert "tokens" not in measured(whole)["verdict"]["good"]["words"]
