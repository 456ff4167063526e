"""Entities in the forms in which they are written: characters of texts, exports of tools, a word a row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tunesmith.core.errors import DataError
from tunesmith.core.events import Event, Warned
from tunesmith.data import offsets
from tunesmith.data.prepare import prepare
from tunesmith.data.prepared import PreparedData
from tunesmith.data.splitting import places_of, rule_of
from tunesmith.data.tags import scheme_of, stray
from tunesmith.data.types import SplitOptions
from tunesmith.runs import choose

NAMES = ["Ada", "Bo Li", "Eve", "Jo"]
TEXTS = [f"{NAMES[at % 4]} paid {at} Euro." for at in range(20)]
WORDS = [[*NAMES[at % 4].split(), "paid", str(at), "Euro", "."] for at in range(20)]
TAGS = [["B-PER", *["I-PER"] * (at % 4 == 1), "O", "O", "O", "O"] for at in range(20)]


def _spans(at: int, **names: str) -> list[dict[str, Any]]:
    start, end, label = (names.get(name, name) for name in ("start", "end", "label"))
    return [
        {end: len(NAMES[at % 4]), label: "PER"},
        {start: TEXTS[at].index("Euro"), end: len(TEXTS[at]) - 1, label: "CUR"},
    ]


def _read(source: object, folder: Path, task: str = "auto") -> tuple[PreparedData, list[Event]]:
    said: list[Event] = []
    modalities, others = choose.modalities_for(task)
    found = prepare(
        source, options=SplitOptions(near_duplicates=0), kinds=choose.kinds_for(task), modalities=modalities,
        others=others, seed=0, emit=said.append, cache_dir=folder / "cache",
    )  # fmt: skip
    return found, said


def _studio(at: int) -> dict[str, Any]:
    value = [{"start": s.get("start", 0), "end": s["end"], "text": TEXTS[at][s.get("start", 0) : s["end"]],
              "labels": [s["label"]]} for s in _spans(at)]  # fmt: skip
    results = [{"type": "labels", "from_name": "label", "to_name": "text", "value": one} for one in value]
    return {"id": at, "data": {"text": TEXTS[at]}, "annotations": [{"result": results, "was_cancelled": False}]}


def _lists(at: int) -> list[list[Any]]:
    return [[one.get("start", 0), one["end"], one["label"]] for one in _spans(at)]


ROWS = range(20)
FORMS: dict[str, tuple[str, list[Any]]] = {
    "spaCy": ("jsonl", [{"text": TEXTS[at], "entities": _lists(at)} for at in ROWS]),
    "nested": ("jsonl", [{"text": TEXTS[at], "ann": {"entities": _lists(at)}} for at in ROWS]),
    "a missing start": ("jsonl", [{"text": TEXTS[at], "spans": _spans(at)} for at in ROWS]),
    "other names": ("json", [{"content": TEXTS[at], "ner": _spans(at, start="begin_offset", end="end_offset",
                    label="entity_group")} for at in ROWS]),
    "Doccano": ("jsonl", [{"id": at, "text": TEXTS[at], "label": _lists(at), "Comments": []} for at in ROWS]),
    "Doccano of before": ("jsonl", [{"text": TEXTS[at], "annotations": _spans(at, start="start_offset",
                          end="end_offset")} for at in ROWS]),
    "Label Studio": ("json", [_studio(at) for at in ROWS]),
    "Label Studio, short": ("json", [{"text": TEXTS[at], "label": _studio(at)["annotations"][0]["result"][0]["value"]
                            and [one["value"] for one in _studio(at)["annotations"][0]["result"]]} for at in ROWS]),
    "Prodigy": ("jsonl", [{"text": TEXTS[at], "spans": _spans(at), "answer": "accept", "_input_hash": 1,
                "_task_hash": 2, "tokens": [{"text": "Ada", "start": 0, "end": 3, "id": 0}]} for at in ROWS]),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_characters_with_a_label(form: str, tmp_path: Path) -> None:
    suffix, rows = FORMS[form]
    path = tmp_path / f"rows.{suffix}"
    path.write_text(json.dumps(rows) if suffix == "json" else "\n".join(map(json.dumps, rows)), encoding="utf-8")
    found, _ = _read(path, tmp_path)
    assert (found.columns.kind, found.columns.modality, found.columns.splitting) == ("spans", "tokens", "signs")
    assert found.rows["tokens"][:] == WORDS
    assert [tags[:2] for tags in found.rows["target"][:]] == [tags[:2] for tags in TAGS]
    assert found.rows["target"][0] == ["B-PER", "O", "O", "B-CUR", "O"]


@pytest.mark.parametrize("form", ["number", "filled below", "empty rows", "empty lines"])
def test_a_word_a_row(form: str, tmp_path: Path) -> None:
    lines = ["Sentence #,Word,POS,Tag"] if "n" in form[:2] or form == "filled below" else ["word,tag"]
    for at, (words, tags) in enumerate(zip(WORDS, TAGS, strict=True)):
        for place, (word, tag) in enumerate(zip(words, tags, strict=True)):
            first = f"Sentence: {at}" if form == "number" or not place else ""
            lines.append(f"{first},{word},NN,{tag}" if form in ("number", "filled below") else f"{word},{tag}")
        lines += [","] if form == "empty rows" else [""] if form == "empty lines" else []
    path = tmp_path / "words.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    found, _ = _read(path, tmp_path)
    assert found.rows["tokens"][:] == WORDS
    assert found.rows["target"][:] == TAGS
    assert any("a word a row" in note for note in found.facts["notes"])
    assert found.origins.part_of(3)[0].location(3)["line"] == 2 + sum(
        len(row) + (form[:5] == "empty") for row in WORDS[:3]
    )


FAULTS = {
    "outside": ([[2, 90, "PER"]], "the span 2:90 (PER) lies outside of its text of"),
    "no length": ([[3, 3, "PER"]], "ends where or before it begins"),
    "only spaces": ([[3, 4, "PER"]], "holds nothing but spaces"),
    "drift": (
        [{"start": 4, "end": 7, "label": "PER", "text": "Ada"}],
        "is 'pai', and is said to be 'Ada'; it stands at 0",
    ),
    "no list of three": ([[0, 3, "PER"], [0, 5]], "'[0, 5]' is no span"),
    "no label": ([{"start": 4, "end": 7, "label": ""}], "has no label"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_spans_that_can_not_be_meant_are_refused_with_their_row(name: str, tmp_path: Path) -> None:
    rows = [{"text": TEXTS[at], "spans": _spans(at)} for at in ROWS]
    rows[4]["spans"] = FAULTS[name][0]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        _read(path, tmp_path, "token-classification")
    assert FAULTS[name][1] in str(caught.value)
    assert [(problem.file, problem.row) for problem in caught.value.problems] == [(str(path), 5)]


def test_lists_of_different_lengths_are_refused_however_short(tmp_path: Path) -> None:
    rows = [{"tokens": WORDS[at], "ner_tags": list(TAGS[at])} for at in ROWS]
    rows[1]["ner_tags"], rows[2]["ner_tags"], rows[3]["tokens"] = TAGS[1][1:], [], []
    rows[4]["ner_tags"][0] = ""
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        _read(path, tmp_path)
    assert [(problem.row, problem.message) for problem in caught.value.problems] == [
        (2, "6 words, and 5 tags"), (3, "5 words, and 0 tags"), (4, "0 words, and 5 tags"),
        (5, "an empty tag stands in the list, at place 1 of 5"),
    ]  # fmt: skip


def test_what_is_read_otherwise_is_said_with_its_place(tmp_path: Path) -> None:
    rows = [{"text": TEXTS[at], "spans": _lists(at)} for at in ROWS]
    rows[0]["spans"] = [[0, 2, "PER"], [4, 10, "CUR"], [4, 8, "X"]]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    found, said = _read(path, tmp_path)
    assert found.rows["target"][0] == ["B-PER", "B-CUR", "I-CUR", "O", "O"]
    told = [one.message for one in said if isinstance(one, Warned) and one.what == "spans"]
    assert f"1 times {offsets.WIDENED}, such as {path}, line 1, row 1: 'Ad' to 'Ada'" in told[0]
    assert "row 1: not 'paid' (X)" in told[1]


def test_bytes_in_place_of_characters_are_recognised() -> None:
    text = "Zürich und Genève"
    start = len("Zürich und ".encode())
    found = offsets.align(text, [offsets.CharSpan(start, start + 7, "LOC", "Genève")], places_of(text, "signs"))
    assert "the offsets fit as bytes of UTF-8: count characters" in found.faults[0]


def test_an_i_behind_an_o_is_read_and_said(tmp_path: Path) -> None:
    rows = [{"tokens": words, "tags": tags} for words, tags in zip(WORDS, TAGS, strict=True)]
    rows[2] = {"tokens": WORDS[2], "tags": ["I-PER", "O", "O", "O", "O"]}
    found, said = _read(rows, tmp_path)
    assert found.rows["target"][2][0] == "B-PER"
    told = [one.message for one in said if isinstance(one, Warned) and one.what == "spans"]
    assert told == [told[0]]
    assert "read as if it were B-, such as list of rows, row 3: at word 1" in told[0]
    assert scheme_of([["I-PER", "O"], ["O", "I-LOC", "B-LOC"]]) == "IOB1"
    assert stray(["B-PER", "I-PER", "I-LOC", "O", "I-PER"]) == [2, 4]


def test_texts_are_told_apart_like_the_words_of_the_data() -> None:
    text = "Well-known: U.S. costs 3.5% @ada #1 https://a.b/c. 東京"
    signs = [text[start:end] for start, end in places_of(text, "signs")]
    words = [text[start:end] for start, end in places_of(text, "words")]
    assert signs[:3] == ["Well", "-", "known"]
    assert words == ["Well-known", ":", "U.S", ".", "costs", "3.5", "%", "@ada", "#1", "https://a.b/c.", "東", "京"]
    assert rule_of([["Parkinson", "'", "s", "disease"]]) == "signs"
    assert rule_of([["the", "well-known", "case"]]) == "words"


def test_labels_of_whole_texts_are_not_taken_for_spans(tmp_path: Path) -> None:
    rows = [{"text": TEXTS[at], "label": "ab"[at % 2], "entities": _lists(at)} for at in ROWS]
    found, _ = _read(rows, tmp_path)
    assert found.columns.kind == "label"
    with pytest.raises(DataError, match="learn the spans: --task token-classification"):
        _read([{"text": TEXTS[at], "label": json.dumps(_lists(at))} for at in ROWS], tmp_path, "text-classification")


def test_a_word_without_a_tag_is_refused(tmp_path: Path) -> None:
    pairs = zip(WORDS[0], TAGS[0], strict=True)
    lines = ["word,tag", *(f"{word},{tag}" for word, tag in pairs), "", "Ada,B-PER", "paid,"]
    path = tmp_path / "words.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="an empty tag stands in the list, at place 2 of 2"):
        _read(path, tmp_path)


def test_words_that_are_nearly_always_tagged_alike_are_suspected_elsewhere(tmp_path: Path) -> None:
    texts = [f"{at} times aspirin" for at in ROWS]
    rows = [{"text": text, "spans": [[text.index("a"), len(text), "DRUG"]]} for text in texts]
    rows[7]["spans"] = []
    _, said = _read(rows, tmp_path)
    told = [one.message for one in said if isinstance(one, Warned) and one.what == "spans"]
    assert told == [
        "1 places are tagged otherwise than the same words nearly always: list of rows, row 8: 'aspirin' is not "
        "tagged, and DRUG in 19 places"
    ]
