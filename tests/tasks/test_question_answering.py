"""Extractive question answering: from files of any form to a model that plain transformers reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from datasets import Dataset

import tunesmith
from toys import save_bert
from tunesmith.core.errors import DataError, NotSupported, OptionError
from tunesmith.core.events import Event
from tunesmith.data.target_kinds.answers import Answers
from tunesmith.data.types import Columns
from tunesmith.engine.windows import NULL, EncodedQuestions, encode_questions
from tunesmith.models.tokenizer import read_tokenizer

_THINGS, _STATES = ["app", "card", "order", "parcel", "refund"], ["late", "lost", "broken", "good", "happy"]


def _rows(count: int = 40, none: bool = True) -> list[dict[str, Any]]:
    """Two questions about each context; the second of some has no answer."""
    rows = []
    for at in range(count // 2):
        thing, state, other = _THINGS[at % 5], _STATES[at // 5 % 5], _THINGS[(at + 2) % 5]
        context = f"sorry the {thing} number {at} is {state} and you are not"
        answer = {"text": [state], "answer_start": [context.index(state)]}
        rows.append({"id": f"q{at}", "question": f"how is the {thing}", "context": context, "answers": answer})
        empty: dict[str, Any] = {"text": [], "answer_start": []}
        question = f"how is the {other}" if none else f"where is the {thing}"
        rows.append({**rows[-1], "id": f"n{at}", "question": question, "answers": empty if none else answer})
    return rows


def _listed(row: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        dict(zip(("text", "answer_start"), pair, strict=True)) for pair in zip(*row["answers"].values(), strict=True)
    ]


def _squad(rows: list[dict[str, Any]]) -> dict[str, Any]:
    paragraphs = []
    for first, second in zip(rows[::2], rows[1::2], strict=True):
        asked = [
            {
                "id": row["id"], "question": row["question"], "is_impossible": not row["answers"]["text"],
                "answers": _listed(row),
            }
            for row in (first, second)
        ]  # fmt: skip
        paragraphs.append({"context": first["context"], "qas": asked})
    return {"version": "v2.0", "data": [{"title": "all", "paragraphs": paragraphs}]}


def _written(form: str, tmp_path: Path) -> tuple[Any, dict[str, Any]]:
    rows = _rows()
    if form == "squad":
        (tmp_path / "train.json").write_text(json.dumps(_squad(rows)), encoding="utf-8")
        return tmp_path / "train.json", {}
    if form == "datasets":
        return Dataset.from_list(rows), {}
    flat = [
        {
            "question": row["question"], "context": row["context"], "answer": (row["answers"]["text"] or [""])[0],
            "answer_start": (row["answers"]["answer_start"] or [None])[0],
        }
        for row in rows
    ]  # fmt: skip
    if form == "list":
        return [{**row, "answers": _listed(row)} for row in rows], {}
    if form == "jsonl":
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path, {}
    names = ["question", "context", "answer", *(["answer_start"] if form == "csv" else [])]
    Dataset.from_list([{name: row[name] for name in names} for row in flat]).to_csv(tmp_path / "rows.csv")
    return tmp_path / "rows.csv", {"task": "question-answering"}


def _check(data: Any, tmp_path: Path, **words: Any) -> dict[str, Any]:
    if not (tmp_path / "base").exists():
        (tmp_path / "base").mkdir()
        save_bert(tmp_path / "base")
    return tunesmith.check(data, model=str(tmp_path / "base"), **words)


@pytest.mark.parametrize("form", ["squad", "datasets", "list", "jsonl", "csv", "csv without starts"])
def test_forms_of_data(form: str, tmp_path: Path) -> None:
    data, words = _written(form, tmp_path)
    found = _check(data, tmp_path, **words)
    assert found["task"] == "question-answering"
    assert found["columns"]["kind"] == "answers"
    assert found["columns"]["inputs"] == ["question", "context"]
    assert sum(found["splits"].values()) == 40
    assert found["method"] == "full"
    why = {one["what"]: one["why"] for one in found["decisions"]}
    assert why["target kind"].endswith("20 rows have none")
    assert why["split"].startswith("by group: no context stands in two splits")


def test_no_context_and_no_document_stands_in_two_splits(tmp_path: Path) -> None:
    rows = [{**row, "title": f"document {at // 4}"} for at, row in enumerate(_rows(80))]
    found = _check(rows, tmp_path, near_duplicates=0)
    why = {one["what"]: one["why"] for one in found["decisions"]}
    assert why["split"] == "by group: no context stands in two splits, nor does a value of 'title'"
    assert not found["audit"]["leakage"]["remaining_rows"]


def test_one_context_can_not_be_divided(tmp_path: Path) -> None:
    context = "the card is late and the app is good"
    rows = [{"question": f"how is it {at}", "context": context, "answer": "late"} for at in range(20)]
    with pytest.raises(DataError, match="different contexts"):
        _check(rows, tmp_path, task="question-answering")


def _with(rows: list[dict[str, Any]], at: int, **words: Any) -> list[dict[str, Any]]:
    return [{**row, **words} if number == at else row for number, row in enumerate(rows)]


def test_answers_that_are_not_in_their_context_are_refused_with_their_row(tmp_path: Path) -> None:
    rows = _with(_rows(), 4, answers={"text": ["purple"], "answer_start": [3]})
    rows = _with(rows, 6, answers={"text": ["late"], "answer_start": [3000]})
    rows = _with(rows, 8, answers={"text": ["x", "y"], "answer_start": [3]})
    with pytest.raises(DataError) as caught:
        _check(rows, tmp_path)
    told = {problem.row: problem.message for problem in caught.value.problems}
    assert set(told) == {5, 9}, "a start that is beyond is mended where the answer stands in one place"
    assert "'purple' is not in its context" in told[5]
    assert "1 starts of 2 answers" in told[9]
    assert "how is the order" in told[5]


def test_starts_that_are_off_are_mended_and_that_is_said(tmp_path: Path) -> None:
    rows = _rows()
    start = rows[0]["answers"]["answer_start"][0]
    found = _check(_with(rows, 0, answers={"text": ["late"], "answer_start": [start - 2]}), tmp_path)
    (told,) = [one["message"] for one in found["warnings"] if one["what"] == "answers"]
    assert told.startswith("1 answers do not stand where their start says")
    assert "row 1" in told
    found = _check(_with(rows, 0, answers={"text": ["LATE  and"], "answer_start": [start]}), tmp_path)
    (told,) = [one["message"] for one in found["warnings"] if one["what"] == "answers"]
    assert "written otherwise" in told


def test_answers_in_several_places_need_a_start_or_a_word(tmp_path: Path) -> None:
    twice = {"question": "how is it", "context": "the card is late, late, late", "answer": "late"}
    rows = [{"question": row["question"], "context": row["context"], "answer": (row["answers"]["text"] or [""])[0]}
            for row in _rows()] + [twice]  # fmt: skip
    with pytest.raises(DataError, match=r"stands in 3 places of its context.*repeated_answers=any") as caught:
        _check(rows, tmp_path, task="question-answering")
    assert [problem.row for problem in caught.value.problems] == [41]
    for how in ("any", "first"):
        found = _check(rows, tmp_path, task="question-answering", repeated_answers=how)
        assert sum(found["splits"].values()) == 41
    column = pa.chunked_array([pa.array([[{"text": "late", "answer_start": None}]])])
    inputs = [pa.chunked_array([[twice["question"]]]), pa.chunked_array([[twice["context"]]])]
    columns = Columns(("question", "context"), ("answer",), "answers", repeated_answers="any")
    array, faults = Answers().read(column, inputs, columns)
    assert not faults
    assert [one["start"] for one in array.to_pylist()[0]] == [12, 18, 24]


def test_other_input_that_does_not_fit_is_refused_or_said(tmp_path: Path) -> None:
    found = _check(_with(_with(_rows(), 2, question=" "), 4, context=""), tmp_path)
    dropped = [one["message"] for one in found["warnings"] if one["what"] == "dropped rows"]
    assert len(dropped) == 2
    with pytest.raises(DataError, match="0 of 40 rows are left"):
        _check([{**row, "answers": None} for row in _rows()], tmp_path, task="question-answering", target="answers")
    with pytest.raises(OptionError, match="does not fit the questions of question-answering"):
        _check(_rows(), tmp_path, method="contrastive")
    broken = _squad(_rows())
    del broken["data"][0]["paragraphs"][3]["context"]
    broken["data"][0]["paragraphs"][5]["qas"][0]["is_impossible"] = True
    (tmp_path / "broken.json").write_text(json.dumps(broken), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        _check(tmp_path / "broken.json", tmp_path)
    told = "; ".join(problem.message for problem in caught.value.problems)
    assert "data[0].paragraphs[3] has no context" in told
    assert "data[0].paragraphs[5].qas[0]: is_impossible, and has the answer" in told


def _encoded(tmp_path: Path, rows: list[dict[str, Any]], limit: int) -> EncodedQuestions:
    save_bert(tmp_path)
    data = Dataset.from_list([{name: row[name] for name in ("question", "context")} for row in rows])
    found = encode_questions(data, read_tokenizer(tmp_path), limit, tmp_path / "rows")
    spans = [np.array([(at, at + len(text)) for text, at in zip(*row["answers"].values(), strict=True)]).reshape(-1, 2)
             for row in rows]  # fmt: skip
    return found.with_targets(spans, np.arange(len(rows)))


def test_long_contexts_are_read_in_windows_and_nothing_is_left_out(tmp_path: Path) -> None:
    context = " ".join(f"the card {at} is late and" for at in range(20)) + " sorry it is lost"
    at = context.index("lost")
    rows = [
        {"question": "how is it", "context": context, "answers": {"text": ["lost"], "answer_start": [at]}},
        {"question": "how is it", "context": "it is late", "answers": {"text": [], "answer_start": []}},
    ]  # fmt: skip
    found = _encoded(tmp_path, rows, 32)
    count = int(found.windows[1])
    assert count > 3
    assert found.longest <= 32
    assert (found.whole_lengths <= found.longest).all(), "nothing is said to be unread"
    read = np.zeros(len(context), dtype=bool)
    for start, end in found.characters[: found.offsets[count]]:
        read[max(0, start) : max(0, end)] = True
    assert all(read[at] for at, letter in enumerate(context) if letter != " ")
    batch, marks = found.inputs(np.array([0, 1])), found.batch_targets(np.array([0, 1]))
    assert batch["windows"].shape == (2, count)
    assert batch["windows"][1].tolist() == [count, *[-1] * (count - 1)]
    starts = batch["places"][..., 0]
    for row, window, token, side in marks.nonzero().tolist():
        which = int(batch["windows"][row, window])
        place = starts[which, token]
        assert place == NULL or (row == 0 and context[int(place) :].startswith("lost") and side in (0, 1))
    assert (marks.sum((2, 3))[0] == 2).all(), "each window has a begin and an end"
    assert (starts == NULL).sum() == count + 1
    drawn = _encoded(tmp_path, rows, 32)
    drawn.drawn = 2
    first, again = (drawn.training_batch(np.array([0]), 3, 5) for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert first["windows"].shape == (1, 2)
    context_marks = first["targets"] & (first["places"][..., 0] >= 0).view(1, 2, -1, 1)
    assert context_marks.any(), "the window with the answer is among those that are drawn"
    others = {drawn.training_batch(np.array([0]), 3, epoch)["input_ids"].sum().item() for epoch in range(8)}
    assert len(others) > 1
    assert drawn.training_lengths[0] < drawn.lengths[0]


def test_answers_keep_their_place_among_letters_of_every_kind(tmp_path: Path) -> None:
    # beyond 16 bits, combined, wide
    wide = "\U0001f600 \U0001d518ni e\u0301te\u0301 \u6771\u4eac \u0130stanbul \u00a0\ufb01ne\r\n"
    context = " ".join([wide + "the card is late and", wide + "sorry it is lost", wide + "the app is late"])
    places = [at for at in range(len(context)) if context.startswith("late", at)]
    answers = {"text": ["late", "late"], "answer_start": places}
    found = _encoded(tmp_path, [{"question": "how \U0001f600 is it", "context": context, "answers": answers}], 24)
    batch, marks = found.inputs(np.array([0])), found.batch_targets(np.array([0]))
    seen = set()
    for _, window, token, side in marks.nonzero().tolist():
        start, end = batch["places"][int(batch["windows"][0, window]), token].int().tolist()
        if start >= 0:
            assert context[start:end] == "late"
            seen.add((start, side))
    assert seen == {(place, side) for place in places for side in (0, 1)}


@pytest.mark.story
def test_a_run_from_squad_to_plain_transformers(tmp_path: Path) -> None:
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    (tmp_path / "base").mkdir()
    save_bert(tmp_path / "base")
    (tmp_path / "train.json").write_text(json.dumps(_squad(_rows(80))), encoding="utf-8")
    said: list[Event] = []
    run = tunesmith.train(
        tmp_path / "train.json", model=str(tmp_path / "base"), method="full", epochs=12, learning_rate=5e-3,
        max_length=24, near_duplicates=0, out=tmp_path / "run", listeners=[said.append],
    )  # fmt: skip
    assert run.document["first_metric"] == "f1"
    assert list(run.document["baselines"]) == ["constant_answer", "best_sentence"]
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "Answers in their contexts" in page
    assert 'class="passage"' in page
    model = tunesmith.load(run.path)
    row = _rows(80)[0]
    answer = model.predict({"question": row["question"], "context": row["context"]})
    assert (
        row["context"][answer["candidates"][0]["start"] : answer["candidates"][0]["end"]]
        == (answer["candidates"][0]["text"])
    )
    frame = model.predict(Dataset.from_list(_rows(80)).to_pandas()[["question", "context"]])
    assert {"predicted", "start", "end", "probability"} <= set(frame.columns)
    with pytest.warns(UserWarning, match="56 of 80 rows were trained on"):
        found = tunesmith.evaluate(run.path, data=_rows(80))
    assert found["metrics"]["f1"]["value"] == pytest.approx(model.score(Dataset.from_list(_rows(80)).to_pandas()))
    network = AutoModelForQuestionAnswering.from_pretrained(run.path / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(run.path / "model")
    inputs = tokenizer(row["question"], row["context"], return_tensors="pt", return_offsets_mapping=True)
    offsets, of = inputs.pop("offset_mapping")[0], inputs.sequence_ids(0)
    with torch.no_grad():
        out = network(**inputs)
    pairs = out.start_logits[0][:, None] + out.end_logits[0][None, :]
    inside = torch.tensor([one == 1 for one in of])
    longest = model.task.state()["longest"]
    fits = (offsets[None, :, 1] - offsets[:, None, 0]) <= longest
    pairs = pairs.masked_fill(~((inside[:, None] & inside[None, :]).triu() & fits), -torch.inf)
    start, end = divmod(int(pairs.argmax()), pairs.shape[1])
    first = answer["candidates"][0]
    assert (int(offsets[start][0]), int(offsets[end][1])) == (first["start"], first["end"])


@pytest.mark.slow
def test_a_run_begins_with_the_model_of_another(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    save_bert(tmp_path / "base")
    words: dict[str, Any] = {"method": "full", "epochs": 1, "near_duplicates": 0, "verbose": False}
    tunesmith.train(_rows(), model=str(tmp_path / "base"), out=tmp_path / "first", **words)
    run = tunesmith.train(_rows(), model=str(tmp_path / "first" / "model"), out=tmp_path / "second", **words)
    assert "base" in run.document["baselines"], "the head of the first run answers before any training"
    with pytest.raises(NotSupported, match="no classes"):
        run.model.predict_proba([("how is the card", "the card is lost")])
