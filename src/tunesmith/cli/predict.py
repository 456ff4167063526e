"""`tunesmith predict`: texts of the command line, of a file, or from a pipe."""

from __future__ import annotations

import csv
import io
import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunesmith.cli import process
from tunesmith.cli.arguments import (
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
    allow_urls: Annotated[
        bool, typer.Option("--allow-urls", help="Fetch pictures at http and https addresses.", show_default=False)
    ] = False,
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
    # asked for by -, or the only thing that there is
    waiting = sys.stdin is not None and not sys.stdin.isatty()
    piped = texts == ["-"] or data == "-" or (not texts and not data and waiting)
    if bool(texts) + bool(data) > 1 or not (texts or data or piped):
        raise OptionError("Give texts, or --data with --out, or texts through a pipe.", _EXAMPLE)
    if data and data != "-" and out is None:
        raise OptionError("--data needs --out, the file to write.", "Example: --out predictions.csv")
    if format is not None and not piped:
        raise OptionError("--format says what standard input holds, and nothing is read from there.", "Leave it out.")
    if piped and out is not None:
        told = "--out is for --data FILE; of standard input the answers go to standard output."
        raise OptionError(told, "Write them with: > FILE")
    if texts and out is not None:
        told = "--out is for --data FILE; of texts among the arguments the answers go to the screen."
        fix = "Leave it out, or write the texts to a file, one a line behind a first line that says: text"
        raise OptionError(told, fix)
    if reading and not (data and out):
        flag = next(iter(reading)).replace("_", "-")
        raise OptionError(f"--{flag} says how a file is read.", "Give one with --data.")
    verify_model(run, verify)
    options = words_of(
        settings, max_new_tokens=max_new_tokens, threshold=threshold, probabilities=probabilities or None,
        precision=None if precision == "auto" else precision, allow_urls=allow_urls or None,
    )  # fmt: skip
    if piped:
        _answer_pipe(run, format or "text", options, as_json, asked=bool(texts or data))
    elif data and out:
        from tunesmith.cli import show
        from tunesmith.workflows import predict as workflow

        count = workflow.predict_file(run, data, out, emit=show.warned, **(options | reading))
        found = {"rows": count, "out": str(out)}
        print_found(found, as_json, lambda found: f"{found['rows']} rows written to {found['out']}")
    else:
        _answer_texts(run, [process.as_utf8(text) for text in texts or []], options, as_json)


def _answer_texts(run: Path, texts: list[str], options: dict[str, object], as_json: bool) -> None:
    from tunesmith.cli import show
    from tunesmith.runs.load import load, options_of, predictor_of

    options_of(predictor_of(run)[0], options)
    model = load(run)
    asked: list[Any] = texts
    alone = getattr(model, "texts_alone", False)
    if model.columns is not None and len(model.columns.inputs) >= 2 and not alone:
        if len(asked) % 2:
            raise OptionError(f"The model reads pairs of texts; got {len(asked)} texts.", "Give two for each pair.")
        asked = list(zip(asked[::2], asked[1::2], strict=True))
    if alone:  # rows of numbers in Python, and answers here
        answers = model.answer_rows(asked, options_of(type(model), options), show.warned)
    else:
        answers = model.predict(asked, emit=show.warned, **options)
    shown = [_brief(answer, "probabilities" in options) for answer in answers]
    print_found({"predictions": shown}, as_json, show.predicted)


def _answer_pipe(run: Path, format: str, options: dict[str, object], as_json: bool, *, asked: bool) -> None:
    """Answers to what comes through standard input, each as soon as it is there."""
    from tunesmith.cli import show
    from tunesmith.data import predict_inputs
    from tunesmith.workflows.predict_lines import answered

    lines = iter(sys.stdin.buffer)
    first = next(lines, None)
    if first is None and not asked:
        raise OptionError("Give texts, or --data with --out; nothing came through standard input.", _EXAMPLE)
    probabilities = "probabilities" in options
    found = answered(run, itertools.chain([] if first is None else [first], lines), format, **options)
    if as_json and format == "text":
        answers = [_brief(one.answer, probabilities) for one in found]
        print(process.as_json({"predictions": answers}))
        return
    blank: list[int] = []
    for line in _written(_noting(found, blank), format, probabilities):
        print(visible(line) if format == "text" or sys.stdout.isatty() else line, flush=True)
    predict_inputs.warn_of_blanks(blank, show.warned)


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
    from tunesmith.data.answers import as_columns, free_name, without_pictures

    header = False
    for one in found:
        answer = without_pictures(one.answer)
        if format == "text":
            written = answer["text"].replace("\n", "\\n") if "text" in answer else None
            yield written if written is not None else show.predicted({"predictions": [_brief(answer, probabilities)]})
            continue
        columns = as_columns([answer], probabilities)
        row = one.row.cells | {free_name(name, one.row.cells): values[0] for name, values in columns.items()}
        if format == "jsonl":
            yield json.dumps(row, ensure_ascii=False, default=str)
            continue
        if not header:
            yield _csv(row, one.row.delimiter)
            header = True
        yield _csv(row.values(), one.row.delimiter)


def _csv(cells: Iterable[object], delimiter: str) -> str:
    line = io.StringIO()
    plain = [quoted_formula("|".join(map(str, cell)) if isinstance(cell, list) else cell) for cell in cells]
    csv.writer(line, delimiter=delimiter, lineterminator="\n").writerow(plain)
    return line.getvalue().removesuffix("\n")


def _brief(answer: dict[str, object], probabilities: bool) -> dict[str, object]:
    """An answer without pictures, and without the probability of every label where they are not asked for."""
    from tunesmith.data.answers import without_pictures

    answer = without_pictures(answer)
    if probabilities or "label" not in answer:
        return answer
    return {name: value for name, value in answer.items() if name != "probabilities"}
