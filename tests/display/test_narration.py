"""Events in plain words, and with all their depth."""

from __future__ import annotations

from tunesmith.core.events import Decided, Evaluated, Event, Phase, RolledBack, Step, Warned
from tunesmith.display.narration import Narrator


def told(events: list[Event], *, verbose: bool = False) -> list[str | None]:
    narrator = Narrator(verbose)
    return [narrator.sentence(event) for event in events]


def test_the_best_so_far_is_said_only_where_the_best_is_kept() -> None:
    looks: list[Event] = [Evaluated(step, "validation", {"loss": 0.5, "accuracy": 0.8}, best=True) for step in (0, 5)]
    assert told(looks) == [
        "  before training: accuracy 0.800 on the validation rows",
        "  after step 5: accuracy 0.800 on the validation rows (the best so far)",
    ]
    last: list[Event] = [Decided("kept_weights", "the last ones", "by design"), *looks]
    assert not any("best so far" in (line or "") for line in told(last))
    assert not any("best so far" in (line or "") for line in told(last, verbose=True))


def test_what_only_experts_read_is_for_verbose() -> None:
    events: list[Event] = [
        Phase("bottom", "run once"), Decided("penalty", 0.3, "the strongest"), Decided("model", "m", "lies here"),
        Phase("train", "full"), Phase("train", "done", 1.0), Decided("class_weights", "off", "no need"),
    ]  # fmt: skip
    assert told([Phase("load", "m"), *events[1:3]])[1:] == [None, None]
    assert told(events) == [None, None, "  model: m (lies here)", "Training (method full)", None, None]
    assert told(events, verbose=True)[:2] == ["[bottom] run once", "  penalty = 0.3 (the strongest)"]


def test_choices_are_sentences() -> None:
    split = Decided("split", {"train": 1490, "validation": 0, "test": 140}, "drawn at random")
    assert told([split]) == ["  rows: 1,490 to learn from, 140 to test on (drawn at random)"]
    assert told([Decided("kept_step", 0, "why")]) == ["  kept: the weights from before training (why)"]
    assert told([Decided("target kind", "labels", "why")]) == ["  kind of answer: several labels for each row (why)"]
    assert told([Decided("skipped columns", ["a", "b"], "why")]) == ["  left out: a, b (why)"]
    back = RolledBack(9, 5, 0.5, [1], "the loss stopped being finite")
    assert "going on from step 5 in smaller steps" in (told([back])[0] or "")


def test_what_is_told_can_not_steer_a_terminal() -> None:
    for verbose in (False, True):
        (line,) = told([Warned("rare labels", "only one row: \x1b[31mred\x07")], verbose=verbose)
        assert line == "  warning, rare labels: only one row: \\x1b[31mred\\x07"


def test_steps_say_what_is_left() -> None:
    step = Step(5, 10, 0.5, 0.25, 1e-4, 1.0, 16, 100, 0.5)
    assert Narrator().step(step, 200.0) == "step 5 of 10, about 3 min left"
    assert Narrator().step(step, None) == "step 5 of 10"
    assert Narrator(verbose=True).step(step, 200.0) == "step 5/10  loss 0.2500  32 rows/s"
