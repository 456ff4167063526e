"""Delimiter, header, titles above it, headers in the middle, backslashes: what a table is, and what is said of it."""

from __future__ import annotations

from typing import Any

import pyarrow.parquet as pq
import pytest

from toys import sentence
from tunesmith.core.errors import DataError
from tunesmith.core.events import ignore
from tunesmith.data.conversations import read_examples
from tunesmith.data.prepare import read_rows
from tunesmith.data.types import Columns, ReadOptions

LABEL = Columns(("text",), ("label",), "label")


def refused(bench: Any, source: Any, **given: Any) -> str:
    with pytest.raises(DataError) as caught:
        bench(source, **given)
    return str(caught.value)


def table(count: int = 30, delimiter: str = ",", names: str = "text,label") -> list[str]:
    rows = [f"{sentence(n)},{'ab'[n % 2]}" for n in range(count)]
    return [line.replace(",", delimiter) for line in [names, *rows]]


@pytest.mark.parametrize("count", [20, 400])
@pytest.mark.parametrize("names", ["text;score", "Nachricht;Note", "Bemerkung;Wert"])
def test_a_decimal_comma_is_no_delimiter(bench: Any, count: int, names: str) -> None:
    lines = [names, *(f"{sentence(n)};{n % 50},{n % 10}" for n in range(count))]
    data = bench(bench.write("d.csv", lines), kinds=("number",))
    assert data.columns.inputs == (names.split(";")[0],)
    assert data.rows[3]["target"] == 3.3
    assert bench.said("delimiter").startswith("semicolon")


@pytest.mark.parametrize(
    ("delimiter", "row"),
    [
        (";", "Hallo, {n};{l}"), (";", "{t}, ja, nein;{l}"), ("\t", "{t}, so; und so\t{l}"), ("|", "{t}, {n}|{l}"),
        (";", "3,{n} von {t};{l}"), (",", '"{t}; {n}",{l}'), (",", "{t} a;b;c,{l}"),
    ],
)  # fmt: skip
def test_the_delimiter_is_what_cuts_every_row_alike(bench: Any, delimiter: str, row: str) -> None:
    rows = [row.format(t=sentence(n), n=n, l="ab"[n % 2]) for n in range(60)]
    data = bench(bench.write("d.csv", [f"Text{delimiter}Klasse", *rows]), near_duplicates=0)
    assert data.label_names == ["a", "b"]


def test_a_decimal_comma_without_a_header(bench: Any) -> None:
    data = bench(bench.write("d.csv", [f"{sentence(n)};{n % 7},5" for n in range(40)]), kinds=("number",))
    assert bench.said("delimiter").startswith("semicolon")
    assert data.rows[3]["target"] == 3.5


def test_the_next_best_delimiter_when_the_first_does_not_hold(bench: Any) -> None:
    lines = ["note;label", *(f"{n}, {sentence(n)};{'ab'[n % 2]}" for n in range(1200)), f"{sentence(7)};a"]
    data = bench(bench.write("d.csv", ["a, note;label", *lines[1:]]), near_duplicates=0, target="label")
    assert len(data.rows) == 1201


def test_the_user_names_the_delimiter_and_the_header(bench: Any) -> None:
    path = bench.write("d.csv", [f"{sentence(n)}~{'ab'[n % 2]}" for n in range(30)])
    data = bench(path, reading=ReadOptions(delimiter="~", header_row=0))
    assert (data.columns.inputs, data.columns.header) == (("column_1",), False)
    lines = ["x,y", "one,two", *table()]
    assert bench(bench.write("e.csv", lines), reading=ReadOptions(header_row=3)).columns.inputs == ("text",)
    message = refused(bench, path, reading=ReadOptions(header_row=99))
    assert "no row begins on line 99" in message
    with pytest.raises(ValueError, match="expected one character"):
        ReadOptions(delimiter=";;")


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;"])
def test_the_line_of_excel_that_names_the_delimiter(bench: Any, first: str) -> None:
    path = bench.write("d.csv", [first, *table(delimiter=";")])
    data = bench(path)
    assert len(data.rows) == 30
    assert data.location(0)["line"] == 3
    assert "sep=" in bench.said("delimiter")


@pytest.mark.parametrize(
    "title",
    [
        ["Customer messages export;;", "Created on 03.02.2025;;", ";;"], ["Export der Nachrichten", "", "Stand: Mai"],
        ["Report, made by, the office of, Mr. X"], [";;", "Alle Tickets;;", ";;", ";;"],
        ["Report for May;page 1;"],
    ],
)  # fmt: skip
@pytest.mark.parametrize("names", ["id;text;label", "Nr.;Anliegen;Abteilung"])
def test_titles_above_the_header(bench: Any, title: list[str], names: str) -> None:
    rows = [f"{n};{sentence(n)};{'ab'[n % 2]}" for n in range(30)]
    data = bench(bench.write("d.csv", [*title, names, *rows]))
    assert (data.columns.inputs[0], len(data.rows)) == (names.split(";")[1], 30)
    assert f"line {len(title) + 1}" in bench.said("header")
    assert data.location(0)["line"] == len(title) + 2


def test_a_header_with_nameless_columns_is_no_title(bench: Any) -> None:
    assert bench(bench.write("d.csv", [",text,label", *(f"{n},{line}" for n, line in enumerate(table()[1:]))]))
    assert "line" not in bench.said("header")
    lines = ["text;label;;", *(f"{line};;" for line in table(delimiter=";")[1:])]
    assert bench(bench.write("e.csv", lines)).columns.inputs == ("text",)


def test_one_column_of_sentences_with_a_comma_each(bench: Any) -> None:
    path = bench.write("d.csv", ["text", *(f"Dear {sentence(n)}, please help" for n in range(30))])
    rows = read_rows(path, emit=ignore, cache_dir=bench.folder / "cache", columns=LABEL)
    assert rows["text"][0] == f"Dear {sentence(0)}, please help"


@pytest.mark.parametrize("again", ["text,label", "Text,Label", " text , label", "\ufefftext,label", '"text","label"'])
def test_a_header_in_the_middle_is_left_out_and_counted(bench: Any, again: str) -> None:
    lines = table(40)
    path = bench.write("d.csv", [*lines[:15], again, *lines[15:30], again, *lines[30:]])
    data = bench(path)
    assert data.label_names == ["a", "b"]
    assert len(data.rows) == 40
    counts = data.ledger.counts()
    assert (counts["rows"], counts["dropped"]) == (42, 2)
    assert counts["reasons"]["dropped"] == {"the header again": 2}
    assert "lines 16, 32: the header again" in bench.said("repeated header")
    data.save(bench.folder)
    ledger = pq.read_table(bench.folder / "ledger.parquet").to_pylist()
    assert [row["line"] for row in ledger if row["status"] == "dropped"] == [16, 32]
    assert data.location(41)["line"] == 32


def test_a_repeated_header_elsewhere(bench: Any) -> None:
    lines = ["text,score", *(f"{sentence(n)},{n / 3:.2f}" for n in range(30))]
    data = bench(bench.write("n.csv", [*lines[:9], "text,score", *lines[9:]]))
    assert (data.columns.kind, len(data.rows)) == ("number", 30)
    path = bench.write("p.csv", ["text", sentence(1), "text", sentence(2)])
    assert read_rows(path, emit=ignore, cache_dir=bench.folder / "cache", columns=LABEL)["text"][:] == [
        sentence(1), sentence(2)
    ]  # fmt: skip
    chat = [f"How is {sentence(n)}?,It is {n}." for n in range(20)]
    examples = read_examples(
        str(bench.write("c.csv", ["prompt,completion", *chat[:9], "Prompt,Completion", *chat[9:]])), emit=ignore
    )
    assert len(examples) == 20
    assert examples.ledger.counts()["reasons"]["dropped"] == {"the header again": 1}


def test_a_row_like_the_header_that_may_be_data_stays(bench: Any) -> None:
    lines = ["text,spam", *(f"{sentence(n)},{'spam' if n % 2 else 'ham'}" for n in range(30)), "text,spam"]
    data = bench(bench.write("d.csv", lines), target="spam")
    assert len(data.rows) == 31
    assert "line 32: like the header, and kept" in bench.said("repeated header")


def test_a_header_of_other_order_is_another_file(bench: Any) -> None:
    lines = table(40)
    message = refused(bench, bench.write("d.csv", [*lines[:20], "label,text", *lines[20:]]))
    assert "line 21, row 20: the names of the columns stand here again in another order" in message


BACKSLASHES = [
    (r'"said \"go\" at C:\new\table"', r'said "go" at C:\new\table'),
    (r'"a \\ and \"b\""', r'a \ and "b"'),
    (r'"said \"go\", then left"', 'said "go", then left'),
    (r'"the \"last\" one, in C:\temp\"', 'the "last" one, in C:\\temp\\'),
    (r"said \, and left", "said , and left"),
]


@pytest.mark.parametrize(("cell", "text"), BACKSLASHES)
def test_backslashes_before_quotes(bench: Any, cell: str, text: str) -> None:
    rows = [f"{cell.replace('said', f'said {sentence(n)}')},{'ab'[n % 2]}" for n in range(20)]
    data = (
        bench(bench.write("d.csv", ["text,label", *rows]), near_duplicates=0, text="text") if "said" in cell else None
    )
    if data is None:
        path = bench.write("d.csv", ["text,label", *(f'"{sentence(n)} \\"so\\"",a' for n in range(9)), f"{cell},b"])
        rows_read = read_rows(path, emit=ignore, cache_dir=bench.folder / "cache", columns=LABEL)
        assert rows_read["text"][-1] == text
        return
    assert data.rows[0]["text"] == text.replace("said", f"said {sentence(0)}")


def test_paths_of_windows_survive(bench: Any) -> None:
    rows = [f'"{sentence(n)}, see C:\\temp\\new\\",{"ab"[n % 2]}' for n in range(20)]
    assert bench(bench.write("d.csv", ["text,label", *rows])).rows[0]["text"] == f"{sentence(0)}, see C:\\temp\\new\\"
    rows = [f"{sentence(n)} see C:\\temp\\new,{'ab'[n % 2]}" for n in range(20)]
    assert bench(bench.write("e.csv", ["text,label", *rows])).rows[0]["text"] == f"{sentence(0)} see C:\\temp\\new"


def test_where_an_escaped_quote_never_closes(bench: Any) -> None:
    lines = ["text,label", *(f'"{sentence(n)} \\"so\\"",{"ab"[n % 2]}' for n in range(20)), '"open \\"so,a', "x,b"]
    assert "line 22, row 21, column 'text'" in refused(bench, bench.write("d.csv", lines))


@pytest.mark.parametrize("name", ["d.tsv", "d.csv"])
def test_line_breaks_behind_a_backslash_as_databases_write_them(bench: Any, name: str) -> None:
    sign = "\t" if name == "d.tsv" else ","
    rows = [f"{sentence(n)}\\\nsecond\\\nthird C:\\\\x{sign}{'ab'[n % 2]}" for n in range(30)]
    data = bench(bench.write(name, [f"text{sign}label", *rows]))
    assert data.rows[1]["text"] == f"{sentence(1)}\nsecond\nthird C:\\x"
    assert (len(data.rows), data.location(1)["line"]) == (30, 5)
    assert "before line breaks" in bench.said("delimiter")


def test_a_path_at_the_end_of_a_line_goes_nowhere(bench: Any) -> None:
    rows = [f"{'ab'[n % 2]},{sentence(n)} C:\\temp\\" for n in range(30)]
    data = bench(bench.write("d.csv", ["label,text", *rows]))
    assert len(data.rows) == 30
    assert data.rows[0]["text"].endswith("C:\\temp\\")


def test_names_of_columns_without_what_nobody_sees(bench: Any) -> None:
    lines = [f"{sentence(n)},{'ab'[n % 2]}" for n in range(20)]
    data = bench(bench.write("d.csv", ["\u00a0text\u200e,\u2060label\u200b", *lines]))
    assert (data.columns.inputs[0], data.columns.target) == ("text", ("label",))
