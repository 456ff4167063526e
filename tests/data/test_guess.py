"""Which columns are chosen, and that the reason is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from toys import sentence
from tunesmith.core.errors import DataError
from tunesmith.core.events import ignore
from tunesmith.data import joined
from tunesmith.data.conversations.peek import peek
from tunesmith.data.prepare import read_rows


def rows(count: int = 40, **columns: Any) -> list[dict[str, Any]]:
    return [{name: make(n) for name, make in columns.items()} for n in range(count)]


def text(n: int) -> str:
    return sentence(n)


def test_ids_dates_and_constants_are_left_out(bench: Any) -> None:
    data = bench(
        rows(
            ticket_id=lambda n: f"T-{n * 37:05}",
            created=lambda n: f"2024-01-{n % 28 + 1:02} 10:00",
            words=text,
            kind=lambda n: ["refund", "order"][n % 2],
            country=lambda n: "NL",
        )
    )
    assert (data.columns.inputs[0], data.columns.target, data.columns.kind) == ("words", ("kind",), "label")
    skipped = bench.said("skipped columns")
    assert "ticket_id: its name says that it is an id" in skipped
    assert "created: it holds dates" in skipped
    assert "country: every row has the same value 'NL'" in skipped
    assert "characters long on average" in bench.said("text")
    assert data.audit()["reasons"]["target"]["value"] == "kind"


@pytest.mark.parametrize(
    ("target", "kind", "names", "separator"),
    [
        (lambda n: ["a|b", "b", "a", "c|a"][n % 4], "labels", ["a", "b", "c"], "|"),
        (lambda n: ["a;b", "b", "a", "c;a"][n % 4], "labels", ["a", "b", "c"], ";"),
        (lambda n: ["2,15", "2", "15", "3,2"][n % 4], "labels", ["2", "3", "15"], ","),
        (lambda n: ['["a", "b"]', "[]", '["c"]'][n % 3], "labels", ["a", "b", "c"], None),
        (lambda n: ["['a', 'b']", "[]", "['c']"][n % 3], "labels", ["a", "b", "c"], None),
        (lambda n: [["a", "b"], [], ["c"]][n % 3], "labels", ["a", "b", "c"], None),
        (
            lambda n: ["Billing, cards", "Returns", "Lost"][n % 3],
            "label",
            ["Billing, cards", "Lost", "Returns"],
            None,
        ),
        (lambda n: n % 12, "label", [str(n) for n in range(12)], None),
        (lambda n: float(n % 3), "label", ["0", "1", "2"], None),
        (lambda n: ["1.0", "0.0"][n % 2], "label", ["0", "1"], None),
        (lambda n: n % 2 == 0, "label", ["False", "True"], None),
        (lambda n: n / 7, "number", None, None),
        (lambda n: f"{n},{n % 10}", "number", None, None),
        (lambda n: n * 3, "number", None, None),
    ],
)
def test_kinds_of_target(bench: Any, target: Any, kind: str, names: Any, separator: str | None) -> None:
    data = bench(rows(text=text, label=target))
    assert data.columns.kind == kind
    assert data.label_names == names
    assert data.columns.label_separator == separator


def test_one_column_per_label(bench: Any) -> None:
    data = bench(
        rows(id=lambda n: n, comment=text, toxic=lambda n: n % 2, rude=lambda n: n // 2 % 2, threat=lambda n: 0)
    )
    assert data.columns.target == ("toxic", "rude", "threat")
    assert data.columns.kind == "labels"
    assert [row["target"] for row in data.rows.select(range(4))] == [
        [],
        ["toxic"],
        ["rude"],
        ["rude", "toxic"],
    ]


def test_a_named_label_beats_signs(bench: Any) -> None:
    data = bench(rows(text=text, is_new=lambda n: n % 2, vip=lambda n: n // 2 % 2, label=lambda n: "abc"[n % 3]))
    assert data.columns.target == ("label",)


@pytest.mark.parametrize("names", [("premise", "hypothesis"), ("sentence1", "sentence2"), ("left_a", "left_b")])
def test_pairs(bench: Any, names: tuple[str, str]) -> None:
    made = rows(**{names[0]: text, names[1]: lambda n: text(n + 500), "label": lambda n: "ab"[n % 2]})
    data = bench(made)
    assert (*data.columns.inputs, None)[:2] == names
    assert data.rows[0]["text_pair"] == text(500)


def test_a_task_restricts_the_kind(bench: Any) -> None:
    made = rows(text=text, stars=lambda n: n % 5)
    assert bench(made).columns.kind == "label"
    assert bench(made, kinds=("number",)).columns.kind == "number"
    made = rows(60, text=text, stars=lambda n: n % 29 / 2)
    assert bench(made).columns.kind == "number"
    assert bench(made, kinds=("label", "labels")).label_names[:3] == ["0", "0.5", "1"]


def test_the_user_decides(bench: Any) -> None:
    made = rows(text=text, note=lambda n: text(n + 500), label=lambda n: "ab"[n % 2], team=lambda n: "xyz"[n % 3])
    data = bench(made, text="note", target="team")
    assert (data.columns.inputs[0], data.columns.target) == ("note", ("team",))
    assert bench(made, text=["note", "text"]).columns.inputs == ("note", "text")


def test_columns_that_are_left_out_are_said_and_can_be_joined(bench: Any) -> None:
    made = rows(
        Titel=lambda n: f"Betreff Nummer {n}", Text=text, label=lambda n: "ab"[n % 2], shop=lambda n: "xyz"[n % 3]
    )
    assert bench(made).columns.inputs[0] == "Text"
    said = bench.said("left out columns")
    assert "['Titel', 'shop']" in said
    assert "shop: 3 different values" in said
    assert "--text 'Titel+Text' as one text, or as a pair --text 'Titel' --text 'Text'" in said
    data = bench(made, text="Titel+Text")
    assert (*data.columns.inputs, None)[:2] == ("Titel+Text", None)
    assert data.rows[3]["text"] == f"{made[3]['Titel'].strip()}\n{made[3]['Text']}"
    assert "as one text" in bench.said("text")
    other = read_rows(made[:3], emit=ignore, cache_dir=bench.folder, columns=data.columns)
    assert other["Titel+Text"][0] == data.rows[0]["text"]
    assert bench(made, text=["Titel", "Text", "shop"]).columns.inputs[0] == "Titel+Text+shop"
    with pytest.raises(DataError, match="no such column"):
        bench(made, text="Titel+Txt")
    assert joined.fill_columns({"Titel": "a", "Text": "b"}, ["Titel+Text"])["Titel+Text"] == "a\nb"
    assert joined.fill_columns([{"Titel": "a", "Text": None}], ["Titel+Text"])[0]["Titel+Text"] == "a"


def test_an_ambiguous_target_asks(bench: Any) -> None:
    with pytest.raises(DataError, match=r"2 columns could be the target: colour, team\nName .* --target COLUMN"):
        bench(rows(text=text, colour=lambda n: "rgb"[n % 3], team=lambda n: "xyz"[n % 3]))


def test_no_text_asks(bench: Any) -> None:
    with pytest.raises(DataError, match=r"no column holds text.*\n.*--text COLUMN"):
        bench(rows(amount=lambda n: n / 3, label=lambda n: "ab"[n % 2]))


def test_labels_are_sorted_by_value(bench: Any) -> None:
    assert bench(rows(text=text, label=lambda n: [10, 9, 2][n % 3])).label_names == ["2", "9", "10"]


def test_cells_without_a_number_do_not_make_numbers_labels(bench: Any) -> None:
    data = bench(rows(text=text, score=lambda n: "NA" if n % 8 == 0 else f"{n * 1.5}"))
    assert data.columns.kind == "number"
    assert data.ledger.counts()["reasons"]["dropped"] == {"a word for nothing in column 'score'": 5}


def test_codes_with_letters_among_them_stay_labels(bench: Any) -> None:
    data = bench(rows(400, text=text, code=lambda n: f"{n % 40}.5" if n % 8 else f"V{n % 3}"))
    assert data.columns.kind == "label"


def test_labels_that_look_like_none_are_told(bench: Any) -> None:
    bench(rows(60, text=text, stance=lambda n: ["favor", "against", "None"][n % 3]))
    assert "'None' (20 rows)" in bench.said("labels that look like none")


def test_lists_as_numpy_prints_them(bench: Any) -> None:
    data = bench(rows(60, text=text, labels=lambda n: ["['red' 'blue']", "['red']", "['blue'\n 'green']"][n % 3]))
    assert data.columns.kind == "labels"
    assert data.label_names == ["blue", "green", "red"]


def test_a_target_named_after_its_text(bench: Any) -> None:
    """As exports of annotated contracts have it: a clause, and the answer to it."""
    data = bench(
        rows(
            **{
                "Other Clause": lambda n: f"{text(n)} {text(n + 1)}",
                "Law": lambda n: text(n) if n % 8 else "[]",
                "Law-Answer": lambda n: ["France", "Spain"][n % 2],
            }
        ),
        target="Law-Answer",
    )
    assert data.columns.inputs[0] == "Law"
    assert "begins with its name" in bench.said("text")
    assert sum(map(len, data.splits.values())) == 35  # '[]' is no text


def test_labels_that_are_all_missing_are_no_text_to_write(tmp_path: Path) -> None:
    table = pa.table({"text": [text(n) for n in range(20)], "label": pa.nulls(20)})
    pq.write_table(table, tmp_path / "d.parquet")
    assert peek(tmp_path / "d.parquet") is None
    pq.write_table(table.drop(["label"]), tmp_path / "e.parquet")
    assert peek(tmp_path / "e.parquet") is not None
