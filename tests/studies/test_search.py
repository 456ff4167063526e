"""A search finds settings without ever seeing a test row, and survives a kill in the middle of a trial."""

from __future__ import annotations

import csv
import json
import math
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tunesmith.cli.show import show_search
from tunesmith.core.errors import FolderError, OptionError, RunFailed
from tunesmith.evaluate import charts, page, refine_report, report
from tunesmith.studies import series
from tunesmith.studies.search import SearchResult, _beside_the_first, search
from tunesmith.studies.series import Budget, Trial, make_split, parse_budget
from tunesmith.studies.space import Range, derive, parse_space

SPACE = {"learning_rate": {"low": 1e-4, "high": 2e-2}, "epochs": [2, 4], "batch_size": [4, 8]}
FIXED = {"precision": "fp32", "method": "full", "seed": 3, "validation_size": 0.2}


@pytest.fixture(scope="session")
def noisy(tmp_path_factory: pytest.TempPathFactory, tickets: list[dict[str, str]]) -> Path:
    """The tickets with a third of their labels drawn anew, so that settings differ in what they reach."""
    chance = random.Random(0)
    path = tmp_path_factory.mktemp("noisy") / "noisy.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["text", "label"])
        writer.writeheader()
        for row in tickets:
            label = chance.choice(["praise", "complaint", "question"]) if chance.random() < 0.35 else row["label"]
            writer.writerow({"text": row["text"], "label": label})
    return path


@pytest.fixture(scope="module")
def words(tiny_model: Path) -> dict[str, Any]:
    return {**FIXED, "model": str(tiny_model), "space": SPACE}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, noisy: Path, words: dict[str, Any]) -> SearchResult:
    """The search that nothing interrupts; what each of its runs was given is in `seen`."""
    return search(noisy, out=tmp_path_factory.mktemp("search") / "whole", budget="5 trials", **words)


def texts_in(path: str | Path) -> list[str]:
    with pa.ipc.open_file(str(path)) as file:
        return list(file.read_all().column("text").to_pylist())


def told(result: SearchResult) -> list[tuple[Any, ...]]:
    return [(trial["words"], trial["value"], trial["state"]) for trial in result.trials]


# the budget and the space


@pytest.mark.parametrize(
    ("text", "price", "expected"),
    [
        ("30m", None, Budget(seconds=1800)),
        ("2h", None, Budget(seconds=7200)),
        ("1h30m", None, Budget(seconds=5400)),
        ("20 trials", None, Budget(trials=20)),
        ("$5", 2.0, Budget(seconds=9000)),
    ],
)
def test_budgets(text: str, price: float | None, expected: Budget) -> None:
    assert parse_budget(text, price) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [("soon", "no time"), ("30", "no time"), ("5 x", "no time"), ("0 trials", "at least one"), ("$5", "price-per-hour"),
     ("0m", "more than nothing")],
)  # fmt: skip
def test_bad_budgets_say_what_is_expected(text: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        parse_budget(text)


def test_the_space_comes_from_the_options_themselves() -> None:
    found = derive({"epochs": 2}, {}, ["full", "lora", "head"], "text-classification")
    full, lora = found.settings["full"], found.settings["lora"]
    assert full["learning_rate"] == Range(5e-5, 8e-4, log=True)  # around the method's own 2e-4
    assert lora["learning_rate"] == Range(2.5e-4, 4e-3, log=True)
    assert "epochs" not in full  # fixed by the caller
    assert "rank" in lora
    assert "rank" not in full
    assert full["frozen_share"].high <= 1  # type: ignore[union-attr]
    assert found.start("lora")["lora.rank"] == 16
    assert derive({}, {}, ["head"], "text-classification").settings["head"] == {}  # nothing of it can be tuned


@pytest.mark.parametrize(
    ("text", "said"),
    [("rnak=1,2", "rank"), ("learning_rate=-1,1", "greater than 0"), ("epochs=5..2", "low below high"),
     ("epochs", "NAME"), ("rank=a..b", "two numbers")],
)  # fmt: skip
def test_bad_spaces_say_what_is_expected(text: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        derive({}, parse_space([text]), ["lora"], "text-classification")


# the search


@pytest.mark.story
def test_no_trial_sees_a_test_row(
    noisy: Path, words: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[dict[str, Any]] = []
    train = series.train

    def watched(**given: Any) -> Any:
        seen = {name: set(texts_in(given[name])) for name in ("data", "validation", "test")}
        runs.append({"out": Path(given["out"]).name, "texts": set().union(*seen.values()), **seen})
        return train(**given)

    monkeypatch.setattr(series, "train", watched)
    result = search(noisy, out=tmp_path / "s", budget="3 trials", **words)
    test_rows = set(texts_in(tmp_path / "s" / "data" / "test.arrow"))
    assert len(test_rows) == result.document["rows"]["test"] == 12
    assert [run["out"] for run in runs] == ["trial", "trial", "trial", "run"]
    for run in runs[:-1]:
        assert run["texts"].isdisjoint(test_rows)
    assert runs[-1]["test"] == test_rows
    assert runs[-1]["data"].isdisjoint(test_rows)
    assert runs[-1]["texts"] == {row["text"] for row in csv.DictReader(noisy.read_text(encoding="utf-8").splitlines())}
    assert not (tmp_path / "s" / "trial").exists()


@pytest.mark.story
def test_the_winner_is_the_best_on_validation_and_trains_to_the_same(whole: SearchResult) -> None:
    done = [trial for trial in whole.trials if trial["state"] == "complete"]
    assert len(whole.trials) == 5
    assert whole.document["best"]["value"] == max(trial["value"] for trial in done)
    # the last training, with the test rows beside it, is the trial's own
    assert whole.run.document["validation"]["accuracy"]["value"] == whole.document["best"]["value"]
    assert whole.trials[0]["words"]["learning_rate"] == 2e-4  # it begins at the defaults
    screen = show_search(json.loads((whole.path / "search.json").read_text()))
    assert "5 trials" in screen
    assert str(whole.run.path) in screen
    page = (whole.path / "report.html").read_text()
    assert "best so far" in page
    assert "connect-src" not in page
    assert "http" not in report.POLICY
    with pytest.raises(FolderError, match="differs in data, space, words"):
        search("elsewhere.csv", out=whole.path, budget="5 trials", model="minilm")


def test_the_chart_numbers_trials_as_the_table_does() -> None:
    trials = [{"number": number, "value": value, "state": "complete"} for number, value in ((1, 0.5), (3, 1.0))]
    figure = refine_report.history({"higher_is_better": True, "metric": "accuracy", "trials": trials})
    assert [(part["x"], part["y"]) for part in figure["data"] if part["name"] == "best so far"] == [
        ([1, 3], [0.5, 1.0])
    ]
    assert figure["data"][0]["x"] == [1, 3]
    low, high = figure["layout"]["yaxis"]["range"]
    assert 0 < low < 0.5
    assert 1 < high < 1.05  # nothing that no accuracy can be
    assert figure["layout"]["xaxis"]["range"] == [0.5, 3.5]


def test_the_axis_of_a_value_ends_where_the_value_can() -> None:
    assert charts.within([0.0, 0.02], "accuracy")["range"][0] > -0.01
    assert charts.within([3.0, 9.0], "rmse")["range"][1] > 9.2
    assert charts.within([-0.5, 1.0], "pearson")["range"][0] < -0.5
    assert charts.within([None, float("nan")], "accuracy") == {}


def test_wide_tables_fold_on_narrow_screens() -> None:
    folded = page.table(("trial", ("accuracy", "n")), [("1", ("0.5", "n"))], fold=True)
    assert '<table class="fold">' in folded
    assert '<td class="n" data-of="accuracy">0.5</td>' in folded


LINES = """
import sys, json
from tunesmith.studies.search import search
search(sys.argv[1], out=sys.argv[2], budget="5 trials", **json.loads(sys.argv[3]))
"""


def wait_for(done: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 100
    while not done():
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.mark.slow
def test_a_search_killed_in_mid_trial_goes_on_to_the_same_trials(
    whole: SearchResult, noisy: Path, words: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    log = out / "trial" / "events.jsonl"
    process = subprocess.Popen([sys.executable, "-c", LINES, str(noisy), str(out), json.dumps(words)])

    def has_stepped() -> bool:
        try:
            return '"step"' in log.read_text(encoding="utf-8")
        except FileNotFoundError:
            return False

    wait_for(has_stepped, process)
    wait_for(lambda: not log.exists(), process)  # the first trial is over
    wait_for(has_stepped, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (out / "study.db").exists()
    assert not (out / "search.json").exists()
    again = search(noisy, out=out, budget="5 trials", **words)
    assert told(again) == told(whole)
    assert again.document["test"] == whole.document["test"]
    numbers = [trial["number"] for trial in again.trials]
    assert len(numbers) == 5
    assert sorted(numbers) == [*range(1, len(numbers) + 1)]  # the trial that was cut off has none
    # asked for once more, it has nothing left to do
    started = time.monotonic()
    assert search(noisy, out=out, budget="50 trials", **words).trials == again.trials
    assert time.monotonic() - started < 5


class Killed(BaseException):
    """As a kill: nothing of the search catches it."""


@pytest.mark.story
def test_a_kill_at_any_moment_loses_and_counts_nothing(
    noisy: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import optuna

    def tries(given: dict[str, Any], *_: Any) -> Trial:
        value = math.sin(1e6 * given["learning_rate"])
        return Trial(value, 1 - value, 10, 1.0, "done")

    def tried(searching: Any) -> list[tuple[Any, ...]]:
        return [(t.params, t.value, t.state) for t in searching.told("COMPLETE", "PRUNED", "FAIL")]

    monkeypatch.setattr("tunesmith.studies.search.try_out", tries)
    monkeypatch.setattr("tunesmith.studies.search._finish", tried)
    monkeypatch.setattr("tunesmith.studies.search.STARTUP", 3)
    given = {"model": str(tiny_model), "methods": ["full", "lora"], "budget": "5 trials",
             "space": {"learning_rate": SPACE["learning_rate"], "epochs": [2, 4, 8]}}  # fmt: skip
    whole: Any = search(noisy, out=tmp_path / "whole", **given)
    assert [params["method"] for params, _, _ in whole[:2]] == ["full", "lora"]  # at the defaults of each

    def killed_after(place: type, name: str, argument: str | None, calls: int) -> None:
        real, left = getattr(place, name), calls

        def killed(self: Any, *arguments: Any, **words: Any) -> Any:
            nonlocal left
            done = real(self, *arguments, **words)
            left -= argument is None or arguments[0] == argument
            if not left:
                raise Killed
            return done

        with monkeypatch.context() as patched:
            patched.setattr(place, name, killed)
            with pytest.raises(Killed):
                search(noisy, out=tmp_path / "killed", **given)

    for calls in (1, 2):
        killed_after(optuna.Study, "ask", None, calls)
        killed_after(optuna.Trial, "suggest_categorical", "method", 1)
        killed_after(optuna.Trial, "set_user_attr", "why", 1)
        killed_after(optuna.Trial, "set_user_attr", "words", 1)
    assert search(noisy, out=tmp_path / "killed", **given) == whole


@pytest.mark.story
def test_what_falls_behind_is_ended_early(
    ticket_file: Path, words: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = [4e-3, 1e-7, 2e-7, 4e-7]
    space = {"learning_rate": rates, "epochs": [4], "batch_size": [4], "head_init": ["random"]}
    chosen = {**words, "space": space}
    result = search(ticket_file, out=tmp_path / "s", budget="6 trials", **chosen)
    states = {trial["state"] for trial in result.trials}
    assert "complete" in states
    pruned = [trial for trial in result.trials if trial["state"] == "pruned"]
    assert pruned
    assert all("fell behind after epoch" in trial["why"] for trial in pruned)
    monkeypatch.setattr("tunesmith.studies.search.try_out", pytest.fail)
    again = search(ticket_file, out=tmp_path / "s", budget="6 trials", **chosen)
    assert again.best == result.best


@pytest.mark.story
def test_time_is_kept_and_failures_are_told(
    noisy: Path, words: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[float] = []

    def fails(*_: Any) -> Trial:
        tried.append(1)
        raise RunFailed("no memory")

    monkeypatch.setattr("tunesmith.studies.search.try_out", fails)
    with pytest.raises(RunFailed, match="no memory"):
        search(noisy, out=tmp_path / "a", budget="3 trials", **words)
    assert len(tried) == 3

    def takes_a_minute(_: Any, __: Any, watch: Any, ___: Any) -> Trial:
        tried.append(1)
        watch.trial.value, watch.trial.loss, watch.trial.seconds, watch.trial.why = 0.5, 1.0, 60.0, "done"
        return watch.trial  # type: ignore[no-any-return]

    tried.clear()
    monkeypatch.setattr("tunesmith.studies.search.try_out", takes_a_minute)
    search(noisy, out=tmp_path / "b", budget="5m", **words)
    assert len(tried) == 4  # four minutes of trials, and one for the winner's last training


def test_the_split_is_that_of_a_plain_run(noisy: Path, tmp_path: Path, tiny_model: Path) -> None:
    held = make_split(noisy, tmp_path / "data", {"model": str(tiny_model), "seed": 5})
    rows = [row["text"] for row in csv.DictReader(noisy.read_text(encoding="utf-8").splitlines())]
    for split in ("train", "validation", "test"):
        assert texts_in(held.file(split)) == [rows[number] for number in held.row_ids[split]]
    ids = [number for split in ("train", "validation", "test") for number in held.row_ids[split]]
    assert sorted(ids) == list(range(60))
    with pytest.raises(FolderError, match="changed"):
        make_split(noisy, tmp_path / "data", {"model": str(tiny_model), "seed": 6})


def test_a_class_left_with_one_row_outside_the_test_part_can_still_be_tried(tmp_path: Path, tiny_model: Path) -> None:
    rows = [{"text": f"the card {n} is {word}", "label": word} for n in range(20) for word in ("lost", "late")]
    rows += [{"text": "please help me again", "label": "rare"}]
    with open(tmp_path / "test.jsonl", "w", encoding="utf-8") as file:
        file.write('{"text": "good money", "label": "rare"}\n{"text": "a lost card", "label": "lost"}\n')
    words = {"model": str(tiny_model), "test": str(tmp_path / "test.jsonl"), "near_duplicates": 0}
    held = make_split(rows, tmp_path / "data", words)
    assert "please help me again" in texts_in(held.file("validation_as_test"))
    assert "good money" not in texts_in(held.file("validation_as_test"))


def test_what_the_best_trial_is_beside_the_defaults() -> None:
    first = {"number": 1, "value": 0.9}
    said = _beside_the_first
    assert said({"number": 1, "value": 0.9}, first) == said({"number": 4, "value": 0.9}, None)
    assert said({"number": 4, "value": 0.95}, first) == "; the defaults had 0.900."
    assert "0.900, with a higher validation loss" in said({"number": 4, "value": 0.9}, first)


@pytest.mark.story
def test_a_search_ends_where_nothing_is_left_to_try(noisy: Path, tiny_model: Path, tmp_path: Path) -> None:
    found = search(noisy, out=tmp_path / "s", budget="1h", model=str(tiny_model), **{**FIXED, "method": "head"})
    assert len(found.trials) == 1  # drawn again, the same settings are no trial


@pytest.mark.story
def test_settings_that_are_drawn_again_cost_no_trial(
    noisy: Path, words: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def quick(given: Any, _: Any, watch: Any, __: Any) -> Trial:
        watch.trial.value, watch.trial.loss, watch.trial.why = given["batch_size"] / 8, 1.0, "done"
        return watch.trial  # type: ignore[no-any-return]

    monkeypatch.setattr("tunesmith.studies.search.try_out", quick)
    space = {"batch_size": [4, 8], "epochs": [1, 2], "learning_rate": [1e-4]}
    found = search(noisy, out=tmp_path / "s", budget="4 trials", **{**words, "space": space})
    tried = [(trial["words"]["batch_size"], trial["words"]["epochs"]) for trial in found.trials]
    assert sorted(tried) == [(4, 1), (4, 2), (8, 1), (8, 2)]
    assert found.document["words"][0].startswith("4 trials")
