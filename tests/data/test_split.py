"""Every row in exactly one place, whatever the data; duplicates on one side; groups and times respected."""

from __future__ import annotations

import datetime
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toys import sentence
from tunesmith.core.errors import DataError
from tunesmith.core.events import ignore
from tunesmith.data import split
from tunesmith.data.divide import wanted_sizes
from tunesmith.data.labels import leak_message
from tunesmith.data.ledger import Ledger
from tunesmith.data.prepare import prepare
from tunesmith.data.types import Leakage, SplitOptions


def rows(count: int, classes: int = 3) -> list[dict[str, Any]]:
    return [{"text": sentence(n), "label": f"class {n % classes}"} for n in range(count)]


def check_complete(data: Any) -> None:
    together = np.concatenate(list(data.splits.values()))
    assert sorted(together.tolist()) == list(range(len(data.rows)))
    assert all(part.dtype == np.int64 and (np.diff(part) > 0).all() for part in data.splits.values())
    counts = data.ledger.counts()
    assert counts["used"] + counts["cut"] + counts["dropped"] == counts["rows"]
    assert counts["used"] + counts["cut"] == len(data.rows)


TEXTS = st.text(alphabet="abc XYZ.,é!", max_size=12)
LABELS = st.sampled_from(["a", "b", "c", "", None])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    pairs=st.lists(st.tuples(TEXTS, LABELS), min_size=12, max_size=60),
    seed=st.integers(0, 5),
    threshold=st.sampled_from([0.0, 0.6, 0.85]),
)
def test_any_rows_are_split_or_refused(pairs: Any, seed: int, threshold: float) -> None:
    source = [{"text": text, "label": label} for text, label in pairs]
    with tempfile.TemporaryDirectory() as folder:
        try:
            shares = SplitOptions(validation_size=0.1, test_size=0.1, near_duplicates=threshold)
            data = prepare(
                source, text="text", target="label", options=shares, seed=seed, emit=ignore, cache_dir=Path(folder)
            )  # fmt: skip
        except DataError:
            return
        check_complete(data)
        assert all(len(part) for part in data.splits.values())
        kept = [n for n, (text, label) in enumerate(pairs) if text.strip() and label]
        assert data.rows["row_id"][:] == kept
        home: dict[str, str] = {}
        for name, part in data.splits.items():
            for position in part.tolist():
                text = " ".join(data.rows[position]["text"].split()).casefold()
                assert home.setdefault(text, name) == name


@given(
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=12),
    shares=st.tuples(st.floats(0, 0.4), st.floats(0, 0.4)),
    seed=st.integers(0, 3),
)
def test_stratified_split_keeps_proportions(counts: list[int], shares: tuple[float, float], seed: int) -> None:
    strata = np.repeat(np.arange(len(counts)), counts)
    validation, test = split.wanted_sizes(strata.size, *shares)
    marks = split.stratify(strata, validation, test, seed)
    for stratum, count in enumerate(counts):
        own = np.bincount(marks[strata == stratum], minlength=3)
        assert own[0] >= 1
        assert own[2] <= count * test / strata.size + 1
    if min(counts) > 5:
        assert np.bincount(marks, minlength=3)[1:].tolist() == [validation, test]


@given(st.lists(st.integers(0, 8), min_size=10, max_size=80), st.integers(0, 3))
def test_no_group_is_parted(groups: list[int], seed: int) -> None:
    codes = np.array(groups)
    marks = split.by_group(codes, 2, 2, seed)
    assert all(np.unique(marks[codes == group]).size == 1 for group in set(groups))
    if len(set(groups)) >= 3:
        assert set(marks.tolist()) == {0, 1, 2}


@given(st.lists(st.integers(0, 30), min_size=10, max_size=80))
def test_time_goes_forward_and_ties_stay(times: list[int]) -> None:
    array = np.array(times, dtype=float)
    marks = split.by_time(array, 3, 3)
    assert all(np.unique(marks[array == time]).size == 1 for time in set(times))
    if len(set(times)) >= 3:
        assert set(marks.tolist()) == {0, 1, 2}
        assert array[marks == 0].max() < array[marks == 2].min()


@given(st.lists(st.tuples(st.sampled_from(["drop", "cut"]), st.sets(st.integers(0, 19))), max_size=12))
def test_the_ledger_adds_up(marks: list[tuple[str, set[int]]]) -> None:
    ledger = Ledger(20)
    for number, (how, ids) in enumerate(marks):
        getattr(ledger, how)(list(ids), f"reason {number}")
    counts = ledger.counts()
    assert counts["used"] + counts["cut"] + counts["dropped"] == 20
    dropped = set().union(*(ids for how, ids in marks if how == "drop"))
    assert counts["dropped"] == len(dropped) == sum(counts["reasons"]["dropped"].values())
    assert counts["cut"] == sum(counts["reasons"]["cut"].values())


def test_the_same_seed_gives_the_same_split(bench: Any) -> None:
    first, again, other = bench(rows(60)), bench(rows(60)), bench(rows(60), seed=1)
    assert first.splits["test"].tolist() == again.splits["test"].tolist()
    assert first.splits["test"].tolist() != other.splits["test"].tolist()
    assert first.fingerprint == again.fingerprint != other.fingerprint


def test_every_class_gives_its_share(bench: Any) -> None:
    data = bench(rows(90))
    assert data.audit()["labels"]["class 0"] == {"train": 24, "validation": 3, "test": 3}
    assert [len(part) for part in data.splits.values()] == [72, 9, 9]


def test_ten_rows_give_one_each(bench: Any) -> None:
    assert [len(part) for part in bench(rows(10, 2)).splits.values()] == [8, 1, 1]


def test_group_and_time(bench: Any) -> None:
    made = [{**row, "user": n // 4, "when": f"2024-{n % 12 + 1:02}-01"} for n, row in enumerate(rows(60))]
    data = bench(made, group="user")
    check_complete(data)
    users = [set((part // 4).tolist()) for part in data.splits.values()]
    assert not users[0] & users[1] | users[0] & users[2] | users[1] & users[2]
    data = bench(made, time="when")
    months = [{n % 12 for n in part.tolist()} for part in data.splits.values()]
    assert max(months[0]) < min(months[1]) <= max(months[1]) < min(months[2])
    with pytest.raises(DataError, match="can not be used together"):
        bench(made, time="when", group="user")


@pytest.mark.parametrize(
    "written", ["%d.%m.%Y", "%d.%m.%Y %H:%M", "%d/%m/%Y", "%m/%d/%Y", "%m/%d/%y", "%b %d, %Y", "%Y/%m/%d"]
)
def test_dates_are_read_one_way_throughout_a_column(bench: Any, written: str) -> None:
    days = [datetime.date(2024, 1, 1) + datetime.timedelta(days=(7 * n) % 60) for n in range(60)]
    made = [{**row, "when": day.strftime(written)} for row, day in zip(rows(60), days, strict=True)]
    data = bench(made, time="when", text="text", target="label")
    parts = [{days[n] for n in part.tolist()} for part in data.splits.values()]
    assert max(parts[0]) < min(parts[1]) <= max(parts[1]) < min(parts[2])


@pytest.mark.parametrize("first", ["01/02/2024", "24-12-31", "31/12/2024"])
def test_dates_that_could_be_two_are_refused(bench: Any, first: str) -> None:
    made = [{**row, "when": f"0{n % 9 + 1}/{13 * (first[0] == '3') + 2:02}/2024"} for n, row in enumerate(rows(60))]
    made = [{**row, "when": first if first[0] == "2" else row["when"]} for row in made]
    made[5]["when"] = first
    with pytest.raises(DataError, match="column 'when': in dates such as"):
        bench(made, time="when", text="text", target="label")


def test_duplicates_stand_on_one_side(bench: Any) -> None:
    made = rows(200)
    made += [{**row, "text": row["text"].upper() + "!!"} for row in made[:60]]
    data = bench(made)
    check_complete(data)
    side = {position: name for name, part in data.splits.items() for position in part.tolist()}
    assert all(side[n] == side[200 + n] for n in range(60))
    assert data.leakage.identical_rows > 0
    assert data.leakage.moved_rows > 0
    assert data.leakage.remaining_rows == 0
    assert data.leakage.examples[0]["identical"]
    assert [len(part) for part in data.splits.values()] == [208, 26, 26]
    assert data.audit()["duplicates"]["rows_with_a_text_seen_before"] == 60
    assert "moved" not in bench.said("leakage")


def test_near_duplicates_stand_on_one_side(bench: Any) -> None:
    long = [f"{sentence(n)} and then {sentence(n + 400)} came {sentence(n + 800)}" for n in range(100)]
    made = [{"text": text, "label": "ab"[n % 2]} for n, text in enumerate(long)]
    made += [{"text": text.replace("and", "or"), "label": "ab"[n % 2]} for n, text in enumerate(long)]
    data = bench(made)
    side = {position: name for name, part in data.splits.items() for position in part.tolist()}
    assert all(side[n] == side[100 + n] for n in range(100))
    assert data.leakage.near_identical_rows > 0
    assert bench(made, near_duplicates=0).leakage.near_identical_rows == 0


def test_a_template_does_not_swallow_the_data(bench: Any) -> None:
    made = [
        {"text": f"Where is my order number {n}? I have waited for weeks", "label": "ab"[n % 2]} for n in range(100)
    ]
    data = bench(made)
    assert [len(part) for part in data.splits.values()] == [80, 10, 10]
    assert data.leakage.remaining_rows > 0
    assert "remain where they are" in bench.said("leakage")
    assert len(data.leaked_test) > 0


def test_given_files_are_left_alone_and_reported(bench: Any) -> None:
    train, test = rows(60), [*rows(70)[60:], *rows(3), {"text": "something else entirely", "label": "new"}]
    data = bench(train, test=test, text="text", target="label", unseen_labels="warn")
    assert [len(part) for part in data.splits.values()] == [54, 6, 14]
    assert data.leaked_test.tolist() == [70, 71, 72]
    assert data.leakage.identical_rows == 3
    assert "new" in bench.said("unseen labels")
    assert data.label_names == ["class 0", "class 1", "class 2", "new"]
    assert data.location(60) == {"file": "list of rows", "row": 1, "line": None}


def test_conflicts_are_listed(bench: Any) -> None:
    made = [*rows(30), {"text": sentence(4).upper(), "label": "class 2"}]
    data = bench(made)
    assert data.conflicts == [{"text": sentence(4), "targets": {"class 1": 1, "class 2": 1}, "row_ids": [4, 30]}]
    assert data.audit()["conflicts"] == {"texts": 1, "rows": 2}


def test_everything_is_saved(bench: Any) -> None:
    made = [*rows(30), {"text": " ", "label": "class 1"}, {"text": "no label here", "label": None}]
    data = bench(made)
    data.ledger.cut([0, 30], "longer than 3 tokens")
    data.save(bench.folder / "data")
    audit = json.loads((bench.folder / "data" / "audit.json").read_text())
    assert audit["ledger"]["reasons"] == {
        "cut": {"longer than 3 tokens": 1},
        "dropped": {"no text in column 'text'": 1, "no target in column 'label'": 1},
    }
    assert audit["rows"] == 32
    assert audit["splits"] == {"train": 24, "validation": 3, "test": 3}
    ledger = pq.read_table(bench.folder / "data" / "ledger.parquet").to_pylist()
    assert ledger[30] == {
        "row_id": 30, "file": "list of rows", "row": 31, "line": None,
        "status": "dropped", "reason": "no text in column 'text'",
    }  # fmt: skip
    splits = pq.read_table(bench.folder / "data" / "splits.parquet").to_pydict()
    assert splits["row_id"] == list(range(30))
    assert splits["split"].count("test") == 3
    assert json.loads((bench.folder / "data" / "fingerprint.json").read_text())["sha256"] == data.fingerprint
    assert json.loads((bench.folder / "data" / "columns.json").read_text())["text"] == "text"


@pytest.mark.parametrize(("rows", "validation", "test"), [(40, 4, 8), (10_000, 500, 1_000), (200_000, 5_000, 5_000)])
def test_shares_shrink_as_rows_grow(rows: int, validation: int, test: int) -> None:
    assert wanted_sizes(SplitOptions(), rows, ()) == (validation, test)


def test_what_was_moved_is_told_without_counting_nothing() -> None:
    one, near, both = (leak_message(Leakage(*counts)) for counts in ((1, 0), (0, 2), (1200, 2)))
    assert one == "1 row to choose by or to test on has a text that also stands in another split"
    assert near == "2 rows to choose by or to test on have a text that stands nearly so in another split"
    assert both.startswith("1,200 rows ")
    assert both.endswith(" 2 a text that is nearly so")
