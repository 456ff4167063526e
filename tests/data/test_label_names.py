"""Labels that are numbers get the names that they are given, however these are written down."""

from __future__ import annotations

import json
from typing import Any

import datasets
import pytest

from tunesmith.core.errors import DataError
from tunesmith.data.targets import parse_targets
from tunesmith.data.types import Columns

from .test_values import refused, rows


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["none", "food", "shop", "sport"], ["food", "shop", "sport"]),  # of 0 to 3
        ("food,shop,sport", ["food", "shop", "sport"]),  # of 1 to 3
        ({3: "sport", 2: "shop", 1: "food", 9: "unused"}, ["food", "shop", "sport"]),
        ({"food": 1, "shop": 2, "sport": 3}, ["food", "shop", "sport"]),  # label2id
        ("1: food, 2: shop, 3: sport", ["food", "shop", "sport"]),
        ("1=food,2=shop,3=with spaces", ["food", "shop", "with spaces"]),
        ("file:food\nshop\nsport\n", ["food", "shop", "sport"]),
        ("file:1\tfood\n2\tshop\n\n3\tsport out", ["food", "shop", "sport out"]),
        ('json:{"id2label": {"1": "food", "2": "shop", "3": "sport"}, "hidden_size": 32}', ["food", "shop", "sport"]),
        ('json:["none", "food", "shop", "sport"]', ["food", "shop", "sport"]),
    ],
)
def test_names_of_labels_that_are_numbers(bench: Any, tmp_path: Any, given: Any, names: list[str]) -> None:
    if str(given).startswith(("file:", "json:")):
        path = tmp_path / f"names.{'json' if given.startswith('json') else 'txt'}"
        path.write_text(given[5:], encoding="utf-8")
        given = str(path)
    several = rows(lambda n: ["1", "2,3", "3", "1,2"][n % 4], name="labels")
    for cell in (lambda n: n % 3 + 1, lambda n: float(n % 3 + 1), lambda n: [n % 3 + 1]):
        data = bench(rows(cell, name="label"), label_names=given)
        assert data.label_names == names
        assert data.columns == Columns.of(json.loads(json.dumps(data.columns.record())))
    data = bench(several, label_names=given)
    assert data.label_names == names
    assert "1 is food" in bench.said("label names")
    other = datasets.Dataset.from_list(
        [{"text": "a", "labels": "3,1"}, {"text": "b", "labels": names[1]}, {"text": "c", "labels": "2"}]
    )
    assert parse_targets(other, data.columns, data.label_names) == [[names[0], names[2]], [names[1]], [names[1]]]
    with pytest.raises(DataError, match=r"'7' is none of the labels that label_names names"):
        parse_targets(datasets.Dataset.from_list([{"text": "a", "labels": "7"}]), data.columns, data.label_names)


def test_a_name_that_says_nothing_is_a_label_and_words_can_be_named(bench: Any) -> None:
    assert bench(rows(lambda n: n % 2), label_names=["none", "n/a"]).label_names == ["n/a", "none"]
    data = bench(rows(lambda n: ["neg", "pos"][n % 2]), label_names={"neg": "bad", "pos": "good"})
    assert data.label_names == ["bad", "good"]


@pytest.mark.parametrize(
    ("cell", "given", "said"),
    [
        (lambda n: n % 3 + 1, {1: "a", 2: "b"}, "label_names has no name for '3' (it names 1, 2)"),
        (lambda n: n % 3 + 1, ["a", "b"], "label_names has no name for"),
        (lambda n: n % 3 + 1, {1: "a", 2: "b", 3: "a"}, "gives several labels the name 'a'"),
        (lambda n: "xy"[n % 2], ["a", "b"], "which names the labels 0, 1, 2, ...; this column has 'x'"),
        (lambda n: n / 7, ["a", "b"], "the target is numbers to be read"),
    ],
)
def test_names_that_do_not_fit_are_refused(bench: Any, cell: Any, given: Any, said: str) -> None:
    assert said in refused(bench, rows(cell), label_names=given)
