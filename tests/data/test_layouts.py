"""Rows in the layouts of other tools are read as what they are, or named as what they look like."""

from __future__ import annotations

import json
from typing import Any

import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from toys import sentence
from tunesmith.core.errors import DataError
from tunesmith.core.events import ignore
from tunesmith.data.conversations import peek, read_examples
from tunesmith.data.prepare import read_rows
from tunesmith.data.types import Columns

ROWS = [{"text": sentence(n), "label": "xyz"[n % 3]} for n in range(30)]
FRAME = pandas.DataFrame(ROWS)
CHAT = [{"messages": [{"role": "user", "content": f"Where is {n}?"}, {"role": "assistant", "content": f"At {n}."}]}
        for n in range(20)]  # fmt: skip


def studio(row: dict[str, Any], number: int, **value: Any) -> dict[str, Any]:
    value = value or {"choices": [row["label"]]}
    result = [{"from_name": "topic", "to_name": "text", "type": next(iter(value)), "value": value}]
    return {"id": number, "data": {"text": row["text"]}, "annotations": [{"id": number, "result": result}]}


def lines(rows: Any, end: str = "") -> str:
    return "".join(json.dumps(row) + end + "\n" for row in rows)


KNOWN = {
    "by-id.json": json.dumps({f"q{n}": row for n, row in enumerate(ROWS)}),
    "index.json": FRAME.to_json(orient="index"),
    "columns.json": FRAME.to_json(orient="columns"),
    "split.json": FRAME.to_json(orient="split"),
    "table.json": FRAME.to_json(orient="table"),
    "viewer.json": json.dumps({"features": [{"name": "text"}, {"name": "label"}],
                               "rows": [{"row_idx": n, "row": row, "truncated_cells": []}
                                        for n, row in enumerate(ROWS)]}),
    "studio.json": json.dumps([studio(row, n) for n, row in enumerate(ROWS)]),
    "studio.jsonl": lines(studio(row, n) for n, row in enumerate(ROWS)),
    "studio-min.json": json.dumps([row | {"id": n, "annotator": 1} for n, row in enumerate(ROWS)]),
    "doccano.jsonl": lines({"id": n, "text": r["text"], "label": [r["label"]], "Comments": []}
                           for n, r in enumerate(ROWS)),
    "doccano.json": json.dumps([{"id": n, "data": r["text"], "label": [r["label"]], "comments": []}
                                for n, r in enumerate(ROWS)]),
    "prodigy.jsonl": lines({"text": r["text"], "accept": [r["label"]], "answer": "accept", "_input_hash": n}
                           for n, r in enumerate(ROWS)),
    "fasttext.txt": "".join(f"__label__{r['label']} {r['text']}\n" for r in ROWS),
    "fasttext-end.csv": "".join(f"{r['text']} __label__{r['label']}\n" for r in ROWS),
    "commas.jsonl": lines(ROWS, ","),
    "list.jsonl": json.dumps(ROWS),
    "long-list.jsonl": json.dumps(ROWS, indent=2),
    "pretty.jsonl": "\n".join(json.dumps(row, indent=2) for row in ROWS),
    "pretty-commas.json": ",\n".join(json.dumps(row, indent=2) for row in ROWS),
    "nested.jsonl": lines({"content": {"text": r["text"], "lang": "en"}, "meta": {"label": r["label"]}} for r in ROWS),
    "deep.json": json.dumps([{"a": {"b": {"text": r["text"]}}, "label": r["label"]} for r in ROWS]),
    "joined.jsonl": lines(ROWS[:9]) + "\ufeff" + lines(ROWS[9:]),
    "really.csv": lines(ROWS),
}  # fmt: skip


@pytest.mark.parametrize("name", list(KNOWN))
def test_known_layouts_give_the_rows(bench: Any, name: str) -> None:
    data = bench(bench.write(name, KNOWN[name].encode()))
    found = [(row["text"], row["target"]) for row in data.rows]
    assert found == [(row["text"], row["label"]) for row in ROWS]
    assert data.columns.kind == "label"


@pytest.mark.parametrize(
    ("name", "said"),
    [("by-id.json", "by id"), ("viewer.json", "viewer"), ("studio.json", "Label Studio"), ("doccano.jsonl", "Doccano"),
     ("fasttext.txt", "fastText"), ("commas.jsonl", "comma"), ("list.jsonl", "list"), ("pretty.jsonl", "one after")],
)  # fmt: skip
def test_the_layout_is_said(bench: Any, name: str, said: str) -> None:
    bench(bench.write(name, KNOWN[name].encode()))
    assert said in bench.said("layout")


def test_parts_in_one_document(bench: Any) -> None:
    document = {"train": ROWS[:18], "dev": ROWS[18:24], "test": ROWS[24:], "extra": ROWS[:2]}
    data = bench(bench.write("parts.json", json.dumps(document).encode()))
    assert {name: len(rows) for name, rows in data.splits.items()} == {"train": 18, "validation": 6, "test": 6}
    assert "'extra'" in bench.said("layout")
    assert "(test)" in data.location(29)["file"]
    columns = {part: FRAME[:20].to_dict("list") if part == "train" else FRAME[20:].to_dict("list")
               for part in ("train", "test")}  # fmt: skip
    data = bench(bench.write("columns.json", json.dumps(columns).encode()))
    assert len(data.splits["test"]) == 10


def test_the_part_of_a_document_that_is_asked_for(bench: Any) -> None:
    path = bench.write("parts.json", json.dumps({"train": ROWS[:18], "test": ROWS[18:]}).encode())
    assert len(bench(FRAME[:18], test=path).splits["test"]) == 12


def test_several_labels_stay_lists(bench: Any) -> None:
    rows = [row | {"labels": ["x", "y"] if n % 2 else ["x"]} for n, row in enumerate(ROWS)]
    text = "".join("".join(f"__label__{label} " for label in row["labels"]) + f"{row['text']}\n" for row in rows)
    assert bench(bench.write("fast.txt", text.encode())).rows[1]["target"] == ["x", "y"]
    tasks = [studio(row, n, choices=row["labels"]) for n, row in enumerate(rows)]
    assert bench(bench.write("s.json", json.dumps(tasks).encode())).columns.kind == "labels"


def test_label_studio_ratings_and_texts_without_label(bench: Any) -> None:
    tasks = [studio(row, n, rating=n / 3) for n, row in enumerate(ROWS)]
    data = bench(bench.write("rated.json", json.dumps(tasks).encode()))
    assert (data.columns.kind, data.columns.target) == ("number", ("topic",))
    tasks = [studio(row, n) for n, row in enumerate(ROWS)]
    tasks[4]["annotations"] = []
    tasks[5]["annotations"].append({"result": [{"from_name": "topic", "value": {"choices": ["x"]}}]})
    tasks[5]["annotations"][1]["result"][0]["type"] = "choices"
    data = bench(bench.write("open.json", json.dumps(tasks).encode()))
    assert data.ledger.counts()["reasons"]["dropped"] == {"no target in column 'topic'": 1}
    assert "1 texts were labelled more than once and differently" in bench.said("layout")


def test_conversations_in_the_same_layouts(bench: Any) -> None:
    for name, text in {
        "chat.jsonl": json.dumps(CHAT), "pretty.jsonl": "\n".join(json.dumps(row, indent=1) for row in CHAT),
        "commas.jsonl": lines(CHAT, ","), "id.json": json.dumps({f"c{n}": row for n, row in enumerate(CHAT)}),
        "viewer.json": json.dumps({"rows": [{"row_idx": n, "row": row} for n, row in enumerate(CHAT)]}),
    }.items():  # fmt: skip
        path = bench.write(name, text.encode())
        assert peek(str(path)) is not None
        assert len(read_examples(str(path), emit=ignore)) == 20
    parts = bench.write("parts.json", json.dumps({"train": CHAT[:15], "test": CHAT[15:]}).encode())
    assert len(read_examples(str(parts), emit=ignore)) == 20


def test_nested_columns_of_parquet_and_of_memory(bench: Any) -> None:
    nested = [{"doc": {"text": row["text"]}, "label": row["label"]} for row in ROWS]
    path = bench.folder / "n.parquet"
    pq.write_table(pa.Table.from_pylist(nested), path)
    assert bench(path).columns.inputs == bench(nested).columns.inputs == ("doc.text",)
    columns = Columns(("doc.text",), ("label",), "label")
    rows = read_rows(path, emit=ignore, cache_dir=bench.folder / "cache", columns=columns)
    assert rows["doc.text"][0] == ROWS[0]["text"]


SPANS = [{"id": n, "text": r["text"], "label": [[0, 4, "NAME"]], "Comments": []} for n, r in enumerate(ROWS)]
OTHER = {
    "lists.json": (json.dumps([[r["text"], r["label"]] for r in ROWS]), "list of lists"),
    "spans.jsonl": (lines(SPANS), "spans"),
    "ner.json": (json.dumps([studio(r, n, labels=["NAME"], start=0, end=3) for n, r in enumerate(ROWS)]), "spans"),
    "cut.json": (json.dumps({"rows": [{"row": r, "truncated_cells": ["text"]} for r in ROWS]}), "the viewer cut cells"),
    "cells.jsonl": (lines([r["text"], r["label"]] for r in ROWS), "line 1, row 1: this line is a list, not an object"),
    "squad.json": (json.dumps({"data": [{"title": "t", "paragraphs": [{"context": "c", "qas": []}]}]}), "SQuAD"),
    "page.csv": ("<!DOCTYPE html><html><body>Sign in, please</body></html>", "web page"),
    "pointer.csv": ("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 9\n", "pointer of Git LFS"),
    "tags.csv": ("<?xml version='1.0'?><rows/>", "XML"),
    "one.json": (json.dumps({"name": "x", "version": 3}, indent=1), "one object without rows in it (its keys: 'name'"),
}


@pytest.mark.parametrize("name", list(OTHER))
def test_other_layouts_are_named(bench: Any, name: str) -> None:
    content, said = OTHER[name]
    with pytest.raises(DataError) as caught:
        bench(bench.write(name, content.encode()))
    assert said in str(caught.value)
