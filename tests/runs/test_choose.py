"""What `auto` takes when nothing is asked, and why it says it does."""

from __future__ import annotations

import pytest

from tunesmith.core.errors import DataError
from tunesmith.core.events import Decided, Event
from tunesmith.workflows.choose import method_for, task_of


@pytest.mark.parametrize(
    ("kind", "rows", "median", "pairs", "chosen"),
    [
        ("label", 490, 48.5, False, "contrastive"),  # ten classes of fifty rows
        ("label", 4_700, 61.0, False, "full"),  # 77 of 61
        ("label", 600, 300.0, False, "contrastive"),  # two of three hundred
        ("label", 8_000, 8.0, False, "contrastive"),  # a thousand of eight
        ("labels", 2_000, 16.0, False, "full"),
        ("label", 199, 100.0, True, "head"),
        ("label", 200, 100.0, True, "full"),
        ("number", 200, 200.0, False, "full"),
    ],
)
def test_the_body_moves_where_there_are_rows_to_move_it(
    kind: str, rows: int, median: float, pairs: bool, chosen: str
) -> None:
    told: list[Event] = []
    assert method_for("auto", kind, rows, median, pairs, told.append) == chosen  # type: ignore[arg-type]
    (why,) = told
    assert isinstance(why, Decided)
    assert why.value == chosen
    assert f"{rows:,} training rows" in why.why


def test_what_is_asked_for_is_taken_without_a_word() -> None:
    assert method_for("lora", "label", 10, 1.0, False, pytest.fail) == "lora"


def test_pairs_for_a_model_that_goes_on_are_told_how_to_name_their_columns() -> None:
    with pytest.raises(DataError) as refused:
        task_of("chat", "pair", "pair", "rows.csv")
    assert "query and response" in str(refused.value.fix)
    with pytest.raises(DataError) as refused:
        task_of("preference", "chat", "openai", "rows.jsonl")
    assert refused.value.fix == "Leave --task out, or use --task chat."
