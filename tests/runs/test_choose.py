"""What `auto` takes when nothing is asked, and why it says it does."""

from __future__ import annotations

import pytest

from tunesmith.core.errors import DataError, OptionError
from tunesmith.core.events import Decided, Event
from tunesmith.core.spec import RunSpec
from tunesmith.runs.choose import TrainingRows, method_for, task_of


@pytest.mark.parametrize(
    ("kind", "rows", "median", "pairs", "chosen"),
    [
        ("label", 490, 48.5, False, "contrastive"),  # ten classes of fifty rows
        ("label", 4_700, 61.0, False, "full"),  # 77 of 61
        ("label", 600, 300.0, False, "full"),  # two of three hundred
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
    assert chosen_for(TrainingRows(kind, rows, median, pairs), told) == chosen  # type: ignore[arg-type]
    (why,) = told
    assert isinstance(why, Decided)
    assert why.value == chosen
    assert f"{rows:,} training rows" in why.why


def chosen_for(rows: TrainingRows, told: list[Event], seconds: dict[str, float] | None = None, **words: str) -> str:
    spec = RunSpec.make({"data": "rows.csv", **words})
    costs = {} if seconds is None else {name: {"seconds": found} for name, found in seconds.items()}
    return method_for(spec, rows, told.append, costs.get)


FIFTY = TrainingRows("label", 490, 48.5, letters=90.0)


def test_what_is_asked_for_is_taken_without_a_word() -> None:
    told: list[Event] = []
    assert chosen_for(FIFTY, told, method="lora") == "lora"
    assert not told


def test_long_rows_are_not_compared_with_each_other() -> None:
    assert chosen_for(TrainingRows("label", 490, 48.5, letters=1_200.0), []) == "full"


@pytest.mark.parametrize(
    ("seconds", "chosen", "said"),
    [
        ({"contrastive": 60.0, "full": 20.0}, "contrastive", "about 48 for a typical label"),
        ({"contrastive": 2_000.0, "full": 700.0}, "full", "33 minutes, which is too long"),
        ({"contrastive": 20_000.0, "full": 7_200.0}, "head", "2.0 hours here; --method full"),
    ],
)
def test_a_method_is_bounded_by_its_forecast(seconds: dict[str, float], chosen: str, said: str) -> None:
    told: list[Event] = []
    assert chosen_for(FIFTY, told, seconds) == chosen
    assert said in told[0].why  # type: ignore[attr-defined]


def test_quick_is_the_linear_head_and_nothing_else() -> None:
    assert chosen_for(FIFTY, [], effort="quick") == chosen_for(FIFTY, [], effort="quick", method="head") == "head"
    with pytest.raises(OptionError, match="--effort quick is the linear head, and --method full"):
        chosen_for(FIFTY, [], effort="quick", method="full")


def test_pairs_for_a_model_that_goes_on_are_told_how_to_name_their_columns() -> None:
    with pytest.raises(DataError) as refused:
        task_of("chat", "pair", "pair", "rows.csv")
    assert "query and response" in str(refused.value.fix)
    with pytest.raises(DataError) as refused:
        task_of("preference", "chat", "openai", "rows.jsonl")
    assert refused.value.fix == "Leave --task out, or use --task chat."
