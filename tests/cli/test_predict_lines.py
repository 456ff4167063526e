"""predict from a pipe: every line has its answer, in order, as soon as it is there."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tunesmith.data.lines import Row, together

Run = Callable[..., Any]
TEXTS = ["where is my card?", "thanks, i am happy", "", "my order was lost"]


@pytest.fixture
def labels(run: Run, trained: Path) -> list[str]:
    found = run("predict", trained, *TEXTS, "--json").json["predictions"]
    return [answer["label"] for answer in found]


@pytest.mark.parametrize("arguments", [[], ["-"], ["--data", "-"]])
def test_a_text_a_line(arguments: list[str], run: Run, trained: Path, labels: list[str]) -> None:
    said = run("predict", trained, *arguments, stdin="\ufeff" + "\r\n".join(TEXTS) + "\n")
    assert [line.split()[0] for line in said.stdout.splitlines()] == labels
    assert "row 3" in said.stderr  # is empty


def test_json_lines_and_tables_keep_their_columns(run: Run, trained: Path, labels: list[str]) -> None:
    lines = [json.dumps({"id": n, "text": text, "predicted": "mine"}) for n, text in enumerate(TEXTS)]
    said = run("predict", trained, "--format", "jsonl", "--probabilities", stdin="\n".join(lines))
    rows = [json.loads(line) for line in said.stdout.splitlines()]
    assert [(row["id"], row["predicted"], row["predicted_2"]) for row in rows] == [
        (n, "mine", label) for n, label in enumerate(labels)
    ]
    assert 0 <= rows[0]["probability_praise"] <= 1
    table = 'id;text\n7;"where; is\nmy card?"\n8;thanks, i am happy\n'
    said = run("predict", trained, "--format", "csv", stdin=table)
    rows = list(csv.DictReader(said.stdout.splitlines(keepends=True), delimiter=";"))
    assert [(row["id"], row["text"]) for row in rows] == [("7", "where; is\nmy card?"), ("8", "thanks, i am happy")]
    assert rows[1]["predicted"] == labels[1]


def test_pairs_stand_with_a_tab_between_them(run: Run, pairs: Path) -> None:
    said = run("predict", pairs, stdin="good app\tgood order\nbad app\tbad order\n")
    assert len(said.stdout.splitlines()) == 2
    wrong = run("predict", pairs, stdin="good app\tgood order\nbad app\n")
    assert (wrong.code, "line 2" in wrong.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "stdin", "part"),
    [
        ([], b"", "nothing came through standard input"),
        ([], b"fine\n\xe4rger\n", "line 2: not UTF-8"),
        (["--format", "jsonl"], b'{"text": "a"}\n{"text": \n', "line 2: not valid JSON"),
        (["--format", "jsonl"], b'{"body": "a"}\n', "there is no column 'text'; it has body"),
        (["--format", "csv"], b"text,id\na,1\nb,2,3\n", "line 3: 3 cells"),
        (["--format", "xml"], b"a\n", "--format xml: expected one of text, jsonl, csv"),
        (["--out", "x.csv"], b"a\n", "--out is for --data FILE"),
        (["--max-new-tokens", "5"], b"a\n", "a model of labels or numbers has no option 'max_new_tokens'"),
    ],
)
def test_what_can_not_be_read_is_said(arguments: list[str], stdin: bytes, part: str, run: Run, trained: Path) -> None:
    said = run("predict", trained, *arguments, stdin=stdin)
    assert said.code == 2
    assert part in said.stderr


def test_rows_that_are_there_go_together_and_none_waits_for_the_next() -> None:
    seen: list[int] = []

    def slow() -> Iterator[Row]:
        for number in range(10):
            if number:
                assert seen or number < 3  # the first was handed on before the last came
            yield Row(number, {}, "")

    for batch in together(slow(), 1):
        seen += [row.line for row in batch]
    assert seen == list(range(10))

    def broken() -> Iterator[Row]:
        yield Row(1, {}, "")
        raise ValueError("no more")

    found = together(broken(), 8)
    assert [row.line for row in next(found)] == [1]
    with pytest.raises(ValueError, match="no more"):
        next(found)


def test_old_names_go_on_working_with_a_note(run: Run, trained: Path) -> None:
    Path("in.csv").write_text("text\nwhere is it?\n")
    said = run("predict", trained, "--file", "in.csv", "--out", "out.csv")
    assert (said.code, "--file is called --data now" in said.stderr) == (0, True)
    assert run("predict", trained, "--file", "in.csv", "--data", "other.csv", "--out", "out.csv").code == 2


@pytest.mark.slow
def test_a_reader_that_leaves_ends_it_quietly(trained: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tunesmith", "predict", str(trained)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"}, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write("where is my card?\n")
    process.stdin.flush()
    assert process.stdout.readline()  # answered before the end of the input
    process.stdout.close()
    process.stdin.write("another\n" * 5)
    process.stdin.close()
    said = process.stderr.read()
    process.wait(60)
    process.stderr.close()
    assert said == ""


def test_texts_of_a_shell_whose_locale_knows_no_letters(run: Run, trained: Path) -> None:
    assert run("predict", trained, "h\udcc3\udca9llo").stdout == run("predict", trained, "h\u00e9llo").stdout
    said = run("predict", trained, "fine", "h\udcffllo")
    assert said.code == 2
    assert "row 2: the text holds half a character" in said.stderr
