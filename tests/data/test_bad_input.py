"""Everything that stops before training: the message names file, row, line, column or flag."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pandas
import pyarrow
import pyarrow.parquet
import pytest

from tunesmith.core.errors import DataError
from tunesmith.core.events import ignore
from tunesmith.data import delimited, textfile
from tunesmith.data.conversations import peek
from tunesmith.data.prepare import read_rows
from tunesmith.data.types import Columns, ReadOptions

BIG = "x" * (delimited.CELL_LIMIT + 1)


def refused(bench: Any, source: Any, **given: Any) -> str:
    with pytest.raises(DataError) as caught:
        bench(source, **given)
    assert caught.value.exit_code == 2
    left = [path.name for path in (bench.folder / "cache").glob("*")]
    assert left == [], "nothing is left in the cache"
    return str(caught.value)


def test_a_missing_file_tells_near_names(bench: Any, ticket_lines: Any) -> None:
    bench.write("tickets.csv", ticket_lines())
    message = refused(bench, bench.folder / "tickts.csv")
    assert "tickts.csv: there is no such file" in message
    assert "Did you mean" in message
    assert "tickets.csv'?" in message


def test_a_missing_folder(bench: Any) -> None:
    assert "there is no folder" in refused(bench, str(bench.folder / "nowhere" / "a.csv"))


@pytest.mark.parametrize("content", [b"", b"\n\n \r\n", b"\xef\xbb\xbf", b"\xff\xfe"])
def test_an_empty_file(bench: Any, content: bytes) -> None:
    assert "e.csv: the file is empty" in refused(bench, bench.write("e.csv", content))


def test_header_only(bench: Any) -> None:
    assert "a header and no rows" in refused(bench, bench.write("h.csv", ["text,label"]))


@pytest.mark.parametrize("given", [{}, {"target": "label"}])
def test_one_class(bench: Any, ticket_lines: Any, given: dict[str, str]) -> None:
    message = refused(bench, bench.write("o.csv", ticket_lines(labels="a")), **given)
    assert "column 'label': the target is constant, there is only one class: 'a'" in message


def test_a_constant_number(bench: Any) -> None:
    lines = ["text,score", *(f"some text number {n},1.5" for n in range(20))]
    assert "every row has 1.5" in refused(bench, bench.write("c.csv", lines), kinds=("number",))


def test_a_class_with_one_row_is_named_with_its_line(bench: Any, ticket_lines: Any) -> None:
    message = refused(bench, bench.write("s.csv", [*ticket_lines(), "alone in the world,zz"]))
    assert "line 22, row 21, column 'label': the class 'zz' has only this one row" in message


def test_amounts_with_several_units_are_told_from_names(bench: Any) -> None:
    lines = ["text,price", *(f"some text number {n},{'$€£'[n % 3]}{n}.50" for n in range(1, 20))]
    message = refused(bench, bench.write("prices.csv", lines), target="price")
    assert "write them without a unit ('$12.50' is taken as a name)" in message


def test_all_texts_empty(bench: Any) -> None:
    path = bench.write("t.csv", ["text,label", *(f"   ,{'ab'[n % 2]}" for n in range(20))])
    assert "0 of 20 rows are left (dropped 20: no text in column 'text')" in refused(bench, path)


def test_too_few_rows(bench: Any, ticket_lines: Any) -> None:
    assert "9 of 9 rows are left; at least 10" in refused(bench, bench.write("f.csv", ticket_lines(9)))


def test_all_texts_the_same(bench: Any) -> None:
    lines = ["text,label", *(f"the same words,{'ab'[n % 2]}" for n in range(40))]
    assert "too few texts are different" in refused(bench, bench.write("f.csv", lines), text="text")


@pytest.mark.parametrize(("flag", "name"), [("target", "lable"), ("text", "txet")])
def test_a_misspelt_column_suggests_the_nearest(bench: Any, ticket_lines: Any, flag: str, name: str) -> None:
    message = refused(bench, bench.write("t.csv", ticket_lines()), **{flag: name})
    assert f"column {name!r}: there is no such column (--{flag})" in message
    assert "Did you mean '" + ("label" if flag == "target" else "text") in message


def test_text_and_target_must_differ(bench: Any, ticket_lines: Any) -> None:
    path = bench.write("t.csv", ticket_lines())
    assert "text and target at once" in refused(bench, path, text="text", target="text")


@pytest.mark.parametrize(("flag", "name"), [("group", "usr"), ("time", "wen")])
def test_a_missing_column_to_split_by(bench: Any, ticket_lines: Any, flag: str, name: str) -> None:
    message = refused(bench, bench.write("t.csv", ticket_lines()), **{flag: name})
    assert f"column {name!r}: there is no such column (option {flag!r})" in message


def test_words_among_numbers_are_listed_with_their_rows(bench: Any) -> None:
    lines = ["text,score", *(f"some text number {n},{n / 3 if n % 7 else 'high'}" for n in range(20))]
    message = refused(bench, bench.write("n.csv", lines), kinds=("number",))
    assert "line 9, row 8, column 'score': 'high' is not a number" in message
    assert message.count("is not a number") == 3
    assert "--target" in message


@pytest.mark.parametrize("cell", [BIG, f'"{BIG}"'])
def test_a_cell_over_ten_megabytes(bench: Any, ticket_lines: Any, cell: str) -> None:
    lines = [*ticket_lines(), "fine,a", f'ok,"{BIG}"' if cell is BIG else f"{cell},a", "fine too,b"]
    message = refused(bench, bench.write("big.csv", lines))
    column = "label" if cell is BIG else "text"
    assert f"line 23, row 22, column {column!r}: this cell holds more than 10,485,760 characters" in message


@pytest.mark.story
def test_a_big_cell_in_memory(bench: Any) -> None:
    rows = [{"text": BIG if n == 3 else f"text {n} of some", "label": "ab"[n % 2]} for n in range(12)]
    assert "row 4, column 'text': this cell holds more than" in refused(bench, rows)


def test_nul_bytes(bench: Any, ticket_lines: Any) -> None:
    message = refused(bench, bench.write("nul.csv", [*ticket_lines(), "a \0 b,a"]))
    assert "line 22, row 21, column 'text': the cell holds a NUL character" in message
    lines = [
        '{"text": "zero \\u0000 byte", "label": "a"}',
        *(f'{{"text": "t {n}", "label": "b"}}' for n in range(12)),
    ]
    assert "line 1, row 1, column 'text'" in refused(bench, bench.write("nul.jsonl", lines))


def test_a_quote_that_is_never_closed(bench: Any, ticket_lines: Any) -> None:
    lines = ticket_lines()
    message = refused(bench, bench.write("q.csv", [*lines[:9], '"two\nlines",a', '"never closed,a', *lines[9:]]))
    assert "line 12, row 10, column 'text': a quotation mark opens here and is never closed" in message


def test_text_after_a_closing_quote(bench: Any, ticket_lines: Any) -> None:
    lines = ticket_lines()
    message = refused(bench, bench.write("q.csv", [*lines[:9], 'fine,"a" or b', *lines[9:]]))
    assert "line 10, row 9, column 'label'" in message


def test_rows_with_another_number_of_cells(bench: Any, ticket_lines: Any) -> None:
    message = refused(bench, bench.write("w.csv", [*ticket_lines(), "a,b,c", "d", "e,a"]))
    assert "line 22, row 21: 3 cells where the header has 2" in message
    assert "line 23, row 22: 1 cell where the header has 2" in message


def test_a_truncated_gz(bench: Any, ticket_lines: Any) -> None:
    whole = gzip.compress("\n".join(ticket_lines(2_000)).encode())
    message = refused(bench, bench.write("t.csv.gz", whole[: len(whole) // 2]))
    assert "t.csv.gz: the gz file is cut short or damaged" in message


@pytest.mark.parametrize(
    ("magic", "kind"),
    [(b"\x89PNG\r\n\x1a\n", "PNG"), (b"PK\x03\x04", "ZIP"), (b"PAR1", "Parquet"), (b"", "unknown kind")],
)
def test_a_binary_file_named_csv(bench: Any, magic: bytes, kind: str) -> None:
    noise = random.Random(0).randbytes(4_000)
    assert kind in refused(bench, bench.write("p.csv", magic + noise))


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_a_damaged_table_file(bench: Any, suffix: str) -> None:
    assert "not a readable" in refused(bench, bench.write(f"d.{suffix}", random.Random(1).randbytes(3_000)))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('[{"text": "a", "label": "x"},\n {"text": "b" "label": "x"}]', "line 2, row 2: not valid JSON"),
        ('[{"text": "a"},\n {"text": "b"}', "line 2, row 2: not valid JSON"),
        ('[{"text": "a"},\n 7]', "line 2, row 2: this is a number, not an object"),
        ('{"text": ["a", "b"], "label": ["x"]}', "'text' has 2, 'label' has 1"),
    ],
)
def test_broken_json(bench: Any, text: str, where: str) -> None:
    assert where in refused(bench, bench.write("j.json", [text]))


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        (
            "j.jsonl",
            '{"text": "a", "label": "x"}\n{"text": "b", "text": "c"}',
            "line 2, row 2: the key 'text' stands 2",
        ),
        ("j.jsonl", '{"a": 1, "a": 2},\n{"a": 3},', "line 1, row 1: the key 'a' stands 2"),
        ("j.json", '[{"text": "a"},\n {"text": "b", "text": "c"}]', "line 2, row 2: the key 'text' "),
        ("j.json", '{"train": [{"text": "a"}],\n "train": [{"text": "b"}]}', "the key 'train' stands 2 times"),
        ("j.jsonl", '{"text": "a"}\n{"text": "b", "meta": {"c": 1, "c": 2}}', "line 2, row 2: the key 'c' stands 2"),
    ],
)
def test_a_key_that_stands_twice(bench: Any, name: str, text: str, where: str) -> None:
    assert where in refused(bench, bench.write(name, [text]))


def test_broken_json_lines_are_all_listed(bench: Any) -> None:
    message = refused(bench, bench.write("j.jsonl", ['{"text": "a"}', "[1]", "", "{bad"]))
    assert "line 2, row 2: this line is a list, not an object" in message
    assert "line 4, row 3: this line is not valid JSON" in message


def test_duplicate_column_names(bench: Any) -> None:
    lines = ["text,text,label", *(f"some words {n},more,{n % 2}" for n in range(12))]
    assert "column 'text': 2 columns have this name" in refused(bench, bench.write("d.csv", lines))


def test_a_test_file_with_other_columns(bench: Any, ticket_lines: Any) -> None:
    train, test = bench.write("t.csv", ticket_lines()), bench.write("test.csv", ["body,label", "hello you,a"])
    message = refused(bench, train, test=test)
    assert "test.csv, column 'text': there is no such column" in message
    assert "body" in message


def test_a_bad_date(bench: Any) -> None:
    rows = [{"text": f"words {n} more", "label": "ab"[n % 2], "when": f"2024-01-{n + 1:02}"} for n in range(20)]
    rows[4]["when"] = "soon"
    message = refused(bench, rows, time="when", text="text", target="label")
    assert "row 5, column 'when': this is not a date or a number" in message


def test_an_unreachable_hub_names_local_ways(bench: Any) -> None:
    message = refused(bench, "someone/some-data")
    assert "the hub can not give it" in message
    assert "CSV, TSV, JSON, JSONL, Parquet or Arrow" in message


def test_what_looks_like_a_path_is_no_hub_id(bench: Any, in_tmp: Path) -> None:
    assert "hub" not in refused(bench, "data/some.csv")
    (in_tmp / "owner").mkdir()
    assert "hub" not in refused(bench, "owner/name")


@pytest.mark.parametrize("source", [5, None, [1, 2], []])
def test_other_things_are_no_data(bench: Any, source: Any) -> None:
    assert refused(bench, source)


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("table.json", "text,label\nwords,a\n", "not valid JSON"),
        ("number.json", "12", "the document is a number without rows"),
        ("null.json", "null", "the document is null without rows"),
        ("text.json", '"words"', "the document is a string without rows"),
        ("deep.json", '[{"text": ' + "[" * 100_000, "line 1, row 1: not valid JSON"),
        ("deep.jsonl", '{"text": ' + "[" * 100_000, "line 1, row 1: this line is not valid JSON"),
        ("big.json", '[{"text": "a", "label": ' + "9" * 5_000 + "}]", "line 1, row 1: not valid JSON"),
        ("half.jsonl", '{"text": "words", "label": "a"}\n{"text": "cut \\ud83d", "label": "a"}',
         "half.jsonl, line 2, row 2, column 'text': the text holds half a character"),
        ("half.json", '[{"text": "words", "label": "a"},\n{"text": "cut \\ud83d", "label": "a"}]',
         "half.json, line 2, row 2, column 'text': the text holds half a character"),
    ],
)  # fmt: skip
def test_json_that_is_none_or_can_not_be_held(bench: Any, name: str, content: str, part: str) -> None:
    path = bench.write(name, content.encode())
    assert peek(path) is None
    message = refused(bench, path)
    assert name in message
    assert part in message


def test_half_characters_in_memory(bench: Any) -> None:
    rows = [{"text": f"words {n}", "label": "ab"[n % 2]} for n in range(20)]
    rows[7]["text"] = "cut \ud83d"
    for data, name in ((rows, "list of rows"), (pandas.DataFrame(rows, dtype=object), "DataFrame")):
        assert f"{name}, row 8, column 'text': the text holds half a character" in refused(bench, data)


def test_several_lists_of_rows_in_one_document(bench: Any) -> None:
    rows = [{"text": f"words {n}", "label": "ab"[n % 2]} for n in range(20)]
    path = bench.write("all.json", json.dumps({"first": rows, "second": rows[:5]}).encode())
    assert "the document holds 2 lists of rows: 'first' with 20, 'second' with 5" in refused(bench, path)


def test_an_arrow_file_with_broken_text(bench: Any) -> None:
    table = pyarrow.table({"text": [f"some words number {n}" for n in range(40)], "label": ["a", "b"] * 20})
    path = bench.folder / "t.arrow"
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    path.write_bytes(path.read_bytes().replace(b"number 7", b"\xff\xff\xff\xff\xff\xff\xff\xff"))
    assert "t.arrow: this is not a readable Arrow file" in refused(bench, path)


@pytest.mark.parametrize("cell", [["two", "words"], b"\xff\xfe\x00"])
def test_a_text_column_that_holds_no_text(bench: Any, cell: Any) -> None:
    path = bench.folder / "t.parquet"
    rows = [{"text": cell, "label": "ab"[n % 2]} for n in range(20)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    for given in ({}, {"text": "text"}):
        message = refused(bench, path, **given)
        assert "t.parquet, column 'text': this column holds" in message
        assert "and no text" in message


@pytest.mark.parametrize("name", ["state.json", "dataset_dict.json"])
@pytest.mark.parametrize("content", [b"{}", b"no json"])
def test_a_broken_folder_of_datasets(bench: Any, name: str, content: bytes) -> None:
    folder = bench.write(f"saved/{name}", content).parent
    assert "saved: this is not a readable folder of datasets' save_to_disk" in refused(bench, folder)
    assert peek(folder) is None


def test_other_data_with_a_cell_that_can_be_no_text(bench: Any) -> None:
    columns = Columns(("text",), ("label",), "label")
    for cell, part in ((BIG, "row 2, column 'text': this cell holds more than"), ("a\0b", "row 2, column 'text': the")):
        with pytest.raises(DataError, match=part):
            read_rows([{"text": "words"}, {"text": cell}], emit=ignore, cache_dir=bench.folder, columns=columns)
    with pytest.raises(DataError, match="column 'text': no row has a text"):
        read_rows([{"text": " "}, {"text": None}], emit=ignore, cache_dir=bench.folder, columns=columns)
    with pytest.raises(DataError, match="column 'text': this column holds lists, such as"):
        read_rows([{"text": ["two", "words"]}], emit=ignore, cache_dir=bench.folder, columns=columns)


@pytest.mark.parametrize("word", ["high", "inf", "1.2.3"])
def test_a_word_among_numbers_is_named_without_asking_for_numbers(bench: Any, word: str) -> None:
    lines = ["text,score", *(f"some text number {n},{n * 0.7:.1f}" for n in range(30))]
    lines[12] = f"some text,{word}"
    assert f"line 13, row 12, column 'score': {word!r} is not a number" in refused(bench, bench.write("n.csv", lines))


def test_commas_that_could_part_thousands_or_decimals(bench: Any) -> None:
    def lines(numbers: list[str]) -> list[str]:
        return ["text;price", *(f"some text number {n};{numbers[n % 3]}{n % 7}" for n in range(30))]

    message = refused(bench, bench.write("t.csv", lines(["7", "1,20", "12,35"])))
    assert "row 2, column 'price': '1,201' could mean 1201 or 1.201" in message
    decimal = bench(bench.write("d.csv", lines(["7", "1,2", "12,35"])))
    assert decimal.columns.kind == "number"
    assert decimal.index.values[1] == 1.21


def test_a_nul_in_the_header(bench: Any, ticket_lines: Any) -> None:
    lines = ticket_lines()
    lines[0] = "te\0xt,label"
    assert "line 1: the header holds a NUL character" in refused(bench, bench.write("h.csv", lines))


def test_a_delimiter_that_stands_nowhere(bench: Any, ticket_lines: Any) -> None:
    message = refused(bench, bench.write("e.csv", ticket_lines()), reading=ReadOptions(delimiter=";"))
    assert "no row has a semicolon between cells, as --delimiter says" in message


@pytest.mark.parametrize("split", ["test", "validation"])
@pytest.mark.parametrize("row", [" ,a", "words,"])
def test_a_file_of_one_split_without_a_row_to_use(bench: Any, ticket_lines: Any, split: str, row: str) -> None:
    other = bench.write("other.csv", ["text,label", row, row])
    message = refused(bench, bench.write("t.csv", ticket_lines()), **{split: other})
    assert f"other.csv: no row of this {split} data has a text and a target" in message


def test_a_file_that_may_not_be_read(bench: Any, ticket_lines: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bench.write("mine.csv", ticket_lines())

    def denied(*_: Any) -> Any:  # whoever runs this may be allowed to read everything
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(textfile, "inspect", denied)
    assert "mine.csv: it may not be read here: Permission denied" in refused(bench, path)
