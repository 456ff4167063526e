"""The same rows come out of every kind of source; encodings, delimiters and headers are told."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import datasets
import pandas
import pytest

from toys import sentence
from tunesmith.core.events import ignore
from tunesmith.data.prepare import keep, read_rows
from tunesmith.data.targets import parse_targets
from tunesmith.data.types import Columns

ROWS = [{"text": sentence(n), "label": "xyz"[n % 3]} for n in range(30)]
FRAME = pandas.DataFrame(ROWS)
LABEL = Columns(("text",), ("label",), "label")


def save(kind: str, folder: Path) -> Any:
    path = folder / kind
    match kind:
        case "rows.csv":
            FRAME.to_csv(path, index=False)
        case "rows.tsv":
            FRAME.to_csv(path, index=False, sep="\t")
        case "rows.csv.gz":
            path.write_bytes(gzip.compress(FRAME.to_csv(index=False).encode()))
        case "rows.json":
            path.write_text(json.dumps(ROWS, indent=1))
        case "data.json":
            path.write_text(json.dumps({"version": 2, "data": ROWS}))
        case "columns.json":
            path.write_text(json.dumps({name: list(FRAME[name]) for name in FRAME}))
        case "rows.jsonl" | "lines.json":
            path.write_text("\n".join(map(json.dumps, ROWS)))
        case "rows.parquet":
            FRAME.to_parquet(path)
        case "rows.feather":
            FRAME.to_feather(path)
        case "arrow-folder":
            datasets.disable_progress_bars()
            datasets.Dataset.from_list(ROWS).save_to_disk(str(path))
        case "class-folder":
            for number, row in enumerate(ROWS):
                (path / row["label"]).mkdir(parents=True, exist_ok=True)
                (path / row["label"] / f"{number:02}.txt").write_text(row["text"])
        case "DataFrame":
            return FRAME
        case "Dataset":
            return datasets.Dataset.from_list(ROWS)
        case "list":
            return ROWS
    return path


FILES = [
    "rows.csv", "rows.tsv", "rows.csv.gz", "rows.json", "data.json", "columns.json", "rows.jsonl",
    "lines.json", "rows.parquet", "rows.feather", "arrow-folder", "class-folder", "DataFrame", "Dataset",
    "list",
]  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
def test_every_source_gives_the_same_rows(bench: Any, kind: str) -> None:
    data = bench(save(kind, bench.folder))
    found = sorted((row["text"], row["target"]) for row in data.rows)
    assert found == sorted((row["text"], row["label"]) for row in ROWS)
    assert data.columns == LABEL
    assert data.label_names == ["x", "y", "z"]
    assert {name: len(rows) for name, rows in data.splits.items()} == {
        "train": 24,
        "validation": 3,
        "test": 3,
    }


def test_one_content_has_one_fingerprint(bench: Any) -> None:
    prints = {bench(save(kind, bench.folder)).fingerprint for kind in ("rows.csv", "rows.jsonl", "DataFrame")}
    assert len(prints) == 1
    assert bench(FRAME, seed=1).fingerprint not in prints
    assert bench(FRAME.assign(label=FRAME["label"].str.upper())).fingerprint not in prints


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8", None), ("utf-8-sig", "utf-8-sig"), ("utf-16", "utf-16"), ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"), ("latin-1", "latin-1"), ("cp1252", "cp1252"),
    ],
)  # fmt: skip
def test_encodings_are_found_and_said(bench: Any, ticket_lines: Any, encoding: str, said: str | None) -> None:
    word = "déjà vu für “dich”" if encoding != "latin-1" else "déjà vu für dich"
    data = bench(bench.write("e.csv", [*ticket_lines(), f"{word},a"], encoding))
    assert data.rows[-1]["text"] == word
    assert bench.said("encoding").startswith(said or "")
    assert bool(bench.said("encoding")) == bool(said)
    assert len(data.audit()["notes"]) == bool(said)


@pytest.mark.story
def test_a_late_byte_decides(bench: Any, ticket_lines: Any) -> None:
    lines = ticket_lines(30_000)
    data = bench(bench.write("late.csv", [*lines, "caf\u00e9,a"], "latin-1"), near_duplicates=0)
    assert data.rows[-1]["text"] == "café"


def test_cyrillic(bench: Any) -> None:
    lines = [
        "text,label",
        *(f"Здравствуйте где мой заказ {sentence(n)} жду две недели,{n % 2}" for n in range(40)),
    ]
    assert bench(bench.write("c.csv", lines, "cp1251")).rows[0]["text"].startswith("Здравствуйте где мой заказ")


@pytest.mark.parametrize(("delimiter", "name"), [(",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "bar")])
def test_delimiters(bench: Any, ticket_lines: Any, delimiter: str, name: str) -> None:
    lines = ticket_lines(delimiter=delimiter)
    if delimiter != ",":
        lines = [line.replace("lamp", "lamp, or") for line in lines]
    assert len(bench(bench.write("d.csv", lines)).rows) == 20
    assert bench.said("delimiter").startswith(name)


def test_quoted_cells_may_hold_lines_and_places_are_kept(bench: Any, ticket_lines: Any) -> None:
    path = bench.write("m.csv", [*ticket_lines(), '"two\nlines, and ""quotes""",a', "last one here,b", "", ""])
    data = bench(path)
    assert data.rows[20]["text"] == 'two\nlines, and "quotes"'
    assert data.location(20) == {"file": str(path), "row": 21, "line": 22}
    assert data.location(21) == {"file": str(path), "row": 22, "line": 24}


def test_mixed_line_ends(bench: Any, ticket_lines: Any) -> None:
    lines = ticket_lines()
    content = "\r\n".join(lines[:7]) + "\n" + "\n".join(lines[7:]) + "\r\n\r\n\n"
    data = bench(bench.write("m.csv", content.encode()))
    assert [row["target"] for row in data.rows] == ["a", "b"] * 10


def test_backslash_quotes(bench: Any, ticket_lines: Any) -> None:
    data = bench(bench.write("b.csv", [*ticket_lines(), r'"he said \"no, thanks\" twice",a']))
    assert data.rows[-1]["text"] == 'he said "no, thanks" twice'


def test_quotes_are_text_in_plain_tsv(bench: Any) -> None:
    lines = [f'{"ab"[n % 2]}\t"{sentence(n)}" he said' for n in range(20)]
    data = bench(bench.write("q.tsv", lines))
    assert data.rows[0]["text"] == f'"{sentence(0)}" he said'
    assert len(data.rows) == 20


def test_a_missing_header_is_said(bench: Any) -> None:
    data = bench(bench.write("n.csv", [f"{sentence(n)},{n / 7:.2f}" for n in range(20)]))
    assert (data.columns.inputs[0], data.columns.target, data.columns.header) == ("column_1", ("column_2",), False)
    assert "none" in bench.said("header")
    assert data.location(0)["line"] == 1


def test_a_named_column_proves_a_header(bench: Any) -> None:
    lines = ["spam,words", *(f"{'spam' if n % 2 else 'ham'},{sentence(n)}" for n in range(20))]
    assert bench(bench.write("h.csv", lines), target="spam").columns.header
    assert not bench(bench.write("h2.csv", lines)).columns.header


def test_parts_of_a_dataset_dict_and_of_a_folder(bench: Any, ticket_lines: Any) -> None:
    whole = datasets.Dataset.from_list(ROWS)
    parts = datasets.DatasetDict(train=whole.select(range(20)), test=whole.select(range(20, 30)))
    sizes = {"train": 18, "validation": 2, "test": 10}
    assert {name: len(rows) for name, rows in bench(parts).splits.items()} == sizes
    again = bench(keep(parts, bench.folder / "kept"))
    assert {name: len(rows) for name, rows in again.splits.items()} == sizes
    for name, count in (("train", 20), ("dev", 12), ("test", 11)):
        bench.write(f"folder/my-{name}.csv", [line.replace(" ", f" {name} ") for line in ticket_lines(count)])
    found = bench(bench.folder / "folder")
    assert [len(found.splits[name]) for name in ("train", "validation", "test")] == [20, 12, 11]


def test_class_folders_with_parts(bench: Any) -> None:
    for number, row in enumerate(ROWS):
        part = "test" if number >= 24 else "train"
        bench.write(f"texts/{part}/{row['label']}/{number:02}.txt", [row["text"]] if number else b"")
    data = bench(bench.folder / "texts")
    assert [len(data.splits[name]) for name in ("train", "validation", "test")] == [21, 2, 6]
    assert data.ledger.counts()["reasons"]["dropped"] == {"no text in column 'text'": 1}
    assert data.location(1)["file"].endswith("train/x/03.txt")


def test_class_labels_become_names(bench: Any) -> None:
    dataset = datasets.Dataset.from_list([{"text": r["text"], "label": "xyz".index(r["label"])} for r in ROWS])
    features = dataset.features.copy()
    features["label"] = datasets.ClassLabel(names=["good", "bad", "fair"])
    data = bench(datasets.Dataset.from_list(dataset.to_list(), features=features))
    assert data.label_names == ["bad", "fair", "good"]
    assert data.rows[0]["target"] == "good"


def test_values_of_mixed_types_are_read(bench: Any) -> None:
    rows = [{"text": row["text"], "label": 1 if n % 2 else "one", "extra": {"n": n}} for n, row in enumerate(ROWS)]
    del rows[5]["extra"]
    assert bench(rows).label_names == ["1", "one"]


def test_read_rows_keeps_all_columns(bench: Any, ticket_lines: Any) -> None:
    lines = [line + (",id" if n == 0 else f",{n}") for n, line in enumerate(ticket_lines(12))]
    path = bench.write("other.csv", lines)
    rows = read_rows(path, emit=ignore, cache_dir=bench.folder / "cache", columns=LABEL)
    assert rows.column_names == ["text", "label", "id"]
    assert parse_targets(rows, LABEL, ["a", "b"]) == ["a", "b"] * 6
    with pytest.raises(Exception, match=r"row 2, column 'label': the model does not know the label 'b'"):
        parse_targets(rows, LABEL, ["a", "c"])
    with pytest.raises(Exception, match=r"other.csv, column 'body': there is no such column"):
        read_rows(
            path,
            emit=ignore,
            cache_dir=bench.folder / "cache",
            columns=Columns(("body",), ("label",), "label"),
        )


def test_read_rows_of_one_column_of_sentences(bench: Any) -> None:
    path = bench.write("one.csv", ["text", "hello, you", "and, you", "all of you"])
    rows = read_rows(path, emit=ignore, cache_dir=bench.folder / "cache", columns=LABEL)
    assert rows["text"][:] == ["hello, you", "and, you", "all of you"]
    with pytest.raises(Exception, match="the target column is not in this data"):
        parse_targets(rows, LABEL, None)


def test_parse_targets_follows_a_selection(bench: Any) -> None:
    rows = read_rows(FRAME, emit=ignore, cache_dir=bench.folder / "cache")
    assert parse_targets(rows.select([2, 0]), LABEL, None) == ["z", "x"]
    numbers = read_rows([{"text": "a", "n": "1,5"}, {"text": "b", "n": "x"}], emit=ignore, cache_dir=bench.folder)
    with pytest.raises(Exception, match="row 2, column 'n': 'x' is not a number"):
        parse_targets(numbers, Columns(("text",), ("n",), "number"), None)


def test_quotes_behind_a_space(tmp_path: Path, bench: Any) -> None:
    lines = ["label, text", *(f'"{row["label"]}", "{row["text"]}, and so on"' for row in ROWS)]
    data = bench(bench.write("spaced.csv", lines))
    assert data.label_names == ["x", "y", "z"]
    assert data.rows["text"][0] == f"{ROWS[0]['text']}, and so on"
    assert "quotes stand behind a space" in bench.said("delimiter")


def test_text_that_is_stored_as_bytes(bench: Any) -> None:
    path = bench.folder / "bytes.parquet"
    FRAME.assign(text=FRAME.text.str.encode("utf-8")).to_parquet(path)
    assert bench(path).rows["text"][:] == [row["text"] for row in ROWS]


def test_hidden_folders_are_no_classes(bench: Any) -> None:
    for number, row in enumerate(ROWS):
        bench.write(f"classes/{row['label']}/{number}.txt", [row["text"]])
    bench.write("classes/.trash/1.txt", ["gone"])
    assert bench(bench.folder / "classes").label_names == ["x", "y", "z"]


def test_parts_that_are_not_read_are_told(bench: Any) -> None:
    data = datasets.Dataset.from_list(ROWS)
    bench(datasets.DatasetDict({"train": data, "unsupervised": data}))
    assert "unsupervised: only train, validation and test are read" in bench.said("parts left out")
    for name in ("train", "test", "extra"):
        FRAME.to_csv(bench.write(f"folder/{name}.csv", b""), index=False)
    bench(bench.folder / "folder")
    assert "extra.csv: not called train, validation or test" in bench.said("files left out")


def test_a_part_of_no_kind_that_is_read_is_told(bench: Any) -> None:
    FRAME.to_csv(bench.write("folder/train.csv", b""), index=False)
    bench.write("folder/emerging.test.annotated", ["a b"])
    bench(bench.folder / "folder")
    assert "emerging.test.annotated: their names end in nothing that is read" in bench.said("files left out")


def test_lists_in_quoted_cells_are_no_quotes_behind_a_space(bench: Any) -> None:
    lines = ["text,label", *(f'" {row["text"]} ([1, ""two""])",{row["label"]}' for row in ROWS)]
    data = bench(bench.write("lists.csv", lines))
    assert data.rows["text"][0] == f' {ROWS[0]["text"]} ([1, "two"])'
    assert "behind a space" not in bench.said("delimiter")
