"""Answers are written as the input was: its delimiter, encoding and byte order mark; or as a sheet."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from tunesmith.core.events import Event
from tunesmith.data.output import Cells, Form, form_of, table_writer
from tunesmith.data.types import ReadOptions

ROWS = [["text", "score"], ["Schöne Grüße", 0.25], ["=1+1", 3], [None, ["a", "b"]]]


def written(suffix: str, form: Form, rows: list[list[Any]] = ROWS) -> tuple[bytes, list[Event]]:
    file, said = io.BytesIO(), []
    table = table_writer(file, suffix, form, Cells(), said.append)
    for row in rows:
        table.row(row)
    table.close()
    return file.getvalue(), said


@pytest.mark.parametrize(
    ("head", "encoding", "found"),
    [
        ("text;label", "cp1252", Form(";", "cp1252")), ("text,label", "utf-8-sig", Form(",", "utf-8-sig")),
        ("text|label", "utf-16", Form("|", "utf-16")), ("text\tlabel", "utf-8", Form("\t", "utf-8")),
        ("sep=;\ntext;label", "utf-8", Form(";", "utf-8")), ("text", "utf-8", Form(",", "utf-8")),
    ],
)  # fmt: skip
def test_the_form_of_the_input(tmp_path: Path, head: str, encoding: str, found: Form) -> None:
    sign = next((sign for sign in ";|,\t" if sign in head.splitlines()[-1]), "")
    lines = [head, *(f"Grüße an Haus {n}{sign}{'ab'[n % 2] if sign else ''}" for n in range(20))]
    path = tmp_path / "in.csv"
    path.write_bytes("\n".join(lines).encode(encoding))
    assert form_of(path, ReadOptions(), ["text"]) == found
    with_comma = form_of(path, ReadOptions(), ["text"], ",")
    assert with_comma.decimal == ("." if found.delimiter == "," else ",")


def test_a_decimal_comma_in_the_input_is_one_in_the_answers(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("text;price\n" + "".join(f"Haus {n};{n},5\n" for n in range(20)))
    assert form_of(path, ReadOptions(), ["text"]).decimal == ","


def test_csv_in_that_form() -> None:
    content, _ = written(".csv", Form(";", "cp1252", ","))
    assert content.decode("cp1252").splitlines() == ["text;score", "Schöne Grüße;0,25", "'=1+1;3", ';"[""a"", ""b""]"']
    content, _ = written(".csv", Form(",", "utf-8-sig"))
    assert content.startswith(b"\xef\xbb\xbftext,score\r\n")
    content, said = written(".csv", Form(";", "cp1252"), [["日本", "a"]])
    assert content == b"&#26085;&#26412;;a\r\n"
    assert "1 cells hold characters that cp1252" in said[0].record()["message"]
    assert written(".tsv", Form(";", "utf-8"))[0].startswith(b"text\tscore")


def test_a_sheet(tmp_path: Path) -> None:
    content, said = written(".xlsx", Form(), [*ROWS, ["a\x01b", "x" * 40_000]])
    (tmp_path / "o.xlsx").write_bytes(content)
    cells = list(openpyxl.load_workbook(tmp_path / "o.xlsx").active.iter_rows())
    assert [cell.value for cell in cells[1]] == ["Schöne Grüße", 0.25]
    assert (cells[2][0].value, cells[2][0].data_type) == ("=1+1", "s")
    assert cells[3][1].value == '["a", "b"]'
    assert (cells[4][0].value, len(cells[4][1].value)) == ("a\ufffdb", 32_767)
    assert len(said) == 2
