"""`tunesmith predict`: texts of the command line, of a file, or from a pipe."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunesmith.cli import process
from tunesmith.cli.arguments import (
    READING,
    Json,
    MaxNewTokens,
    RunPath,
    Verify,
    print_found,
    reads_files,
    renamed,
    verify_model,
    words_of,
)
from tunesmith.cli.help import USE, Commands
from tunesmith.core.errors import OptionError
from tunesmith.core.text import quoted_formula, visible

if TYPE_CHECKING:
    from tunesmith.workflows.predict_lines import Answered

commands = Commands()

_EXAMPLE = 'Example: tunesmith predict runs/bank "where is my card?"'


@commands.command(section=USE)
@reads_files
def predict(
    run: RunPath,
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help="Texts; for pairs, two for each. - reads standard input, one a line."),
    ] = None,
    data: Annotated[str | None, typer.Option("--data", metavar="FILE", help="Answer every row of this file.")] = None,
    file: Annotated[str | None, typer.Option("--file", hidden=True)] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to write the answers: .csv, .tsv, .xlsx, .jsonl or .parquet."),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What standard input holds: text (one a line), jsonl or csv; "
                     "answers come in the same."),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(metavar="SHARE", help="No answer below this probability, such as 0.8.")
    ] = None,
    probabilities: Annotated[
        bool, typer.Option(help="Also the probability of every label.", show_default=False)
    ] = False,
    precision: Annotated[
        str, typer.Option(metavar="NAME", help="auto (fast, the same labels) or fp32 (every digit).")
    ] = "auto",
    max_new_tokens: MaxNewTokens = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="How answers are written: temperature, top_p, seed, ..."),
    ] = None,
    verify: Verify = False,
    as_json: Json = False,
    reading: Any = None,
) -> None:  # fmt: skip
    """Answer texts, every row of a file, or what comes through a pipe."""
    if file is not None:
        if data not in (None, file):
            raise OptionError(f"--file {file} and --data {data} contradict each other.", "Give one of them.")
        renamed("--file", "--data")
    data = file or data
    piped = _piped(texts, data)
    if bool(texts) + bool(data) > 1 or not (texts or data or piped):
        raise OptionError("Give texts, or --data with --out, or texts through a pipe.", _EXAMPLE)
    if data and data != "-" and out is None:
        raise OptionError("--data needs --out, the file to write.", "Example: --out predictions.csv")
    if format is not None and not piped:
        raise OptionError("--format says what standard input holds, and nothing is read from there.", "Leave it out.")
    if piped and out is not None:
        raise OptionError("--out is for --data FILE; of standard input the answers go to standard output.",
                          "Write them with: > FILE")  # fmt: skip
    if texts and out is not None:
        raise OptionError(
            "--out is for --data FILE; of texts among the arguments the answers go to the screen.",
            "Leave it out, or write the texts to a file, one a line behind a first line that says: text",
        )
    if reading and not (data and out):
        raise OptionError(
            f"--{next(iter(reading)).replace('_', '-')} says how a file is read.", "Give one with --data."
        )
    verify_model(run, verify)
    words = words_of(settings, max_new_tokens=max_new_tokens)
    options = {"threshold": threshold, "precision": precision}
    if piped:
        _answer_pipe(run, format or "text", words, options, probabilities, as_json, asked=bool(texts or data))
    elif data and out:
        _answer_file(run, data, out, words, options | reading, probabilities, as_json)
    else:
        _answer_texts(run, [process.as_utf8(text) for text in texts or []], words, options, probabilities, as_json)


def _piped(texts: list[str] | None, data: str | None) -> bool:
    """Whether standard input is to be read: asked for by -, or the only thing that there is."""
    return (
        texts == ["-"] or data == "-" or (not texts and not data and sys.stdin is not None and not sys.stdin.isatty())
    )


def _writes(run: Path, words: dict[str, Any]) -> Path | None:
    """The model folder of a run that writes text. Raises OptionError for words about writing to another."""
    from tunesmith.families.load import language_folder

    folder = language_folder(run, wanted=False)
    if words and folder is None:
        name = next(iter(words)).replace("_", "-")
        raise OptionError(f"--{name} or --set says how answers are written, and this model writes none.")
    return folder


def _answer_texts(
    run: Path, texts: list[str], words: dict[str, Any], options: dict[str, Any], probabilities: bool, as_json: bool
) -> None:
    from tunesmith.cli import show
    from tunesmith.families.generative.predictor import TextGenerator
    from tunesmith.families.predictive import predictor as models

    if writes := _writes(run, words):
        found = TextGenerator.load(writes).predict(texts, emit=show.warned, **words)
        print_found({"predictions": found}, as_json, lambda f: "\n".join(one["text"] for one in f["predictions"]))
        return
    model = models.Model.load(run)
    given: list[Any] = texts
    if model.columns.text_pair:
        if len(given) % 2:
            raise OptionError(f"The model reads pairs of texts; got {len(given)} texts.", "Give two for each pair.")
        given = list(zip(given[::2], given[1::2], strict=True))
    answers = model.predict(given, emit=show.warned, **options)
    print_found({"predictions": [_brief(a, probabilities) for a in answers]}, as_json, show.predicted)


def _answer_file(
    run: Path, data: str, out: Path, words: dict[str, Any], options: dict[str, Any], probabilities: bool, as_json: bool
) -> None:
    from tunesmith.cli import show
    from tunesmith.families.generative import predict as language_predict
    from tunesmith.families.generative.predictor import sampling_of
    from tunesmith.runs.reading import read_options_for
    from tunesmith.workflows import predict as workflow

    if writes := _writes(run, words):
        asked = {name: value for name, value in options.items() if name in READING}
        reading = read_options_for(run, data, asked)
        count = language_predict.predict(
            writes, data, out, sampling_of(words), emit=show.warned, reading=reading
        )  # fmt: skip
    else:
        count = workflow.predict(run, data, out, probabilities=probabilities, emit=show.warned, **options)
    print_found(
        {"rows": count, "out": str(out)}, as_json, lambda found: f"{found['rows']} rows written to {found['out']}"
    )


def _answer_pipe(
    run: Path, format: str, words: dict[str, Any], options: dict[str, Any], probabilities: bool, as_json: bool, *,
    asked: bool,
) -> None:  # fmt: skip
    """Answers to what comes through standard input, each as soon as it is there."""
    from tunesmith.cli import show
    from tunesmith.data import predict_inputs
    from tunesmith.families.generative.predictor import sampling_of
    from tunesmith.workflows.predict_lines import answered

    lines = iter(sys.stdin.buffer)
    first = next(lines, None)
    if first is None and not asked:
        raise OptionError("Give texts, or --data with --out; nothing came through standard input.", _EXAMPLE)
    sampling = sampling_of(words) if _writes(run, words) else None
    found = answered(run, _again(first, lines), format, sampling=sampling, **options)
    if as_json and format == "text":
        answers = [_brief(one.answer, probabilities) for one in found]
        print(process.as_json({"predictions": answers}))
        return
    blank: list[int] = []
    for line in _written(_noting(found, blank), format, probabilities):
        print(visible(line) if format == "text" or sys.stdout.isatty() else line, flush=True)
    predict_inputs.warn_of_blanks(blank, show.warned)


def _again(first: bytes | None, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first is not None:
        yield first
        yield from rest


def _noting(found: Iterable[Answered], blank: list[int]) -> Iterator[Answered]:
    """The same, noting the positions of rows in which there is nothing to read."""
    for at, one in enumerate(found):
        parts = (one.row.asked,) if isinstance(one.row.asked, str) else one.row.asked
        if isinstance(parts, tuple) and not all(part.strip() for part in parts):
            blank.append(at)
        yield one


def _written(found: Iterable[Answered], format: str, probabilities: bool) -> Iterator[str]:
    """The answers as lines of standard output."""
    from tunesmith.cli import show
    from tunesmith.data.answers import as_columns, free_name

    header = False
    for one in found:
        answer = one.answer
        if format == "text":
            yield (
                answer["text"].replace("\n", "\\n")
                if "text" in answer
                else show.predicted({"predictions": [_brief(answer, probabilities)]})
            )
            continue
        new = {
            free_name(name, one.row.cells): values[0] for name, values in as_columns([answer], probabilities).items()
        }
        row = one.row.cells | new
        if format == "jsonl":
            yield json.dumps(row, ensure_ascii=False, default=str)
            continue
        if not header:
            yield _csv(row, one.row.delimiter)
            header = True
        yield _csv(row.values(), one.row.delimiter)


def _csv(cells: Iterable[Any], delimiter: str) -> str:
    line = io.StringIO()
    plain = [quoted_formula("|".join(map(str, cell)) if isinstance(cell, list) else cell) for cell in cells]
    csv.writer(line, delimiter=delimiter, lineterminator="\n").writerow(plain)
    return line.getvalue().removesuffix("\n")


def _brief(answer: dict[str, Any], probabilities: bool) -> dict[str, Any]:
    """An answer without the probability of every label, where they are not asked for."""
    if probabilities or "label" not in answer:
        return answer
    return {name: value for name, value in answer.items() if name != "probabilities"}
