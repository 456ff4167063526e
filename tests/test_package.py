"""The functions of the package: typed words, progress that suits the place, results that show themselves."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import types
import warnings
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tunesmith
from language_models import folder
from language_runs import CHAT, jsonl, short_run
from tunesmith.core import registry
from tunesmith.core.errors import OptionError
from tunesmith.core.words import TrainWords
from tunesmith.display import notebook
from tunesmith.display.cards import Card, Document, Listing, Table, as_html, as_text
from tunesmith.display.results import Check, Comparison, Verdict
from tunesmith.families.plan_words import Plan
from tunesmith.studies.search import SearchResult

Train = Callable[..., tunesmith.Run]


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> tunesmith.Run:
    return short_run(CHAT, out=str(tmp_path_factory.mktemp("chat") / "run"), epochs=1, generate_rows=0, few_shot=0)


# typed words

RIGHT = """\
import tunesmith
from pathlib import Path

run = tunesmith.train("a.csv", epochs=3, learning_rate=1e-4, method="head", text="body", model=Path("m"))
tunesmith.train("a.csv", continue_from=run, class_weights={"a": 2.0}, freeze="head", verbose=False)
tunesmith.search("a.csv", budget="5 trials", batch_size=8)
tunesmith.predict(run, "hello", temperature=0.5)
"""
WRONG = {
    'tunesmith.train("a.csv", epohcs=3)': 'Unexpected keyword argument "epohcs" for "train"; did you mean "epochs"?',
    'tunesmith.check("a.csv", epochs="three")': 'Argument "epochs" to "check" has incompatible type "str"',
    'tunesmith.plan("a.csv", schedule="steep")': 'Argument "schedule" to "plan" has incompatible type',
    'tunesmith.compare("a.csv", seed="one")': 'Argument "seed" to "compare" has incompatible type "str"',
    'tunesmith.predict("run", "hi", tempreature=0.5)': 'did you mean "temperature"?',
}


def test_a_type_checker_knows_every_option(tmp_path: Path) -> None:
    # the rest of the package is not followed: it would take half a minute and say nothing about the words
    (tmp_path / "mypy.ini").write_text(
        f"[mypy]\nfollow_imports=skip\nignore_missing_imports=True\nmypy_path={Path(tunesmith.__file__).parents[1]}\n"
        "[mypy-tunesmith,tunesmith.workflows.*,tunesmith.core.words]\nfollow_imports = silent\n"
    )
    (tmp_path / "right.py").write_text(RIGHT)
    (tmp_path / "wrong.py").write_text("\n".join(["import tunesmith", *WRONG]))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--cache-dir", "cache", "right.py", "wrong.py"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    found = {line.split(":")[1]: line for line in done.stdout.splitlines() if ": error:" in line}
    assert "right.py" not in done.stdout, done.stdout
    assert list(found) == [str(number + 2) for number in range(len(WRONG))], done.stdout
    for line, message in zip(found.values(), WRONG.values(), strict=True):
        assert message in line


def test_the_typed_words_are_those_of_the_options() -> None:
    options = {
        f
        for seam in registry.SEAMS
        for name in registry.names(seam)
        for f in registry.get(seam, name).Options.model_fields
    }
    assert options <= set(TrainWords.__annotations__)
    for name in ("train", "check", "compare", "search", "plan"):
        assert inspect.signature(getattr(tunesmith, name)).parameters["words"].annotation == "Unpack[TrainWords]", name
        assert not set(inspect.signature(getattr(tunesmith, name)).parameters) & set(TrainWords.__annotations__), name


@pytest.mark.story
def test_words_may_be_paths_runs_and_values_of_numpy_and_pandas(
    train: Train, first: tunesmith.Run, tickets: Any, tiny_model: Path
) -> None:
    frame = pd.DataFrame(tickets)
    run = tunesmith.train(
        frame, out=Path("one"), model=tiny_model, method="head", text=frame.columns[:1], target=frame.columns[1],
        seed=np.int64(3), test_size=np.float64(0.25), precision="fp32",
    )  # fmt: skip
    spec = run.folder.load_spec()
    assert (spec.text, spec.target, spec.seed, spec.options["test_size"]) == (["text"], ["label"], 3, 0.25)
    again = tunesmith.train(tickets, out="two", continue_from=first, method="head", precision="fp32")
    assert again.folder.load_spec().continue_from == str(first.path.resolve())
    assert tunesmith.load(run).predict("hello")["label"] in run.model.classes_
    with pytest.raises(OptionError, match="Did you mean 'epochs'"):
        tunesmith.train(tickets, out="three", epohcs=3)  # type: ignore[call-arg]
    with pytest.raises(OptionError, match=r"several runs.*\n.*cross_validate"):
        tunesmith.train(tickets, cv=5)  # type: ignore[call-arg]


# progress


def test_where_nobody_looks_two_lines_are_said(train: Train, tickets: Any, capfd: pytest.CaptureFixture[str]) -> None:
    run = train(tickets)
    said = capfd.readouterr()
    assert said.out == ""
    begun, done = said.err.splitlines()
    assert begun == "tunesmith: run run: started"
    assert done.startswith("tunesmith: finished in ")
    assert f"accuracy {run.metrics['accuracy']:.4f}" in done


@pytest.mark.slow
def test_without_verbose_nothing_is_said(tickets: Any, tiny_model: Path, in_tmp: Path) -> None:
    program = (
        "import tunesmith, json\n"
        f"rows = json.loads({json.dumps(json.dumps(tickets))})\n"
        f"run = tunesmith.train(rows, model={str(tiny_model)!r}, method='full', epochs=1, verbose=False)\n"
        "tunesmith.evaluate(run, rows, verbose=False)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_in_a_notebook_one_card_grows(
    train: Train, tickets: Any, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: list[str] = []
    handle = types.SimpleNamespace(update=pages.append)
    display = types.ModuleType("IPython.display")
    display.HTML = str  # type: ignore[attr-defined]
    display.display = lambda page, display_id: pages.append(page) or handle  # type: ignore[attr-defined]
    shell = types.ModuleType("IPython")
    shell.get_ipython = lambda: types.SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(notebook, "_EVERY", 0.0)
    run = train(tickets, epochs=3, batch_size=8)
    assert capfd.readouterr() == ("", "")
    assert len(pages) > 10
    assert "step 1 of" in "".join(pages)
    last = pages[-1]
    assert "finished in" in last
    assert last.count("<polyline") == 2
    assert "training loss" in last
    assert f"accuracy {run.metrics['accuracy']:.4f}" in last
    assert "width:100.0%" in last
    closed(last)


def test_a_terminal_has_its_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", types.SimpleNamespace(isatty=lambda: True, write=len, flush=lambda: None))
    assert type(notebook.progress()).__name__ not in ("Brief", "NotebookProgress")


def test_a_long_curve_stays_small() -> None:
    from tunesmith.core.events import Step

    card = notebook.NotebookProgress(types.SimpleNamespace(HTML=str, display=lambda page, display_id: None))
    for step in range(1, 5_000):
        card._heard(Step(step, 5_000, 0.0, 1 / step, 0.1, 1.0, 8, 80, 0.1))
    assert len(card._loss) <= 400
    assert len(card.html()) < 20_000


def closed(page: str) -> None:
    """Every tag is closed, nothing is loaded, and no script is there."""
    open_tags: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag not in ("script", "img", "link", "iframe")
            if not (self.get_starttag_text() or "").endswith("/>"):
                open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            if open_tags[-1:] == [tag]:
                open_tags.pop()

    Reader().feed(page)
    assert open_tags == []


def test_a_run_shows_its_verdict_metrics_and_baselines(first: tunesmith.Run) -> None:
    text, page = repr(first), first._repr_html_()
    for shown in (text, page):
        for part in (
            str(first.path),
            first.verdict.sentences[0][:40],
            "accuracy",
            "counting words (TF-IDF)",
            "report",
        ):
            assert part in shown, part
    interval = first.document["test"]["accuracy"]
    assert f"{interval['value']:.3f} ({interval['low']:.3f} to {interval['high']:.3f})" in text
    assert "F1 (macro)" in page
    assert "color:inherit" in page
    closed(page)
    assert "3 labels" in repr(first.model)
    closed(first.model._repr_html_())


def test_a_run_as_tables(first: tunesmith.Run) -> None:
    board = first.leaderboard()
    assert set(board["name"]) == {"this model", *first.document["baselines"]}
    assert list(board.columns[:4]) == ["name", "accuracy", "low", "high"]
    assert list(board["accuracy"]) == sorted(board["accuracy"], reverse=True)
    rows = first.predictions
    assert np.mean(rows["truth"] == rows["predicted"]) == pytest.approx(first.metrics["accuracy"])


def test_show_prints_and_opens_the_report(
    first: tunesmith.Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert first.show() == Path(first.report).resolve()
    assert capsys.readouterr().out.strip().endswith("report.html")
    monkeypatch.setenv("DISPLAY", ":0")
    first.show()
    assert len(opened) == (2 if sys.platform == "darwin" else 1)


def test_an_unfinished_run_says_how_to_go_on(in_tmp: Path) -> None:
    Path("begun").mkdir()
    Path("begun/spec.yaml").write_text("data: a.csv\n")
    from tunesmith.core.run import RunFolder

    run = tunesmith.Run(RunFolder("begun"))
    assert "stopped" in repr(run)
    assert "tunesmith.resume('begun')" in repr(run)
    with pytest.raises(tunesmith.TunesmithError, match="no metrics yet"):
        run.leaderboard()


def test_a_verdict_of_either_form_is_words() -> None:
    two = Verdict({
        "level": "poor", "title": "Poor.", "good": {"level": "poor", "words": "12 of 40 are right."},
        "worth": {"level": "fair", "words": "TF-IDF has 14."},
        "next_step": {"words": "Add rows.", "command": "x --cv 5"},
        "outcome": "worse",
    })  # fmt: skip
    assert str(two) == "Poor. 12 of 40 are right. TF-IDF has 14. Add rows."
    assert "x --cv 5" in repr(two)
    assert "#cf222e" in two._repr_html_()
    one = Verdict({"outcome": "better", "sentence": "Better: 0.9 against 0.8.", "against": "tfidf"})
    assert str(one) == "Better: 0.9 against 0.8."
    assert one.outcome == one["outcome"] == "better"
    assert not hasattr(one, "level")


def test_a_check_is_a_dict_that_shows_itself(ticket_file: Path) -> None:
    found = tunesmith.check(ticket_file)
    assert isinstance(found, Check)
    assert json.dumps(found) == json.dumps(dict(found))
    assert isinstance(found, dict)
    assert found.task == found["task"] == "text-classification"
    assert "60 read, 0 dropped" in repr(found)
    closed(found._repr_html_())
    chat = tunesmith.check([*CHAT, {"messages": []}])
    assert chat["problems"]
    assert chat["problems"][0]["message"] in repr(chat)
    closed(chat._repr_html_())


def test_cards_escape_and_keep_to_their_lines() -> None:
    nasty = "<script>alert(1)</script>\x1b[2J\u202edcba"
    card = Card(nasty, ("poor", [nasty, nasty]), [(nasty, nasty)], [Table((nasty,), [(nasty,)])], [Table((nasty,), [])],
                (nasty, nasty))  # fmt: skip
    page, text = as_html(card), as_text(card)
    assert "<script" not in page
    assert not {"\x1b", "\u202e"} & set(text + page)
    closed(page)
    listing = Listing([{"name": nasty, "n": 1}], "Things")
    closed(listing._repr_html_())
    assert list(listing.to_frame()["n"]) == [1]
    with pytest.raises(AttributeError, match="it holds a"):
        _ = Document({"a": 1}).b


@pytest.mark.story
def test_comparisons_plans_and_searches_are_shown(first: tunesmith.Run, ticket_file: Path, tiny_model: Path) -> None:
    rung = {
        "title": "TF-IDF",
        "value": 0.8,
        "low": 0.7,
        "high": 0.9,
        "seconds": 1.0,
        "size_bytes": 2e6,
        "forgetting": {},
    }
    compared = Comparison({"metric": "accuracy", "words": ["Take it."], "recommendation": "", "rungs": [rung]})
    assert "0.800 (0.700 to 0.900)" in repr(compared)
    assert list(compared.to_frame()["title"]) == ["TF-IDF"]
    plan = tunesmith.plan(ticket_file, model=tiny_model, method="head")
    assert isinstance(plan, Plan)
    assert "It fits" in repr(plan)
    trial = {"number": 3, "value": 0.9, "seconds": 2.0, "words": {"epochs": 2}, "state": "complete"}
    document = {"trials": [trial], "higher_is_better": True, "metric": "accuracy", "words": ["Found."]}
    searched = SearchResult(first.path, document, first)
    assert "Found." in repr(searched)
    for shown in (compared, plan, searched):
        closed(shown._repr_html_())


# the other verbs


def test_an_earlier_run_is_opened_by_its_path(first: tunesmith.Run, tmp_path: Path) -> None:
    again = tunesmith.Run(str(first.path))
    assert (again.metrics, again.report) == (first.metrics, first.report)
    with pytest.raises(tunesmith.TunesmithError, match="does not exist"):
        tunesmith.Run(tmp_path / "none")


def test_what_there_is(first: tunesmith.Run) -> None:
    found = tunesmith.runs(first.path.parent)
    assert [row["run"] for row in found] == [str(first.path)]
    assert "accuracy" in repr(found)
    assert {row["name"] for row in tunesmith.methods()} == set(registry.names("methods"))
    assert "chat" in repr(tunesmith.tasks())


def test_evaluate_and_predict_take_a_run_a_path_or_a_model(
    first: tunesmith.Run, tickets: Any, in_tmp: Path, writer: tunesmith.Run
) -> None:
    frame = pd.DataFrame(tickets[:10])
    found = [tunesmith.evaluate(run, frame, verbose=False) for run in (first, first.path, str(first.path), first.model)]
    assert all(one["metrics"] == found[0]["metrics"] for one in found)
    assert "accuracy" in repr(found[0])
    answers = [tunesmith.predict(run, frame) for run in (first, str(first.path), first.model)]
    assert all(list(one["predicted"]) == list(answers[0]["predicted"]) for one in answers)
    assert tunesmith.predict(first, frame, "out.csv") == 10
    assert list(pd.read_csv("out.csv")["predicted"]) == list(answers[0]["predicted"])
    assert tunesmith.predict(first, "hello", threshold=1.0)["label"] is None
    with pytest.raises(OptionError, match="a model of labels or numbers has no option 'temperature'"):
        tunesmith.predict(first, "hello", temperature=1.0)
    with pytest.raises(OptionError, match="a model that writes text has no option 'threshold'"):
        tunesmith.predict(writer, "hello", threshold=0.5)


def test_verbs_for_models_that_write(writer: tunesmith.Run, in_tmp: Path) -> None:
    session = tunesmith.chat(writer, temperature=0, max_new_tokens=3)
    said = session.ask("anna: where is my tea?")
    assert [message["role"] for message in session.messages][:1] == (["user"] if said else [])
    assert tunesmith.predict(writer, "bob: where is my tea?", max_new_tokens=2)["text"] is not None
    rows = jsonl(in_tmp / "rows.jsonl", CHAT)
    assert tunesmith.convert(rows, "other.jsonl", "sharegpt") == len(CHAT)
    shown = tunesmith.preview(str(rows), model=folder("llama"), row=2)
    assert "row 2" in repr(shown)
    assert "<h2>row 2</h2>" in shown._repr_html_()
    assert any(token["learned"] for token in shown.tokens()[0])
    assert tunesmith.export(writer, out=in_tmp / "plain")["answers"] > 0
    assert "conversations" in repr(writer.model)


def test_a_verb_is_a_verb_whatever_is_imported() -> None:
    import tunesmith.methods.head
    import tunesmith.models.text

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("evaluate", "models", "methods", "tasks"):
            assert callable(getattr(tunesmith, name)), name


def test_a_comparison_says_how_far_it_is(
    ticket_file: Path, tiny_model: Path, in_tmp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunesmith.studies import comparison, series

    heard: list[str] = []
    monkeypatch.setattr(comparison, "_contender", lambda *job: {"name": job[2]})
    monkeypatch.setattr(comparison, "_job", lambda *job: {"points": []})
    monkeypatch.setattr(comparison, "_document", lambda path, held, rungs, points, *_: {"rungs": rungs, "words": []})
    monkeypatch.setattr(series.Study, "publish", lambda *parts: None)
    monkeypatch.setattr(notebook, "progress", lambda: lambda event: heard.append(event.detail))
    found = tunesmith.compare(ticket_file, out="compared", model=tiny_model, methods=["head"])
    assert [row["name"] for row in found["rungs"]] == ["majority", "tfidf", "head"]
    assert heard[0] == "1 of 3: always giving the most frequent answer"
    assert len(heard) == 4
    again = tunesmith.compare(ticket_file, out="again", model=tiny_model, methods="head", verbose=False)
    assert again == found
    assert len(heard) == 4
