"""Every verb, for people and as JSON."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import tunesmith as library
from tunesmith.cli.arguments import words_of
from tunesmith.core import registry
from tunesmith.core.run import RunFolder

Run = Callable[..., Any]
VERBS = (
    "train", "check", "evaluate", "predict", "resume", "runs", "show", "models", "methods", "tasks", "doctor",
)  # fmt: skip


def table(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# train, check, resume


def test_train_says_verdict_contenders_and_where_things_are(run: Run, ticket_csv: Path, quick: list[Any]) -> None:
    said = run("train", ticket_csv, *quick)
    assert said.code == 0
    for part in ("verdict  ", "accuracy on the test rows", "this model", "counting words (TF-IDF)", "a linear model on",
                 "report   runs/tickets-0001/report.html", 'tunesmith predict runs/tickets-0001 "..."'):  # fmt: skip
        assert part in said.stdout
    assert Path("runs/tickets-0001/result.json").exists()


def test_progress_in_a_pipe_is_plain_lines_on_stderr(run: Run, ticket_csv: Path, quick: list[Any]) -> None:
    said = run("train", ticket_csv, *quick, "--json")
    lines = said.stderr.splitlines()
    assert "step 4 of 4" in lines
    for said_first in ("Reading ", "Loading the base model ", "Letting the base model read the data: 60 rows, once",
                       "Training a simple model to compare with", "Training (method full)", "Testing on 12 test rows",
                       "Saving the model in ", "Writing the report "):  # fmt: skip
        assert any(line.startswith(said_first) for line in lines), said_first
    for words in ("  answer to learn: label (", "  rows: 42 to learn from, 6 to choose by, 12 to test on (",
                  "  before training: accuracy "):  # fmt: skip
        assert any(line.startswith(words) for line in lines), words
    for jargon in ("loss", "penalty", "frozen", "[", "rows/s", "median class"):
        assert jargon not in said.stderr
    assert not set(said.stderr) & {"\r", "\x1b", "\u2588"}


def test_verbose_has_the_depth(run: Run, ticket_csv: Path, quick: list[Any]) -> None:
    lines = run("train", ticket_csv, *quick, "--json", "--verbose").stderr.splitlines()
    assert any(re.fullmatch(r"step 4/4  loss \d+\.\d{4}  \d+ rows/s", line) for line in lines)
    for phase in ("read", "load", "features", "probe", "train", "evaluate", "save", "report"):
        assert any(line.startswith(f"[{phase}]") for line in lines)
    assert any(re.match(r"  batch_size = 8 \(42 training rows", line) for line in lines)


def test_train_as_json_is_one_object(run: Run, ticket_csv: Path, quick: list[Any]) -> None:
    found = run("train", ticket_csv, *quick, "--json", "--out", "mine", "--seed", 5).json
    assert (found["run"], found["status"], found["method"]) == ("mine", "finished", "full")
    assert found["document"] == json.loads(Path("mine/metrics.json").read_text())
    assert 0 <= found["document"]["test"]["accuracy"]["value"] <= 1
    assert {"what", "value", "why"} <= set(found["decisions"][0])
    assert library.load("mine").predict(["good"])[0]["label"] in ("praise", "complaint", "question")


def test_flags_and_settings_reach_the_spec(run: Run, quick: list[Any], tickets: list[dict[str, str]]) -> None:
    for name, some in (("train", tickets[::2]), ("test", tickets[1::4]), ("validation", tickets[3::4])):
        lines = [json.dumps({"body": row["text"], "kind": row["label"]}) for row in some]
        Path(f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    said = run(
        "train", "train.jsonl", "--test", "test.jsonl", "--validation", "validation.jsonl", "--text", "body",
        "--target", "kind", "--task", "text-classification", *quick, "--set", "learning-rate=1e-4",
        "--set", "class_weights=auto", "--callback", "tensorboard", "--out", "run", "--seed", 7,
    )  # fmt: skip
    assert said.code == 0
    spec = RunFolder("run").load_spec()
    assert (spec.text, spec.target, spec.seed) == (["body"], ["kind"], 7)
    assert spec.callbacks == ["early-stopping", "tensorboard"]
    assert (spec.options["learning_rate"], spec.options["class_weights"]) == (1e-4, "auto")
    assert Path(spec.test or "").name == "test.jsonl"
    assert len(pq.read_table("run/predictions.parquet")) == 15


@pytest.mark.story
def test_a_goal_may_cost_money(run: Run, ticket_csv: Path, quick: list[Any]) -> None:
    words = ["train", ticket_csv, *quick, "--until", "accuracy=0.0001", "--budget", "$1", "--out", "until"]
    refused = run(*words)
    assert refused.code == 2
    assert "Add --price-per-hour" in refused.stderr
    assert run(*words, "--price-per-hour", "60").code == 0


@pytest.mark.story
def test_words_that_yaml_takes_for_truth_values_stay_words(run: Run, quick: list[Any]) -> None:
    rows = [f"some words {n} of them,{('yes', 'no')[n % 2]}" for n in range(30)]
    Path("rows.csv").write_text("\n".join(["text,label", *rows, ""]))
    off = run("train", "rows.csv", *quick, "--set", "class_weights=off", "--set", "keep_cache=yes", "--out", "one")
    assert off.code == 0, off.stderr
    assert "class_weights: 'off'" in Path("one/spec.yaml").read_text()
    Path("spec.yaml").write_text(Path("one/spec.yaml").read_text().replace("'off'", "{yes: 2, no: 1}"))
    assert run("train", "spec.yaml", "--out", "two").code == 0
    short = run("train", "rows.csv", *quick, "--set", "class_weights={yes:2,no:1}", "--out", "three")
    assert short.code == 0, short.stderr
    weights = [RunFolder(name).load_spec().options["class_weights"] for name in ("two", "three")]
    assert weights == [{"yes": 2, "no": 1}] * 2


@pytest.mark.parametrize(
    ("typed", "value"),
    [("summarize: ", "summarize: "), ("en: a: b", "en: a: b"), ("5", 5), ("1e-4", 1e-4), ("[a, b]", ["a", "b"]),
     ("{a: 1}", {"a": 1}), ("auto", "auto"), ("null", None)],
)  # fmt: skip
def test_settings_are_read_as_they_are_meant(typed: str, value: Any) -> None:
    """The prefix that T5 was trained with ends with a colon and a space, which YAML takes for a table."""
    assert words_of([f"prefix={typed}"]) == {"prefix": value}


@pytest.mark.story
def test_check_trains_nothing_and_says_what_would_be_done(run: Run, ticket_csv: Path, quick: list[Any]) -> None:
    said = run("check", ticket_csv, *quick)
    assert said.code == 0
    for part in ("60 rows, all used", "reads    the column text", "learns   the column label, one of 3 labels",
                 "rows     42 to learn from, 6 to choose by, 12 to test on", "labels   complaint  20  ", "such as  ",
                 "-> praise", "lengths  half of the texts have at most ", "cut      ", "cost     ",
                 "Nothing was trained"):  # fmt: skip
        assert part in said.stdout
    assert "decided" not in said.stdout
    assert "decided  split" in run("check", ticket_csv, *quick, "--verbose").stdout
    taken = run("check", ticket_csv, *quick, "--out", ".")
    assert (taken.code, taken.stderr) == (0, "")
    assert list(Path().iterdir()) == []
    found = run("check", ticket_csv, "--json").json
    assert found["splits"] == {"train": 42, "validation": 6, "test": 12}
    assert (found["task"], found["model"], found["method"]) == ("text-classification", "minilm", "contrastive")
    assert set(found["estimate"]) == {"seconds", "memory_bytes", "disk_bytes"}
    assert list(Path().iterdir()) == []


@pytest.mark.story
def test_resume_finishes_a_stopped_run(run: Run, ticket_csv: Path, tiny_model: Path) -> None:
    class Dead(BaseException):
        pass

    def die(event: Any) -> None:
        if event.name == "step" and event.step == 6:
            raise Dead

    with pytest.raises(Dead):
        library.train(ticket_csv, model=str(tiny_model), method="full", precision="fp32", out="run", listeners=[die])
    shown = run("show", "run")
    assert "(stopped)" in shown.stdout
    assert "continue with: tunesmith resume run" in shown.stdout
    found = run("resume", "run", "--json").json
    assert (found["run"], found["status"]) == ("run", "finished")
    again = run("resume", "run")
    assert again.code == 0
    assert "verdict" in again.stdout
    assert "[train]" not in again.stderr  # there was nothing left to do


# evaluate and predict


def test_evaluate(run: Run, trained: Path, ticket_csv: Path) -> None:
    said = run("evaluate", trained, "--data", ticket_csv)
    assert re.match(r"\d+ of 60 rows are new to the model; it was trained on \d+", said.stdout)
    assert re.search(r"^accuracy +\d\.\d{3}  \(\d\.\d{3} to \d\.\d{3}\) +\d\.\d{3}$", said.stdout, re.M)
    found = run("evaluate", trained, "--data", ticket_csv, "--json").json
    assert found["rows"] == 60
    assert set(found["metrics"]["accuracy"]) == {"value", "low", "high"}
    assert found["trained_rows"] + found["validation_rows"] + found["new"]["rows"] == 60
    assert found["trained_rows"] > found["new"]["rows"] > 0
    assert found["new"]["metrics"].keys() == found["metrics"].keys()
    new, known = re.search(r"^accuracy +(\S+) .* (\S+)$", said.stdout, re.M).groups()  # type: ignore[union-attr]
    assert float(new) == pytest.approx(found["new"]["metrics"]["accuracy"]["value"], abs=5e-4)
    assert float(known) == pytest.approx(found["metrics"]["accuracy"]["value"], abs=5e-4)
    assert "rows were trained on" in said.stderr


def test_the_name_of_a_run_is_enough(run: Run, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `runs` lists them below runs/; a folder of that name here goes first."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "tickets").symlink_to(trained)
    monkeypatch.chdir(tmp_path)
    assert run("show", "tickets").stdout.startswith("run      runs/tickets  (finished)")
    assert run("predict", "tickets", "my parcel is late").stdout.strip()
    assert library.load("tickets").folder == Path("runs/tickets/model")
    missing = run("predict", "other", "hello")
    assert (missing.code, "no such folder" in missing.stderr) == (2, True)


def test_evaluate_in_python_stays_a_verb(trained: Path, ticket_csv: Path) -> None:
    """The folder of the package that is called evaluate must not take the verb's place, however it is imported."""
    from tunesmith.evaluate import metrics

    assert "accuracy" in metrics.TABLE
    for _ in range(2):
        assert library.evaluate(trained, ticket_csv, verbose=False)["rows"] == 60
    from tunesmith import evaluate

    assert callable(evaluate)


def test_predict_single_texts(run: Run, trained: Path) -> None:
    said = run("predict", trained, "where is my card?", "thanks, i am happy")
    assert said.code == 0
    assert re.fullmatch(r"(\w+  \d\.\d{4}\n){2}", said.stdout)
    more = run("predict", trained, "where is my card?", "--probabilities")
    assert re.fullmatch(r"\w+  \d\.\d{4}\n(    \w+  \d\.\d{4}\n){3}", more.stdout)
    found = run("predict", trained, "where is my card?", "--json").json["predictions"]
    assert [set(answer) for answer in found] == [{"label", "probability"}]
    found = run("predict", trained, "where is my card?", "--json", "--probabilities").json["predictions"]
    assert sum(found[0]["probabilities"].values()) == pytest.approx(1)
    alone = run("predict", trained / "model", "where is my card?", "--json").json["predictions"]
    assert alone[0]["label"] == found[0]["label"]


def test_predict_abstains_below_the_threshold(run: Run, trained: Path) -> None:
    assert run("predict", trained, "where?", "--threshold", 1).stdout.startswith("(abstains)  0.")
    found = run("predict", trained, "where?", "--threshold", 1, "--json").json["predictions"][0]
    assert found["label"] is None
    assert 0 < found["probability"] < 1
    wrong = run("predict", trained, "where?", "--threshold", 1.5)
    assert (wrong.code, "--threshold 1.5: expected a probability" in wrong.stderr) == (2, True)


def test_predict_a_file_keeps_its_columns(run: Run, trained: Path) -> None:
    Path("in.csv").write_text('id,text,note\n7,"where is my card?","a, b"\n8,"",\n9,"two\nlines",x\n')
    said = run("predict", trained, "--file", "in.csv", "--out", "out.csv")
    assert said.stdout == "3 rows written to out.csv\n"
    assert "warning, blank: a row has no text (row 2)" in said.stderr
    assert "a row has no text (row 1)" in run("predict", trained, "NULL", "where is my card?").stderr
    assert "2 rows have no text (row 1, 3)" in run("predict", trained, " ", "where is my card?", "").stderr
    rows = table(Path("out.csv"))
    assert list(rows[0]) == ["id", "text", "note", "predicted", "probability"]
    assert [(row["id"], row["text"], row["note"]) for row in rows] == [
        ("7", "where is my card?", "a, b"), ("8", "", ""), ("9", "two\nlines", "x"),
    ]  # fmt: skip
    single = run("predict", trained, "where is my card?", "--json").json["predictions"][0]
    assert rows[0]["predicted"] == single["label"]
    assert float(rows[0]["probability"]) == pytest.approx(single["probability"], abs=1e-6)


def test_predictions_that_fail_leave_what_was_there(run: Run, trained: Path) -> None:
    """Neither the file that is read nor an older answer is lost, and nothing half-written stands under a name."""
    before = "text\nwhere is it?\n"
    Path("in.csv").write_text(before)
    same = run("predict", trained, "--file", "in.csv", "--out", "./in.csv")
    assert (same.code, "--out in.csv is the file that is read" in same.stderr) == (2, True)
    assert Path("in.csv").read_text() == before
    Path("out.csv").write_text("older\n")
    assert run("predict", trained, "--file", "in.csv", "--out", "out.csv", "--threshold", 2).code == 2
    assert Path("out.csv").read_text() == "older\n"
    nowhere = run("predict", trained, "--file", "in.csv", "--out", "/proc/out.csv", "--json")
    assert (nowhere.code, nowhere.json["error"]["kind"]) == (2, "FolderError")
    assert {path.name for path in Path().iterdir()} == {"in.csv", "out.csv"}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_predict_writes_every_format(suffix: str, run: Run, trained: Path) -> None:
    Path("in.csv").write_text("text\nwhere is it?\nthanks\n")
    found = run("predict", trained, "--file", "in.csv", "--out", f"out{suffix}", "--probabilities", "--json").json
    assert found == {"rows": 2, "out": f"out{suffix}"}
    names = ["text", "predicted", "probability", "probability_complaint", "probability_praise", "probability_question"]
    if suffix == ".parquet":
        assert pq.read_table("out.parquet").column_names == names
    elif suffix == ".jsonl":
        rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
        assert [list(row) for row in rows] == [names, names]
    else:
        lines = Path(f"out{suffix}").read_text().splitlines()
        assert lines[0].split("\t" if suffix == ".tsv" else ",") == names
        assert len(lines) == 3


def test_predict_never_overwrites_a_column(run: Run, trained: Path) -> None:
    Path("in.csv").write_text("text,predicted,predicted_2,probability\nwhere is it?,mine,too,half\n")
    assert run("predict", trained, "--file", "in.csv", "--out", "out.csv").code == 0
    (row,) = table(Path("out.csv"))
    assert [row["predicted"], row["predicted_2"], row["probability"]] == ["mine", "too", "half"]
    assert row["predicted_3"] in ("praise", "complaint", "question")
    assert float(row["probability_2"]) > 0


@pytest.mark.parametrize("name", ["row_id", "index", "label"])
def test_predict_keeps_columns_whatever_their_name(name: str, run: Run, trained: Path) -> None:
    Path("in.csv").write_text(f"{name},text\n41,where is it?\n42,thanks\n")
    run("predict", trained, "--file", "in.csv", "--out", "out.csv")
    assert [row.get(name) for row in table(Path("out.csv"))] == ["41", "42"]


def test_predict_pairs(run: Run, pairs: Path) -> None:
    said = run("predict", pairs, "good app", "good order", "bad app", "bad order")
    assert re.fullmatch(r"((yes|no)  \d\.\d{4}\n){2}", said.stdout)
    assert "a row has no text (row 2)" in run("predict", pairs, "good app", "good order", "bad app", " ").stderr
    wrong = run("predict", pairs, "good app")
    assert (wrong.code, "reads pairs of texts; got 1" in wrong.stderr) == (2, True)
    Path("in.csv").write_text("left,right\ngood app,good order\n")
    assert run("predict", pairs, "--file", "in.csv", "--out", "out.csv").code == 0
    assert table(Path("out.csv"))[0]["predicted"] in ("yes", "no")


# what there is


def test_runs_and_show(run: Run, trained: Path) -> None:
    said = run("runs", trained.parent)
    assert said.stdout.splitlines()[0].split() == ["run", "status", "method", "model", "test", "metric", "verdict"]
    assert re.search(r"one +finished +full .* accuracy \d\.\d{3}", said.stdout)
    (row,) = run("runs", trained.parent, "--json").json["runs"]
    assert (row["status"], row["metric"]) == ("finished", "accuracy")
    assert run("runs").stdout == "No runs here. Start one with: tunesmith train FILE\n"
    assert run("runs", "--json").json == {"runs": []}
    missing = run("runs", "nope")
    assert (missing.code, "nope: there is no such folder." in missing.stderr) == (2, True)
    assert "verdict  " in run("show", trained).stdout
    assert run("show", trained, "--json").json["document"]["first_metric"] == "accuracy"
    document = {"words": ["rmse over 2 seeds: 0.5"], "runs": [], "mean": {"rmse": 0.5}, "spread": {"rmse": 0.1}}
    Path("several").mkdir()
    Path("several/seeds.json").write_text(json.dumps(document))  # not a run but several
    assert run("show", "several").stdout.startswith("rmse over 2 seeds: 0.5")
    assert run("show", "several", "--json").json == document
    missing = run("show", trained.parent / "oen")
    assert missing.code == 2
    assert "does not exist" in missing.stderr
    assert "one'" in missing.stderr  # the nearest


@pytest.mark.parametrize("seam", ["methods", "tasks"])
def test_methods_and_tasks(seam: str, run: Run) -> None:
    said = run(seam)
    found = run(seam, "--json").json[seam]
    assert [plugin["name"] for plugin in found] == registry.names(seam)
    for plugin in found:
        assert re.search(rf"^{plugin['name']} +{re.escape(plugin['summary'])}$", said.stdout, re.M)
    one = run(seam, found[0]["name"])
    assert all(f"--set {option['name']}=" in one.stdout and option["help"] in one.stdout
               for option in found[0]["options"])  # fmt: skip
    assert run(seam, found[0]["name"], "--json").json == found[0]
    assert run(seam, found[0]["name"] + "x").code == 2


# a real process


def test_help_and_version(tunesmith: Callable[..., Any]) -> None:
    said = tunesmith("--help")
    assert said.code == 0
    assert all(re.search(rf"^  {verb} ", said.stdout, re.M) for verb in VERBS)
    version = tunesmith("--version")
    assert (version.code, version.stdout) == (0, f"tunesmith {library.__version__}\n")
    module = subprocess.run(
        [sys.executable, "-m", "tunesmith", "--version"], capture_output=True, text=True, check=False
    )  # fmt: skip
    assert (module.returncode, module.stdout) == (0, version.stdout)


@pytest.mark.story
def test_nothing_but_our_own_words_reaches_the_screen(
    tunesmith: Callable[..., Any], ticket_csv: Path, tiny_model: Path
) -> None:
    said = tunesmith(
        "train", ticket_csv, "--model", tiny_model, "--method", "lora", "--out", "run", "--set", "max_steps=2",
        "--set", "gradient_checkpointing=true", "--json", OMP_NUM_THREADS="1",
    )  # fmt: skip
    assert said.code == 0
    assert said.json["status"] == "finished"
    strange = [line for line in said.stderr.splitlines() if not re.match(r"[A-Z][a-z]+ \S|step \d|  \S", line)]
    assert strange == []
    assert "Warning" not in said.stderr
