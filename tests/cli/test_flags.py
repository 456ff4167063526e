"""Flags: the same ones in every command, in groups, completed by a tab; two that contradict are refused."""

from __future__ import annotations

import importlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer.main

from tunesmith.cli import completion, screen
from tunesmith.cli.arguments import COMPARED, WORDS, words_of
from tunesmith.cli.main import app
from tunesmith.core import registry
from tunesmith.core.errors import OptionError
from tunesmith.core.events import Phase

Run = Callable[..., Any]
KNOBS = {"--epochs", "--batch-size", "--learning-rate", "--max-length", "--set", "--seed", "--data", "--test"}
GROUP: Any = typer.main.get_command(app)


def flags(command: str) -> set[str]:
    return {name for parameter in GROUP.commands[command].params for name in parameter.opts}


@pytest.mark.parametrize("command", ["train", "check", "plan", "compare", "search"])
def test_the_usual_knobs_are_flags_alike(command: str) -> None:
    names = COMPARED if command in ("compare", "search") else tuple(WORDS)
    wanted = {"--set" if name == "settings" else f"--{name.replace('_', '-')}" for name in names}
    assert wanted | {"--data"} >= KNOBS
    assert wanted | {"--data", "--json"} <= flags(command)
    assert ("--verbose" in flags(command)) == (command in ("check", "plan", "train"))  # where it has an effect


def test_the_same_thing_has_the_same_name_everywhere() -> None:
    for command in ("train", "check", "plan", "compare", "search", "preview", "evaluate", "predict"):
        assert "--data" in flags(command)
    assert "--max-new-tokens" in flags("chat") & flags("predict")


@pytest.mark.parametrize(
    ("typed", "settings"),
    [
        ({"epochs": 3}, ["epochs=5"]),
        ({"learning_rate": 1e-4}, ["learning-rate=2e-4"]),
        ({"freeze": "embeddings,layers.0"}, ["freeze=[embeddings]"]),
        ({"text": ["body"]}, ["text=title"]),
        ({}, ["epochs=3", "epochs=5"]),
    ],
)
def test_a_flag_and_a_setting_that_contradict_are_both_named(typed: dict[str, Any], settings: list[str]) -> None:
    with pytest.raises(OptionError, match="contradict") as caught:
        words_of(settings, **typed)
    for name in typed:
        assert f"--{name.replace('_', '-')} " in str(caught.value)
    assert f"--set {settings[0].partition('=')[0].replace('-', '_')}=" in str(caught.value)


def test_what_says_the_same_twice_is_no_contradiction() -> None:
    assert words_of(["epochs=3", "text=body"], epochs=3, text=["body"]) == {"epochs": 3, "text": ["body"]}
    assert words_of(["freeze=a,b"], freeze="a, b") == {"freeze": ["a", "b"]}
    assert words_of(None, callback=["ewc"]) == {"callbacks": ["early-stopping", "tensorboard", "ewc"]}


def test_flags_reach_every_command(run: Run, ticket_csv: Path) -> None:
    """A value that no command takes is refused by each of them, before anything is read."""
    for command in ("train", "check", "plan", "compare", "search"):
        said = run(command, "--data", ticket_csv, "--epochs", -1, "--set", "batch_size=0", "--out", "x")
        assert said.code == 2, command
        if command != "plan":  # has no --out
            assert "'epochs'" in said.stderr
            assert "'batch_size'" in said.stderr
    two = run("check", ticket_csv, "--data", "other.csv")
    assert (two.code, "contradict" in two.stderr, "--data other.csv" in two.stderr) == (2, True, True)


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_help_cuts_no_sentence_and_has_groups(columns: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tunesmith", "--help"], capture_output=True, text=True, check=True,
        env={**os.environ, "COLUMNS": str(columns)},
    )  # fmt: skip
    assert "..." not in done.stdout.partition("\n")[2]
    assert max(map(len, done.stdout.splitlines())) <= columns
    places = [done.stdout.index(f"\n{section}:\n") for section in ("Start", "Understand", "Improve", "Use")]
    assert places == sorted(places)
    shown = " ".join(done.stdout.split())
    for command in GROUP.commands.values():
        assert " ".join(command.help.split("\n\n")[0].split()) in shown


# completion


def complete(line: str) -> list[str]:
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "from tunesmith.cli.main import app; app(prog_name='tunesmith')"],
        capture_output=True, text=True, check=False,
        env={**os.environ, **words, "_TUNESMITH_COMPLETE": "complete_bash"},
    )  # fmt: skip
    assert done.stdout, done.stderr[-2000:]
    for heavy in ("torch", "transformers", "numpy", "pandas"):
        assert f"| {heavy}\n" not in done.stderr.replace(" ", "").replace("|", "| ")
    return done.stdout.splitlines()


@pytest.mark.story
def test_a_tab_completes_names(in_tmp: Path) -> None:
    (in_tmp / "runs" / "bank-0001").mkdir(parents=True)
    assert complete("tunesmith show ru") == ["runs/bank-0001"]
    assert complete("tunesmith train x.csv --method contr") == ["contrastive"]
    assert complete("tunesmith compare x.csv --models minilm,mpn") == ["minilm,mpnet"]
    assert "--learning-rate" in complete("tunesmith check --l")
    assert any(line.startswith("epochs=") for line in complete("tunesmith train x.csv --set ep"))


def test_completed_options_are_all_that_there_are() -> None:
    from tunesmith.data.types import SplitOptions
    from tunesmith.engine.options import EngineOptions

    models = [EngineOptions, SplitOptions]
    models += [registry.get(seam, name).Options for seam in registry.SEAMS for name in registry.names(seam)]
    wanted = {name for model in models for name in model.model_fields}
    assert wanted <= set(completion.options())
    assert completion.options()["epochs"] == "How often every training row is seen"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_every_shell(shell: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from tunesmith.cli.main import app; app(prog_name='tunesmith')"], check=False,
        capture_output=True, text=True, env={**os.environ, "_TUNESMITH_COMPLETE": f"source_{shell}"},
    )  # fmt: skip
    assert "_TUNESMITH_COMPLETE" in done.stdout


# colour


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environment", "painted"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colour_is_for_terminals_that_want_it(
    environment: dict[str, str], painted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert screen.paint("well", "green", stream=Screen()) == ("\x1b[32mwell\x1b[0m" if painted else "well")
    assert screen.paint("well", "green", stream=io.StringIO()) == "well"


def test_long_lines_break_behind_their_name_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    text = "word " * 12
    assert "\n" not in screen.entry("name", text.strip())
    monkeypatch.setattr(sys, "stdout", Screen())
    lines = screen.entry("name", text).splitlines()
    assert len(lines) > 1
    assert max(map(len, lines)) <= 40
    assert all(line.startswith(" " * 9 + "word") for line in lines[1:])


@pytest.mark.parametrize(
    ("command", "module", "verb"), [("compare", "comparison", "compare"), ("search", "search", "search")]
)
def test_what_takes_long_says_how_far_it_is(
    command: str, module: str, verb: str, run: Run, ticket_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(data: Any, emit: Any, **words: Any) -> Any:
        emit(Phase(command, "2 of 4: TF-IDF"))
        raise OptionError("Enough.")

    monkeypatch.setattr(importlib.import_module(f"tunesmith.studies.{module}"), verb, told)
    said = run(command, ticket_csv, "--json")
    assert re.search(r"^(Comparing|Searching), 2 of 4: TF-IDF$", said.stderr, re.M)
