"""What the cells of a target mean: vectors, numbers, spellings, words for nothing, labels that training never saw."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toys import sentence
from tunesmith.core.errors import DataError, OptionError
from tunesmith.core.events import ignore
from tunesmith.data.numbers import style_of, taken_apart
from tunesmith.data.prepare import prepare, read_rows
from tunesmith.data.spelling import fold, nearest, shown
from tunesmith.data.targets import TargetReader, parse_targets
from tunesmith.data.types import Columns, SplitOptions
from tunesmith.data.values import to_labels


def rows(target: Callable[[int], Any], count: int = 48, name: str = "label") -> list[dict[str, Any]]:
    return [{"text": sentence(n), name: target(n)} for n in range(count)]


def refused(bench: Any, source: Any, **given: Any) -> str:
    with pytest.raises(DataError) as caught:
        bench(source, **given)
    return str(caught.value)


VECTORS = [[0, 0, 1], [0, 1, 1], [0, 1, 0], [1, 0, 1]]


@pytest.mark.parametrize(
    "write",
    [
        list,
        lambda one: [float(sign) for sign in one],
        lambda one: [bool(sign) for sign in one],
        str,
        lambda one: " ".join(map(str, one)),
        lambda one: ",".join(map(str, one)),
        lambda one: "[" + " ".join(f"{sign}." for sign in one) + "]",
        lambda one: str(tuple(map(bool, one))),
        lambda one: "".join(map(str, one)),
        lambda one: f"tensor([{one[0]}, {one[1]}, {one[2]}])",
        lambda one: ",".join(["no", "yes"][sign] for sign in one),
        lambda one: ["FT"[sign] for sign in one],
        lambda one: [2 * sign - 1 for sign in one],
        lambda one: [sign or None for sign in one],
    ],
)
def test_position_i_of_a_vector_is_label_i(bench: Any, write: Callable[[list[int]], Any]) -> None:
    data = bench(rows(lambda n: write(VECTORS[n % 4]), name="labels"))
    assert data.columns.positions == ("label_0", "label_1", "label_2")
    assert data.targets(range(4)) == [["label_2"], ["label_1", "label_2"], ["label_1"], ["label_0", "label_2"]]
    assert "3 positions" in bench.said("target kind")
    assert "label_names" in bench.said("label names")


def test_codes_of_0_and_1_are_no_vectors_and_objects_of_them_are_labels(bench: Any) -> None:
    assert bench(rows(lambda n: ["000", "001"][n % 2])).columns.kind == "label"
    assert bench(rows(lambda n: ["100", "110", "101"][n % 3])).columns.kind == "label"
    objects = bench(rows(lambda n: {"food": n % 2, "shop": int(n % 3 == 0)}, name="labels"))
    assert objects.label_names == ["labels.food", "labels.shop"]
    assert "hold lists in lists or objects" in refused(bench, rows(lambda n: [[n % 2], [1]], name="labels"))


@pytest.mark.parametrize("write", [lambda span: [span], lambda span: [str(span)], lambda span: str([span])])
def test_places_in_a_text_are_no_labels(bench: Any, write: Callable[[list[Any]], Any]) -> None:
    def spans(n: int) -> Any:
        return write([n % 5, n % 5 + 4, ["PER", "LOC"][n % 2]])

    path = bench.write("d.jsonl", [json.dumps({"text": sentence(n), "label": spans(n)}) for n in range(40)])
    assert "label words inside of the text (spans)" in refused(bench, path)
    fine = [{"text": sentence(n), "label": [["red", "red, blue"][n % 2]]} for n in range(40)]
    assert bench(fine).label_names


def test_positions_without_use_are_told(bench: Any) -> None:
    assert not bench.said("labels without use")
    bench(rows(lambda n: [[0, 0, 1], [0, 1, 0], [1, 0, 1]][n % 3] + [0, 1]))
    told = bench.said("labels without use")
    assert "in no row, so that no model can learn them and none is made for them: label_3; " in told
    assert "in every row, so that they say nothing: label_4" in told


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["sport", "shop|paper", "food|shop"], "labels"),
        (["ventas;envío", "precio", "envío;factura", "otro"], "labels"),
        (["Haus | Ofen", "Garten | Zaun", "Haus | Bett"], "label"),  # levels
        (["rot|blau", "gelb", "weiß|schwarz"], "label"),
    ],
)
def test_few_lists_of_labels_are_told_from_names(bench: Any, cells: list[str], kind: str) -> None:
    assert bench(rows(lambda n: cells[n % len(cells)], 12)).columns.kind == kind
    assert ("label_separator=" in bench.said("several labels")) == (kind == "label")


def test_names_of_positions(bench: Any, tmp_path: Any) -> None:
    made = rows(lambda n: VECTORS[n % 4], name="labels")
    assert bench(made, label_names="food,shop,sport").label_names == ["food", "shop", "sport"]
    names = tmp_path / "names.txt"
    names.write_text("a\nb\nc\n", encoding="utf-8")
    assert bench(made, label_names=str(names)).columns.positions == ("a", "b", "c")
    headed = rows(lambda n: VECTORS[n % 4], name="labels (food, shop, sport)")
    assert bench(headed, target="labels (food, shop, sport)").label_names == ["food", "shop", "sport"]
    with pytest.raises(OptionError, match=r"2 names .*3 positions"):
        bench(made, label_names=["a", "b"])
    assert bench(made, label_names={0: "x", "1": "y", 2: "z"}).columns.positions == ("x", "y", "z")
    with pytest.raises(OptionError, match="3 positions"):
        bench(made, label_names={1: "x", 2: "y", 3: "z"})


def test_vectors_that_differ_are_refused_and_ids_stay_ids(bench: Any) -> None:
    assert "of different lengths" in refused(bench, rows(lambda n: [0, 1, 0, 1][: n % 3 + 2], name="labels"))
    assert "vector of 2 positions" in refused(bench, rows(lambda n: VECTORS[n % 4] if n else [0, 1], name="labels"))
    assert "a share for each label" in refused(bench, rows(lambda n: [n % 5 / 5, 1 - n % 5 / 5], name="labels"))
    ids = bench(rows(lambda n: [[0], [1], [0, 1]][n % 3], name="labels"))
    assert ids.columns.positions is None
    assert ids.label_names == ["0", "1"]


def test_other_data_has_the_same_positions(bench: Any) -> None:
    columns = bench(rows(lambda n: VECTORS[n % 4], name="labels")).columns
    other = read_rows(rows(lambda n: "[0 0 1]", 3, "labels"), emit=ignore, cache_dir=bench.folder, columns=columns)
    assert parse_targets(other, columns, list(columns.positions)) == [["label_2"]] * 3


@pytest.mark.parametrize("write", [lambda s: str(tuple(s)), lambda s: str(set(s)), lambda s: "{" + ",".join(s) + "}"])
def test_printed_tuples_and_sets_are_lists(bench: Any, write: Callable[[list[str]], str]) -> None:
    data = bench(rows(lambda n: write([["food", "shop"], ["sport"], ["food"]][n % 3]), name="tags"))
    assert (data.columns.kind, data.label_names) == ("labels", ["food", "shop", "sport"])


@pytest.mark.parametrize("empty", ["set()", "Counter()", "Counter({})", "[]", "{ }", "frozenset({})", "dict()", "()"])
def test_lists_of_nothing_hold_no_label(empty: str) -> None:
    assert to_labels(empty, None) == []


@pytest.mark.parametrize("label", ["main()", "print()", "Counter", "set"])
def test_names_that_end_in_brackets_are_labels(label: str) -> None:
    assert to_labels(label, None) == [label]


def test_counts_are_no_labels() -> None:
    with pytest.raises(ValueError, match="is not a list of labels"):
        to_labels("Counter({'food': 2})", None)


@pytest.mark.parametrize(
    ("write", "values"),
    [
        (lambda n: f"{n + 1}'{n:03}", [1000.0, 2001.0]),
        (lambda n: f"{n + 1}\u202f{n:03}", [1000.0, 2001.0]),
        (lambda n: f"{n + 1}.{n:03},5", [1000.5, 2001.5]),
        (lambda n: f"{n + 1},{n:03}.5", [1000.5, 2001.5]),
        (lambda n: f"{n / 2:.1f} %".replace(".", ","), [0.0, 0.5]),
        (lambda n: f"R$ {n},50", [0.5, 1.5]),
        (lambda n: f"{n},50 Kč", [0.5, 1.5]),
        (lambda n: f"{n + 1} EUR", [1.0, 2.0]),
        (lambda n: f"\u2212{n}.5", [-0.5, -1.5]),
        (lambda n: f"{n}.5-", [-0.5, -1.5]),
        (lambda n: f"({n}.25)" if n % 2 else f"{n}.25", [0.25, -1.25]),
        (lambda n: "".join(chr(0xFF10 + int(digit)) for digit in str(n + 100)), [100.0, 101.0]),
        (lambda n: "".join(chr(0x0966 + int(digit)) for digit in str(n + 100)), [100.0, 101.0]),
        (lambda n: f"{n} kg", [0.0, 1.0]),
        (lambda n: f"{n - 3}.5 °C", [-3.5, -2.5]),
    ],
)
def test_numbers_as_people_write_them(bench: Any, write: Callable[[int], str], values: list[float]) -> None:
    data = bench(rows(write, name="price"))
    assert data.columns.kind == "number"
    assert data.index.values[:2].tolist() == values


def test_what_a_number_could_mean_is_asked(bench: Any) -> None:
    made = rows(lambda n: f"{n + 1}.{n:03}" if n % 2 else f"{n}", name="price")
    message = refused(bench, made)
    assert "'2.001' could mean 2001 or 2.001" in message
    assert "--set decimal=," in message
    assert bench(made, decimal=",").index.values[1] == 2001
    assert bench(made, decimal=".").index.values[1] == 2.001
    mixed = rows(lambda n: "7,5" if n == 9 else f"{n}.25", name="price")
    assert "row 10, column 'price': '7,5' has a decimal comma, most others a decimal point" in refused(bench, mixed)
    two = rows(lambda n: f"{n + 1}.{n:03}" if n % 2 else f"{n + 1},{n:03}.50", name="price")
    assert "'2.001' could mean 2001 or 2.001" in refused(bench, two)
    units = rows(lambda n: "€ 3.10" if n == 9 else f"$ {n}.25", name="price")
    assert "'€ 3.10' is written with '€', others with '$'" in refused(bench, units)


def test_two_ids_or_a_decimal_comma(bench: Any) -> None:
    made = rows(lambda n: ["27", "2,27", "4,2", "2,4", "4,27"][n % 5], 60, "column_2")
    message = refused(bench, made)
    assert "could mean the number 2.27 or the two labels '2' and '27'" in message
    assert bench(made, label_separator=",").label_names == ["2", "4", "27"]
    assert bench(made, decimal=",").columns.kind == "number"
    halves = rows(lambda n: ["5", "4,5", "4", "3,5", "3"][n % 5], 60, "column_2")
    assert bench(halves).columns.kind == "number"


def test_a_style_is_found_by_what_can_be_read_one_way_only() -> None:
    assert style_of({"1.234": 5, "0,5": 1}).read("1.234") == 1234
    assert style_of({"1,234": 5, "0.5": 1}).read("1,234") == 1234
    assert style_of({"12.345 %": 5, "1 %": 1}).read("12.345 %") == 12.345
    assert taken_apart("4 out of 5") == taken_apart("4/5")
    assert taken_apart("★★★☆☆") == taken_apart("3 stars")
    for cell in ("2024-01-01", "10:30", "192.168.0.1", "030 123 456", "1st", "A4", "10-20"):
        assert taken_apart(cell) is None or style_of({cell: 1}) == style_of({})


def test_spellings_of_one_label_are_told_and_merged(bench: Any) -> None:
    spellings = ["Refund", "refund", "REFUND", "refund\u200b", "caf\u00e9", "cafe\u0301", "gift card", "gift  card"]
    made = rows(lambda n: spellings[n % 8], 80)
    assert len(bench(made).label_names) == 8
    said = bench.said("spellings of one label")
    assert "'REFUND' (10 rows) = 'Refund' (10 rows) = 'refund' (10 rows) = 'refund\\u200b' (10 rows)" in said
    assert "--set merge_labels=true" in said
    data = bench(made, merge_labels=True)
    assert len(data.label_names) == 3
    other = read_rows(rows(lambda n: "REFUND.", 3), emit=ignore, cache_dir=bench.folder, columns=data.columns)
    assert set(parse_targets(other, data.columns, data.label_names)) <= set(data.label_names)


def test_what_is_one_spelling() -> None:
    assert fold("İade") == fold("iade")
    assert fold("Two_Wheels") == fold("two wheels ") == fold('"two-wheels".')
    assert fold("-1") != fold("1")
    assert fold("c++") != fold("c")
    assert nearest("yes", ["True", "False"]) == "True"
    assert nearest("0", ["no", "yes"]) == "no"
    assert nearest("yes", ["Ja", "Nein"]) == "Ja"
    assert nearest("maybe", ["no", "yes"]) is None
    assert shown("a\u200bb") == "'a\\u200bb'"


def test_words_for_nothing_are_left_out_and_counted(bench: Any) -> None:
    made = rows(lambda n: "n/a" if n % 8 == 0 else "ab"[n % 2])
    made[3]["text"] = "NULL"
    data = bench(made)
    assert data.label_names == ["a", "b"]
    assert data.ledger.counts()["reasons"]["dropped"] == {
        "a word for nothing in column 'text'": 1, "a word for nothing in column 'label'": 6,
    }  # fmt: skip
    assert "'n/a' (6 rows)" in bench.said("words for nothing")
    assert data.audit()["words_for_nothing"]["text"] == {"NULL": 1}
    assert bench(made, nothing="keep").label_names == ["a", "b", "n/a"]
    assert bench(rows(lambda n: ["a", "b", "zz"][n % 3]), missing=["zz"]).label_names == ["a", "b"]


def test_stand_ins_for_no_value_are_told(bench: Any) -> None:
    made = rows(lambda n: -999 if n % 9 == 0 else n / 7, name="score")
    bench(made)
    assert "-999 stands in 6 rows" in bench.said("numbers that look like none")
    assert bench(made, missing=["-999"]).index.values.min() > 0
    bench(rows(lambda n: n % 4 - 1))
    assert "'-1' (12 rows) among 3 labels" in bench.said("labels that look like none")
    bench.events.clear()
    bench(rows(lambda n: n % 3 - 1))
    bench(rows(lambda n: n - 1.5, name="score"))
    assert not bench.said("labels that look like none")
    assert not bench.said("numbers that look like none")


def test_labels_that_training_never_saw_are_refused(bench: Any) -> None:
    train = rows(lambda n: ["books", "bike"][n % 2])
    message = refused(bench, train, test=rows(lambda n: ["BOOKS", "BIKE"][n % 2], 20))
    assert "row 1, column 'label': no training row has the label 'BOOKS' (10 rows). Did you mean 'books'?" in message
    assert "--set merge_labels=true" in message
    merged = bench(train, test=rows(lambda n: ["BOOKS", "BIKE"][n % 2], 20), merge_labels=True)
    assert merged.label_names == ["bike", "books"]
    truth = rows(lambda n: n % 2 == 0)
    assert "the label '1' (10 rows). Did you mean 'True'?" in refused(bench, truth, test=rows(lambda n: n % 2, 20))
    assert "the column 'label' is empty" in refused(bench, train, test=rows(lambda n: "", 5))
    assert "no column 'label', so no labels" in refused(bench, train, test=[{"text": "some words"}])


def test_commas_and_paths_inside_a_category(bench: Any) -> None:
    pairs = ["Clothing, Men", "Clothing, Women", "Shoes, Men", "Shoes, Women"]
    assert bench(rows(lambda n: pairs[n % 4])).label_names == pairs
    bench(rows(lambda n: [*pairs, "Men, Sale"][n % 5], 60))
    assert "--set label_separator=off" in bench.said("labels with a comma")
    bench.events.clear()
    assert (
        bench(rows(lambda n: ["red, blue", "blue", "red", "green, red"][n % 4], name="tags")).columns.kind == "labels"
    )
    assert not bench.said("labels with a comma")
    assert len(bench(rows(lambda n: [*pairs, "Men, Sale"][n % 5], 60), label_separator="off").label_names) == 5
    paths = rows(lambda n: ["Home > Oven", "Home > Bed", "Garden > Oven", "Garden > Bed"][n % 4])
    assert bench(paths).columns.kind == "label"
    assert "label_separator=' > '" in bench.said("several labels")
    assert bench(paths, label_separator=" > ").label_names == ["Bed", "Garden", "Home", "Oven"]


def test_ratings_are_told(bench: Any) -> None:
    bench(rows(lambda n: n % 5 + 1, name="stars"))
    assert bench.said("rating").startswith("1 to 5 ")
    assert "--task text-regression" in bench.said("rating")
    bench.events.clear()
    bench(
        rows(lambda n: [1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5][n % 9], 60, "Bewertung"),
        kinds=("label",),
        target="Bewertung",
    )
    assert "1 to 5 in steps of 0.5" in bench.said("rating")
    bench.events.clear()
    bench(rows(lambda n: "★" * (n % 5 + 1) + "☆" * (4 - n % 5), name="rating"))
    assert bench.said("rating").startswith("1 to 5 ")
    bench.events.clear()
    bench(rows(lambda n: n % 11, 66, "nps"))
    assert "0 to 10" in bench.said("rating")
    bench.events.clear()
    bench(rows(lambda n: n % 4, name="topic"))
    bench(rows(lambda n: n % 3 - 1, name="sentiment"))
    assert not bench.said("rating")


def test_columns_of_marks_are_labels(bench: Any) -> None:
    made = [{"text": sentence(n), "rude": "x" if n % 2 else "", "late": "x" if n % 3 else ""} for n in range(48)]
    data = bench(made)
    assert data.columns.target == ("rude", "late")
    assert data.targets(range(2)) == [[], ["late", "rude"]]
    said = [
        {"text": sentence(n), "rude": "ja" if n % 2 else "nein", "late": "yes"[: n % 2 * 3] or "no"} for n in range(48)
    ]
    assert bench(said, target=["rude", "late"]).targets(range(2)) == [[], ["late", "rude"]]


def test_a_reader_says_what_it_can_not_read() -> None:
    reader = TargetReader(Columns(("text",), ("price",), "number"))
    with pytest.raises(ValueError, match="is not a number"):
        reader._number("three")


def test_a_decimal_comma_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text(
        "text;Sterne\n" + "".join(f"{sentence(n)};{1 + n % 9 / 2:.1f}\n".replace(".", ",") for n in range(60))
    )
    told: list[Any] = []
    prepare(path, target=["Sterne"], options=SplitOptions(), seed=0, cache_dir=tmp_path, emit=told.append)
    why = next(event.why for event in told if getattr(event, "what", "") == "target kind")
    assert why.count("decimal comma") == 1


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([[0, 1, -1], [1, 0, 0], [0, 0, 1]], "-1 beside 0 and 1"),
        ([[0, 3, 0], [1, 0, 0], [0, 2, 2]], "a number for each"),
    ],
)
def test_vectors_of_other_numbers_are_refused(bench: Any, cells: list[list[int]], words: str) -> None:
    assert words in refused(bench, rows(lambda n: cells[n % 3], name="labels"))


@pytest.mark.parametrize(
    "write", ["\n".join, lambda one: " ".join(f"#{x}" for x in one), lambda one: "".join(f"<{x}>" for x in one)]
)
def test_tags_in_a_row_are_several_labels(bench: Any, write: Callable[[list[str]], str]) -> None:
    data = bench(rows(lambda n: write([["sun", "sea"], ["sea"], ["snow", "sun"]][n % 3]), name="tags"))
    assert data.columns.kind == "labels"
    assert [one.strip("#") for one in data.targets(range(1))[0]] == ["sea", "sun"]


def test_one_tag_a_row_is_one_label(bench: Any) -> None:
    assert bench(rows(lambda n: ["<spam>", "<ham>"][n % 2])).columns.kind == "label"


def test_fractions_are_no_further_digits() -> None:
    read = style_of({}).read
    assert [read("3\u00bd"), read("\u00be"), read('="5.5"')] == [3.5, 0.75, 5.5]
    assert taken_apart("10\u00b2") is None
