"""Is it good, is it worth more than something simpler: levels, and words that say what the counts say."""

from __future__ import annotations

import numpy as np
import pytest

import evaluate_toys as toys
from tunesmith.core.errors import OptionError
from tunesmith.core.renamed import RenamedWarning
from tunesmith.evaluate import good, good_text, metrics_json, verdict
from tunesmith.evaluate.goal import Goal, parse_goal
from tunesmith.evaluate.measured import Difference, with_intervals
from tunesmith.evaluate.metrics_json import VERDICT
from tunesmith.evaluate.types import Outcome


def spam(caught: int, lost: int, spam: int = 14, ham: int = 126) -> tuple[Outcome, Outcome]:
    """(a filter, the constant answer) on `spam` + `ham` messages."""
    truth = np.r_[np.ones(spam, int), np.zeros(ham, int)]
    given = np.r_[np.arange(spam) < caught, np.arange(ham) < lost].astype(int)
    names = ["ham", "spam"]
    constant = np.tile([ham / (spam + ham), spam / (spam + ham)], (len(truth), 1))
    return Outcome("label", truth, np.eye(2)[given], names), Outcome("label", truth, constant, names)


def judged(outcome: Outcome, constant: Outcome | None, goal: Goal | None = None) -> verdict.Good:
    found = with_intervals(outcome, resamples=200)
    return good.judge(outcome, found, constant, toys.FIRST[outcome.kind], goal=goal)


def test_a_filter_is_told_by_what_it_catches_and_loses() -> None:
    found = judged(*spam(12, 1))
    assert "137 of 140 test rows are right (98 %). Of 14 rows of 'spam' 12 are found" in found["words"]
    assert "1 of the 126 rows of 'ham' is mistaken for it" in found["words"]
    assert (found["metric"], found["level"]) == ("f1_macro", "good")
    assert "rare labels count as much" in found["words"]
    assert "2 of the 126 rows of 'ham' are mistaken for it (1 in 63)" in judged(*spam(12, 2))["words"]


@pytest.mark.parametrize(("caught", "lost", "level"), [(14, 0, "good"), (9, 3, "fair"), (3, 2, "poor"), (0, 0, "poor")])
def test_a_rare_label_that_is_lost_is_not_hidden_by_the_common_one(caught: int, lost: int, level: str) -> None:
    assert judged(*spam(caught, lost))["level"] == level  # accuracy is 0.90 and more in all of them


def test_most_rows_of_a_label_that_are_missed_keep_it_from_being_good() -> None:
    truth = np.repeat(np.arange(10), 20)
    given = np.where((truth == 9) & (np.arange(200) % 20 > 2), 8, truth)
    found = judged(Outcome("label", truth, np.eye(10)[given], None), None)
    assert found["level"] == "fair"
    assert "Most rows of '9' are not found." in found["words"]
    assert "The weakest label is '9': 3 of its 20 rows are found." in found["words"]


def test_numbers_are_told_by_how_far_they_are_off() -> None:
    outcome = toys.number(noise=0.5)
    constant = Outcome("number", outcome.truth, np.full(len(outcome), outcome.truth.mean()), None)
    found = judged(outcome, constant)
    assert found["level"] == "good"
    assert "On average it is off by" in found["words"]
    assert "always answering the mean" in found["words"]
    assert judged(toys.number(noise=3.0), constant)["level"] == "poor"


def test_several_labels_are_told_by_those_that_were_found() -> None:
    found = judged(toys.labels(skill=3.0), None)
    assert "labels that the 200 test rows have" in found["words"]
    assert found["metric"] == "f1_micro"


@pytest.mark.parametrize(
    ("target", "level", "said"),
    [(0.8, "good", "is reached."), (0.975, "fair", "luck"), (0.985, "fair", "bad luck"), (0.999, "poor", "is missed.")],
)
def test_a_target_decides(target: float, level: str, said: str) -> None:
    found = judged(*spam(12, 1), Goal("accuracy", target))
    assert (found["level"], found["metric"], found["target"]) == (level, "accuracy", target)
    assert said in found["words"]


def test_the_f1_of_entities_has_its_name_and_is_known_by_the_old_one() -> None:
    assert parse_goal("f1>=0.8", "--goal", "spans").metric == "f1"
    with pytest.warns(RenamedWarning, match="span_f1 is called f1 now"):
        assert parse_goal("span_f1>=0.8", "--goal", "spans").metric == "f1"


def test_targets_name_a_metric_and_a_side() -> None:
    assert parse_goal("f1 >= 0.9", "--goal") == Goal("f1_macro", 0.9)
    assert parse_goal("ndcg@10>=0.4", "--goal", "relevance") == Goal("ndcg@10", 0.4)
    for wrong in ("accuracy", "accuracy<0.9", "accuracy>=9", "acuracy>=0.9", "length_ratio>=1"):
        with pytest.raises(OptionError):
            parse_goal(wrong, "--goal")


def of(ours: Outcome, others: dict[str, Outcome], simplest: str | None = None) -> verdict.Verdict:
    return verdict.of_rows(ours, others, "accuracy", judged(ours, others.get("majority")), simplest=simplest)


def test_every_method_is_compared_with_the_same_ways() -> None:
    prior, probe = toys.label(skill=0.0, seed=3), toys.label(skill=4.0, seed=1)
    others = {"linear_probe": probe, "tfidf_logistic_regression": toys.label(skill=1.0, seed=2), "majority": prior}
    tuned, head = of(toys.label(skill=4.0, seed=5), others), of(probe, others, "linear_probe")
    assert [one["name"] for one in tuned["worth"]["contenders"]] == [verdict.CONTENDERS[i] for i in (0, 2, 4)]
    assert [one["name"] for one in head["worth"]["contenders"]] == [one["name"] for one in tuned["worth"]["contenders"]]
    assert (tuned["level"], tuned["worth"]["level"], tuned["outcome"]) == ("good", "fair", "not proven")
    assert "It is not proven to be better than a linear model on the frozen base" in tuned["worth"]["words"]
    assert "It is better than" in tuned["worth"]["words"]
    assert (head["level"], head["worth"]["level"], head["worth"]["simplest"]) == ("good", "good", True)
    assert head["title"] == "Good, and better than counting words (TF-IDF)"
    assert "This is the simple way itself" in head["worth"]["words"]
    assert head["worth"]["contenders"][-1]["same"]


def test_something_simpler_that_is_better_is_said() -> None:
    found = of(toys.label(skill=1.5), {"linear_probe": toys.label(skill=5.0, seed=1)})
    assert (found["worth"]["level"], found["outcome"]) == ("poor", "worse")
    assert found["level"] in ("fair", "poor")
    assert "something simpler is better" in found["title"]


def test_nothing_to_compare_with_is_said() -> None:
    assert "Nothing simpler could be compared" in of(toys.label(), {})["worth"]["words"]


def test_the_schema_describes_what_the_verdict_holds() -> None:
    found = of(toys.label(), {"majority": toys.label(skill=0.0)})
    assert {*found, "next_step"} == set(VERDICT["properties"])
    assert set(found["good"]) == set(VERDICT["properties"]["good"]["properties"])
    assert set(found["worth"]) == set(VERDICT["properties"]["worth"]["properties"])
    assert metrics_json.SCHEMA["properties"]["verdict"] is VERDICT


# models that write


@pytest.mark.parametrize(
    ("text", "repeats"),
    [
        ("It is on its way. It is on its way. It is on its way. It is on", True),
        ("no no no no", True),
        ("That was very very very kind of you.", False),
        ("哈哈哈哈哈哈哈哈", True),
        ("Your parcel leaves us tomorrow and reaches you on Friday.", False),
        ("", False),
        (" ".join(f"the {word}" for word in "abcdefghijkl") + " the", True),
    ],
)
def test_answers_that_repeat_themselves_are_found(text: str, repeats: bool) -> None:
    assert good_text.repeats_itself(text) is repeats


def difference(low: float, high: float) -> Difference:
    return {"difference": (low + high) / 2, "low": low, "high": high}


TEST = {"rougeL": {"value": 0.5, "low": 0.4, "high": 0.6}, "loss": {"value": 1.0, "low": 0.9, "high": 1.1}}


def written(texts: list[str], stopped: bool = True) -> good_text.Written:
    return good_text.count(texts, [stopped] * len(texts), [["Yes, gladly."]] * len(texts))


@pytest.mark.parametrize(
    ("answers", "text", "level", "said"),
    [
        (written(["Yes, we can."] * 8), difference(0.1, 0.3), "good", "all end by themselves"),
        (written(["Yes, we can."] * 8), difference(-0.1, 0.3), "fair", "not proven to be better than the base"),
        (written(["Yes, we can."] * 8, stopped=False), difference(0.1, 0.3), "poor", "8 of 8 answers do not end"),
        (written(["", *["Yes."] * 7]), difference(0.1, 0.3), "poor", "1 of 8 answers are empty"),
        (written(["ok ok ok ok ok"] * 8), difference(0.1, 0.3), "poor", "8 of 8 answers repeat themselves"),
        (written(["Yes, we can."] * 8), difference(-0.3, -0.1), "poor", "less like the wanted answers"),
    ],
)  # fmt: skip
def test_a_model_that_writes_is_judged_by_what_it_writes(
    answers: good_text.Written, text: Difference, level: str, said: str
) -> None:
    gates = good_text.gates(answers, text)
    found = good_text.judge(answers, gates, TEST, ("rougeL", text), difference(0.5, 1.0), "loss")
    assert found["level"] == level  # the loss fell in all of them
    assert said in found["words"]
    assert found["words"].index("It answered 8 test questions") < found["words"].index("loss 1.000 against 1.750")


def test_what_should_repeat_may() -> None:
    assert good_text.count(["go go go go"], [True], [["go go go go"]]).repeated == 0
    assert good_text.count([""], [True], [[""]]).empty == 0


def test_ratings_are_told_by_how_many_are_at_most_one_off() -> None:
    truth = np.array([1.0, 2, 3, 4, 5] * 20)
    outcome = Outcome("number", truth, np.where(np.arange(100) % 10, truth, np.clip(6 - truth, 1, 5)), None)
    told = judged(outcome, None)["words"]
    within = int((np.abs(outcome.scores - truth) <= 1).sum())
    assert f"{within} of 100 ratings, rounded to the steps of the scale, are at most 1 off." in told
    none = Outcome("number", truth * 1.7, truth * 1.7 + 0.1, None)
    assert "ratings" not in judged(none, None)["words"]


def test_counts_of_written_answers_read_as_sentences() -> None:
    three = written(["no no no no", "Yes, we can.", "Yes."], stopped=False)
    said = good_text.judge(three, [], TEST, None, None, "loss")["words"]
    assert said.startswith("It answered 3 test questions: none ends by itself, none is empty and 1 repeats itself.")
