"""What can be given to `predict` in Python, what shape the answers have, and what is refused instead of iterated."""

from __future__ import annotations

import io
import warnings
from collections import deque
from decimal import Decimal
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import tunesmith
from language_runs import CHAT, short_run
from tunesmith.core.errors import DataError, NotSupported, OptionError

TEXTS = ["where is my parcel?", "thanks, i am happy", "the app is broken"]
HEAD: dict[str, Any] = {"method": "head", "precision": "fp32"}


@pytest.fixture(scope="module")
def label(first: tunesmith.Run) -> Any:
    return first.model


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tickets: list[dict[str, str]]) -> Any:
    rows = [
        {"left": row["text"], "right": tickets[(i * 7) % 60]["text"], "same": "yn"[i % 2]}
        for i, row in enumerate(tickets)
    ]
    out = tmp_path_factory.mktemp("pairs") / "run"
    return tunesmith.train(
        rows, out=out, model=str(tiny_model), text=["left", "right"], target="same", **HEAD
    ).model  # fmt: skip


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tickets: list[dict[str, str]]) -> Any:
    rows = [{**row, "label": f"{row['label']}|{'even' if i % 2 else 'odd'}"} for i, row in enumerate(tickets)]
    out = tmp_path_factory.mktemp("labels") / "run"
    return tunesmith.train(rows, out=out, model=str(tiny_model), target="label", **HEAD).model


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tickets: list[dict[str, str]]) -> Any:
    rows = [{"text": row["text"], "cost": 10.5 + 3.25 * (i // 20)} for i, row in enumerate(tickets)]
    out = tmp_path_factory.mktemp("numbers") / "run"
    return tunesmith.train(
        rows, out=out, model=str(tiny_model), target="cost", task="text-regression", **HEAD
    ).model  # fmt: skip


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = str(tmp_path_factory.mktemp("chat") / "run")
    return short_run(CHAT, out=out, epochs=1, generate_rows=0, few_shot=0).model


def same(found: Any, wanted: Any) -> bool:
    return [one["label"] for one in found] == [one["label"] for one in wanted] and [
        one["probability"] for one in found
    ] == pytest.approx([one["probability"] for one in wanted], abs=1e-6)


def test_one_text_has_one_answer(label: Any) -> None:
    whole = label.predict(TEXTS)
    for one in (TEXTS[0], np.str_(TEXTS[0]), {"text": TEXTS[0]}, {"text": TEXTS[0], "id": 7},
                pd.DataFrame({"text": TEXTS, "n": 1}).iloc[0], np.array(TEXTS[0])):  # fmt: skip
        assert same([label.predict(one)], whole[:1]), type(one)
    assert label.predict_proba(TEXTS[0]).shape == (3,)


def test_several_texts_have_a_list_of_answers(label: Any) -> None:
    whole = label.predict(TEXTS)
    rows = [{"text": text} for text in TEXTS]
    several = [tuple(TEXTS), deque(TEXTS), np.array(TEXTS), np.array(TEXTS, dtype=object), pd.Index(TEXTS), rows,
               iter(TEXTS), (text for text in TEXTS), {"text": TEXTS}, {"text": np.array(TEXTS)},
               pd.Series(TEXTS).array]  # fmt: skip
    for some in several:
        found = label.predict(some)
        assert isinstance(found, list), type(some)
        assert same(found, whole), type(some)
    assert label.predict([]) == []


def test_a_table_gets_columns(label: Any) -> None:
    frame = pd.DataFrame({"id": [3, 1, 2], "text": TEXTS}, index=["x", "y", "x"])
    before = frame.copy()
    found = label.predict(frame, probabilities=True)
    names = [f"probability_{name}" for name in label.classes_]
    assert list(found.columns) == ["id", "text", "predicted", "probability", *names]
    assert list(found.index) == ["x", "y", "x"]
    assert list(found["predicted"]) == [one["label"] for one in label.predict(TEXTS)]
    assert found[names].to_numpy() == pytest.approx(label.predict_proba(frame), abs=1e-6)
    pd.testing.assert_frame_equal(frame, before)
    unsure = label.predict(frame, threshold=1.0)
    assert list(unsure["predicted"]) == [None] * 3
    empty = label.predict(frame.iloc[:0])
    assert list(empty.columns) == ["id", "text", "predicted", "probability"]
    assert len(empty) == 0


def test_a_series_a_dataset_and_a_file_become_a_table(label: Any, in_tmp: Path) -> None:
    wanted = [one["label"] for one in label.predict(TEXTS)]
    series = label.predict(pd.Series(TEXTS, index=[5, 6, 7], name="body"))
    assert list(series.columns) == ["body", "predicted", "probability"]
    assert list(series.index) == [5, 6, 7]
    assert list(label.predict(pd.Series(TEXTS))["text"]) == TEXTS
    pd.DataFrame({"n": [1, 2, 3], "text": TEXTS}).to_csv("new.csv", index=False)
    for source in (datasets.Dataset.from_dict({"text": TEXTS}), Path("new.csv"), "new.csv"):
        assert list(label.predict(source)["predicted"]) == wanted


def test_a_taken_name_is_kept_and_said(label: Any) -> None:
    frame = pd.DataFrame({"text": TEXTS, "predicted": ["a", "b", "c"], "probability": 0, "probability_2": 1})
    with pytest.warns(
        UserWarning, match="'predicted', 'probability' already: .* in 'predicted_2', 'probability_3'"
    ) as said:
        found = label.predict(frame)
    assert said[0].filename == __file__
    assert list(found["predicted"]) == ["a", "b", "c"]
    assert list(found.columns)[-2:] == ["predicted_2", "probability_3"]


def test_an_empty_text_is_answered_and_said(label: Any) -> None:
    with pytest.warns(UserWarning, match="2 rows have no text \\(row 1, 3\\)"):
        assert len(label.predict(["", "hello", "  "])) == 3


REFUSED: dict[str, tuple[Any, str]] = {
    "set": ({"a", "b"}, r"no order.*\n.*sorted\(data\)"),
    "frozenset": (frozenset("a"), "no order"),
    "keys": ({"a": 1}.keys(), "no order"),
    "bytes": (b"where is it?", r"bytes.*\n.*decode"),
    "bytes inside": ([b"where?"], r"row 1: expected a text.*\n.*decode"),
    "none": (None, "can not predict from nothing"),
    "number": (5, "can not predict from 5"),
    "decimal": (Decimal(1), "can not predict"),
    "numbers": ([1, 2], r"row 1: expected a text, got 1 \(int\)\nrow 2.*\n.*str\(value\)"),
    "array of numbers": (np.arange(3), "expected a text, got 0"),
    "column as a table": (np.array([["a"], ["b"]]), r"shape \(2, 1\).*\n.*ravel"),
    "two columns": (np.array([["a", "b"], ["c", "d"]]), r"shape \(2, 2\)"),
    "three dimensions": (np.zeros((1, 2, 3)), r"shape \(1, 2, 3\)"),
    "nan": (["a", float("nan")], r"row 2: expected a text, got nothing \(nan\)\n.*dropna"),
    "none inside": (["a", None], "row 2: expected a text, got nothing"),
    "nan cell": (pd.DataFrame({"text": ["a", None]}), r"row 2, column 'text': expected a text.*\n.*dropna"),
    "number cell": (pd.DataFrame({"text": [1, 2]}), r"row 1, column 'text'.*\n(.*\n)*.*astype\(str\)"),
    "na in a series": (pd.Series(["a", pd.NA]), "row 2: expected a text, got nothing"),
    "other column": (pd.DataFrame({"body": ["a"]}), r"column 'text'.*\n.*rename\(columns={'body': 'text'}\)"),
    "near column": (pd.DataFrame({"Text": ["a"], "n": [1]}), "Did you mean 'Text'"),
    "doubled column": (pd.DataFrame([["a", "b"]], columns=["text", "text"]), "more than one column"),
    "other key": ({"body": "a"}, "column 'text'"),
    "row without": ([{"text": "a"}, {"body": "a"}], "column 'text'"),
    "mixed": (["a", {"text": "b"}, 3], "row 3"),
    "lists of texts": ([["a"], ["b"]], "row 1: expected a text"),
    "a pair": ([("a", "b")], r"expected a text, got \('a', 'b'\)"),
    "uneven columns": ({"text": 5}, "expected a text, got 5"),
    "splits": (datasets.DatasetDict(test=datasets.Dataset.from_dict({"text": ["a"]})), r"data\['test'\]"),
    "path to nothing": (Path("nowhere.csv"), "there is no such file"),
    "string to nothing": ("nowhere.csv", r"no such file(.*\n)*.*\['nowhere.csv'\]"),
    "open file": (io.StringIO("a\nb\n"), "open file"),
    "arrow": (pa.table({"text": ["a"]}), r"pyarrow Table.*\n.*data.to_pandas\(\)"),
    "values": ({"a": "b"}.values(), r"list\(data\)"),
    "object": (object(), "can not predict"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_ambiguous_is_refused(name: str, label: Any, in_tmp: Path) -> None:
    data, message = REFUSED[name]
    for verb in (label.predict, label.predict_proba):
        with pytest.raises(DataError, match=message):
            verb(data)


def test_a_name_of_a_file_in_a_list_or_a_sentence_is_a_text(label: Any, in_tmp: Path) -> None:
    assert len(label.predict(["nowhere.csv"])) == 1
    assert label.predict("please read nowhere.csv")["label"]


@pytest.mark.story
def test_pairs(pairs: Any) -> None:
    left, right = TEXTS, TEXTS[::-1]
    frame = pd.DataFrame({"right": right, "left": left})
    whole = pairs.predict(list(zip(left, right, strict=True)))
    for some in (zip(left, right, strict=True), np.array([left, right]).T, frame[['left', 'right']].to_numpy(),
                 frame.to_dict("records"), {"left": left, "right": right}):  # fmt: skip
        assert same(pairs.predict(some), whole), type(some)
    assert list(pairs.predict(frame)["predicted"]) == [one["label"] for one in whole]
    for one in ((left[0], right[0]), {"left": left[0], "right": right[0]}):
        assert same([pairs.predict(one)], whole[:1])
    for wrong in ("a text", ["a", "b"], ["a", "b", "c"], [("a", "b", "c")], [("a", 1)], pd.Series(left), [{"a", "b"}]):
        with pytest.raises(DataError, match=r"pair|expected a text"):
            pairs.predict(wrong)
    with pytest.raises(DataError, match=r"\[\('a', 'b'\)\]"):
        pairs.predict(["a", "b"])


def test_several_labels(labels: Any, tickets: list[dict[str, str]]) -> None:
    found = labels.predict(pd.DataFrame({"text": TEXTS}), probabilities=True)
    assert [set(names) <= set(labels.classes_) for names in found["predicted"]] == [True] * 3
    assert "probability" not in found.columns
    assert labels.predict_proba(TEXTS).shape == (3, len(labels.classes_))
    given = labels.predict(TEXTS)
    signs = [[name in one["labels"] for name in labels.classes_] for one in given]
    for target in (
        [one["labels"] for one in given],
        np.array(signs, dtype=int),
        ["|".join(g["labels"]) for g in given],
    ):
        if all(one["labels"] for one in given) or not isinstance(target[0], str):
            assert labels.score(TEXTS, target) == 1.0


def test_numbers(numbers: Any, tickets: list[dict[str, str]]) -> None:
    found = numbers.predict(pd.Series(TEXTS))
    assert found["predicted"].dtype == "float64"
    assert isinstance(numbers.predict(TEXTS[0])["value"], float)
    values = found["predicted"].to_numpy()
    assert numbers.score(TEXTS, values) == pytest.approx(1.0)
    assert numbers.score(TEXTS, list(values + 3)) < 1
    assert not hasattr(numbers, "classes_")
    with pytest.raises(NotSupported, match="no probabilities"):
        numbers.predict_proba(TEXTS)
    with pytest.raises(OptionError, match="threshold"):
        numbers.predict("bad", threshold=0.5)


def test_the_score_of_labels(label: Any, tickets: list[dict[str, str]]) -> None:
    frame = pd.DataFrame(tickets)
    right = np.mean([p["label"] == row["label"] for p, row in zip(label.predict(frame["text"].tolist()), tickets,
                                                                  strict=True)])  # fmt: skip
    assert label.score(frame) == pytest.approx(right)
    assert label.score(list(frame["text"]), frame["label"]) == pytest.approx(right)
    faults = {
        "nothing to compare": (TEXTS, None),
        "got 3 rows, and 2 right answers": (TEXTS, ["praise", "question"]),
        "does not know the label 'prase'": (TEXTS, ["prase", "question", "praise"]),
        "several rows": (TEXTS[0], "praise"),
        "got none": ([], []),
        "target column is not in this data": (frame[["text"]], None),
    }
    for message, (data, target) in faults.items():
        with pytest.raises(DataError, match=message):
            label.score(data, target)


@pytest.mark.story
def test_a_model_that_writes(writer: Any, in_tmp: Path) -> None:
    short = {"max_new_tokens": 2}
    questions = ["anna: where is my tea?", "bob: where is my card?"]
    messages = [[{"role": "user", "content": text}] for text in questions]
    whole = writer.predict(questions, **short)
    for some in (messages, tuple(questions), iter(questions), np.array(questions),
                 [{"messages": one} for one in messages], [{"prompt": text} for text in questions]):  # fmt: skip
        assert writer.predict(some, **short) == whole, type(some)
    for one in (questions[0], messages[0], {"messages": messages[0]}, {"prompt": questions[0]}):
        assert writer.predict(one, **short) == whole[0], one
    frame = pd.DataFrame({"question": questions, "predicted": 1}, index=[4, 5])
    with pytest.warns(UserWarning, match="predicted_2"):
        found = writer.predict(frame, **short)
    assert list(found["predicted_2"]) == [one["text"] for one in whole]
    assert list(found.index) == [4, 5]
    pd.DataFrame({"question": questions}).to_csv("ask.csv", index=False)
    assert list(writer.predict("ask.csv", **short)["predicted"]) == [one["text"] for one in whole]
    assert list(writer.predict(pd.Series(questions), **short)["prompt"]) == questions
    for wrong in ({"a", "b"}, b"hi", 5, None, [5], [None], [["hi"]], [{"text": None}], Path("nowhere.jsonl"),
                  pd.DataFrame({"question": ["hi", None]}), [{"role": "user"}, "hi"]):  # fmt: skip
        with pytest.raises(DataError):
            writer.predict(wrong)
    for name in ("predict_proba", "score"):
        with pytest.raises(NotSupported, match="writes text"):
            getattr(writer, name)(questions)
    assert not hasattr(writer, "classes_")


def test_nothing_is_said_where_all_is_well(label: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        label.predict(pd.DataFrame({"text": TEXTS}))
