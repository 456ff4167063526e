"""Workbooks are read as tables: the sheet, the header below titles, cells as people see them."""

from __future__ import annotations

import datetime
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from toys import sentence
from tunesmith.core.errors import DataError
from tunesmith.core.events import ignore
from tunesmith.data.conversations import peek, read_examples
from tunesmith.data.percent import percent_cells
from tunesmith.data.prepare import read_rows
from tunesmith.data.types import Columns, ReadOptions

ROWS = [[sentence(n), "xyz"[n % 3]] for n in range(30)]
LABEL = Columns(("text",), ("label",), "label")


def book(path: Path, **sheets: list[list[Any]]) -> Path:
    workbook = openpyxl.Workbook()
    workbook.remove(workbook.active)
    for name, rows in sheets.items():
        sheet = workbook.create_sheet(name)
        for row in rows:
            sheet.append(row)
    workbook.save(path)
    return path


def refused(bench: Any, source: Any, **given: Any) -> str:
    with pytest.raises(DataError) as caught:
        bench(source, **given)
    assert not list((bench.folder / "cache").glob("tmp-*"))
    return str(caught.value)


def test_a_sheet_is_a_table(bench: Any, tmp_path: Path) -> None:
    data = bench(book(tmp_path / "t.xlsx", Data=[["text", "label"], *ROWS]))
    assert [[row["text"], row["target"]] for row in data.rows] == ROWS
    assert data.location(0) == {"file": str(tmp_path / "t.xlsx"), "row": 1, "line": 2}


def test_cells_are_what_people_see(bench: Any, tmp_path: Path) -> None:
    day = datetime.datetime(2025, 3, 1)
    rows = [
        ["text", "stars", "when", "open", "share"],
        *([sentence(n), n % 5 + 1, day, n % 2 == 0, n / 8] for n in range(30)),
    ]
    path = book(tmp_path / "t.xlsx", Data=rows)
    assert bench(path, target="stars").label_names == ["1", "2", "3", "4", "5"]
    found = read_rows(path, emit=ignore, cache_dir=bench.folder / "cache")[1]
    assert (found["when"], found["open"], found["share"]) == ("2025-03-01", "False", "0.125")


def test_titles_blank_rows_and_columns_and_merged_cells(bench: Any, tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    sheet["B1"] = "Customer messages of May"
    sheet.merge_cells("B1:C1")
    for number, row in enumerate([["text", "label"], *sorted(ROWS, key=lambda row: row[1])], 4):
        sheet.cell(number, 2, row[0])
        sheet.cell(number, 3, row[1])
    for first in (5, 15, 25):  # a label that is merged over its ten rows
        sheet.merge_cells(start_row=first, end_row=first + 9, start_column=3, end_column=3)
    sheet.cell(60, 7, " ")
    workbook.save(path)
    data = bench(path)
    assert (len(data.rows), data.label_names) == (30, ["x", "y", "z"])
    assert data.ledger.counts()["reasons"]["dropped"] == {"above the header": 1}
    assert "Customer messages of May" in bench.said("header")


def test_error_cells_and_repeated_headers(bench: Any, tmp_path: Path) -> None:
    rows = [["text", "label"], *ROWS[:9], ["Text", "Label"], *ROWS[9:], ["gone", "#N/A"]]
    data = bench(book(tmp_path / "t.xlsx", Data=rows))
    assert data.label_names == ["x", "y", "z"]
    assert data.ledger.counts()["reasons"]["dropped"] == {"no target in column 'label'": 1, "the header again": 1}


def test_which_sheet(bench: Any, tmp_path: Path) -> None:
    path = book(tmp_path / "t.xlsx", Notes=[["read me", "please"], ["a", "b"]], Tickets=[["text", "label"], *ROWS])
    assert len(bench(path).rows) == 30
    assert bench.said("sheet").startswith("Tickets")
    assert "Notes' (2 rows)" in bench.said("sheet")
    assert "no sheet 'Ticket'" in refused(bench, path, reading=ReadOptions(sheet="Ticket"))
    other = book(tmp_path / "o.xlsx", A=[["text", "label"], *ROWS], B=[["words", "kind"], *ROWS, *ROWS])
    assert len(bench(other, text="text").rows) == 30
    assert len(bench(other, reading=ReadOptions(sheet="a")).rows) == 30


def test_sheets_that_are_parts(bench: Any, tmp_path: Path) -> None:
    path = book(tmp_path / "t.xlsx", Train=[["text", "label"], *ROWS[:20]], Test=[["text", "label"], *ROWS[20:]])
    data = bench(path)
    assert len(data.splits["test"]) == 10
    assert "(Test)" in data.location(25)["file"]


def test_conversations_in_a_sheet(bench: Any, tmp_path: Path) -> None:
    rows = [["prompt", "completion"], *([f"How is {n}?", f" It is {n}."] for n in range(20))]
    path = book(tmp_path / "c.xlsx", Data=rows)
    assert peek(str(path)) is not None
    assert len(read_examples(str(path), emit=ignore)) == 20


@pytest.mark.parametrize("content", [b"text,label\n", b"PK\x03\x04 and no more", b"\xd0\xcf\x11\xe0" * 40])
@pytest.mark.parametrize("name", ["t.xlsx", "t.xls", "t.ods"])
def test_what_is_no_workbook(bench: Any, name: str, content: bytes) -> None:
    assert f"{name}: this is not a readable workbook" in refused(bench, bench.write(name, content))


def test_a_workbook_under_the_name_of_another_kind(bench: Any, tmp_path: Path) -> None:
    rows = [["text", "label"], *([sentence(n), "ab"[n % 2]] for n in range(12))]
    path = book(tmp_path / "rows.xlsx", Rows=rows).rename(tmp_path / "rows.xls")
    assert len(bench(path).rows) == 12
    (tmp_path / "none.xlsx").write_bytes(b"")
    assert "the file is empty" in refused(bench, tmp_path / "none.xlsx")


def test_sheets_of_charts_are_passed_over(bench: Any, tmp_path: Path) -> None:
    path = book(tmp_path / "rows.xlsx", Rows=[["text", "label"], *([sentence(n), "ab"[n % 2]] for n in range(12))])
    made = openpyxl.load_workbook(path)
    made.create_chartsheet("Curve", 0)
    made.save(path)
    assert len(bench(path).rows) == 12


def test_empty_sheets_and_bombs(bench: Any, tmp_path: Path) -> None:
    assert "no sheet of this workbook holds rows" in refused(bench, book(tmp_path / "e.xlsx", Data=[]))
    assert "holds rows" in refused(bench, book(tmp_path / "h.xlsx", Data=[["text", "label"]]))
    with zipfile.ZipFile(tmp_path / "b.xlsx", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/worksheets/sheet1.xml", b"0" * (80 << 20))
    assert "unpacks to 80 MB" in refused(bench, tmp_path / "b.xlsx")


def rewritten(path: Path, old: bytes, new: bytes) -> Path:
    """A copy of a workbook in which the sheet says something else."""
    target = path.with_name(f"other{path.suffix}")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as file:
        for one in source.infolist():
            content = source.read(one)
            file.writestr(one.filename, content.replace(old, new) if "worksheets/sheet" in one.filename else content)
    return target


def test_a_cell_far_off_fills_no_memory(bench: Any, tmp_path: Path) -> None:
    path = rewritten(book(tmp_path / "t.xlsx", Data=[["text", "label"], *ROWS]), b'r="B31"', b'r="XFD1048576"')
    assert "1,048,576 rows and 16,384 columns holds 62 cells only" in refused(bench, path)


def test_cells_merged_below_the_table_take_no_time(bench: Any, tmp_path: Path) -> None:
    merged = b'</sheetData><mergeCells count="1">' + b'<mergeCell ref="E1:E1048576"/>' * 50 + b"</mergeCells>"
    path = rewritten(book(tmp_path / "t.xlsx", Data=[["text", "label"], *ROWS]), b"</sheetData>", merged)
    assert len(bench(path).rows) == len(ROWS)


SPREADSHEET = (
    "<office:document-content {}><office:body><office:spreadsheet>"
    '<table:table table:name="S">{{}}</table:table></office:spreadsheet></office:body></office:document-content>'
).format(
    " ".join(f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text"))
)
REPEATED = ' table:number-columns-repeated="2"'


def test_a_row_repeated_a_billion_times(bench: Any, tmp_path: Path) -> None:
    cell = '<table:table-cell office:value-type="string"><text:p>x</text:p></table:table-cell>'
    content = SPREADSHEET.format(
        f'<table:table-row table:number-rows-repeated="1000000000">{cell * 2}</table:table-row>'
    )
    path = tmp_path / "t.ods"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        file.writestr("content.xml", content)
    assert "1,000,000,000 rows" in refused(bench, path)


def test_a_workbook_whose_sizes_are_lies(bench: Any, tmp_path: Path) -> None:
    path = book(tmp_path / "t.xlsx", Data=[["text", "label"], *ROWS])
    content = bytearray(path.read_bytes())
    at = content.rfind(b"xl/worksheets/sheet1.xml") - 46  # its entry in the directory at the end
    content[at + 24 : at + 28] = (100).to_bytes(4, "little")
    path.write_bytes(content)
    assert "not a readable workbook" in refused(bench, path)


def test_percent_is_read_as_people_see_it(bench: Any, tmp_path: Path) -> None:
    rows = [["text", "share"], *([text, n / 100] for n, (text, _) in enumerate(ROWS))]
    path = book(tmp_path / "t.xlsx", Notes=[["a", "b"]], Data=rows)
    made = openpyxl.load_workbook(path)
    for number in range(2, 32):
        made["Data"].cell(number, 2).number_format = ["0%", "0.00%", '0.0"x"\\ %'][number % 3]
    made.save(path)
    data = bench(path, target="share", reading=ReadOptions(sheet="Data"))
    assert sorted(row["target"] for row in data.rows) == [float(n) for n in range(30)]
    assert "12 % is 12" in bench.said("target kind")


def test_a_format_that_only_says_percent_does_not_scale(bench: Any, tmp_path: Path) -> None:
    path = book(tmp_path / "t.xlsx", Data=[["text", "share"], *([s, n * 1.5] for n, (s, _) in enumerate(ROWS))])
    made = openpyxl.load_workbook(path)
    for number in range(2, 32):
        made["Data"].cell(number, 2).number_format = '0.0" %"'
    made.save(path)
    assert max(row["target"] for row in bench(path, target="share").rows) == 43.5


def test_percent_of_opendocument(tmp_path: Path) -> None:
    cell = '<table:table-cell office:value-type="percentage" office:value="0.39"{}/>'
    first = f'<table:table-cell table:number-columns-repeated="2"/>{cell.format("")}'
    content = SPREADSHEET.format(
        f'<table:table-row table:number-rows-repeated="3">{first}</table:table-row>'
        f"<table:table-row>{cell.format(REPEATED)}</table:table-row>"
    )
    with zipfile.ZipFile(tmp_path / "t.ods", "w") as file:
        file.writestr("content.xml", content)
    found = percent_cells(tmp_path / "t.ods", "S")
    assert found == {0: {2}, 1: {2}, 2: {2}, 3: {0, 1}}
    assert percent_cells(tmp_path / "t.ods", "T") == {}


def test_entities_in_a_workbook_are_refused(bench: Any, tmp_path: Path) -> None:
    path = book(tmp_path / "t.xlsx", Data=[["text", "share"], *([s, n / 100] for n, (s, _) in enumerate(ROWS))])
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><styleSheet'
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(tmp_path / "e.xlsx", "w") as file:
        for one in source.infolist():
            file.writestr(one.filename, source.read(one).replace(b"<styleSheet", bomb))
    assert "declares entities" in refused(bench, tmp_path / "e.xlsx", target="share")
