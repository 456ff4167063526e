"""`tunesmith`: one command a verb. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import atexit
import json
import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from tunesmith.cli import language, refine
from tunesmith.cli.arguments import (
    Data,
    Json,
    MethodName,
    ModelName,
    Price,
    RunPath,
    Seed,
    Settings,
    Target,
    TaskName,
    Template,
    Test,
    Text,
    Validation,
    print_found,
    words_of,
)
from tunesmith.core.errors import DataError, OptionError, Stopped, TunesmithError

app = typer.Typer(
    name="tunesmith",
    help="Fine-tune pre-trained models on your own examples, and know whether it helped.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def train(
    data: Data,
    test: Test = None,
    validation: Validation = None,
    text: Text = None,
    target: Target = None,
    task: TaskName = None,
    model: ModelName = None,
    method: MethodName = None,
    callback: Annotated[list[str] | None, typer.Option(help="Add a callback; repeatable.")] = None,
    template: Template = None,
    overflow: Annotated[str | None, typer.Option(help="Over-long conversations: truncate, drop or error.")] = None,
    freeze: Annotated[str | None, typer.Option(help="Blocks that stay as they are: embeddings,layers.0-3")] = None,
    retain: Annotated[
        list[str] | None, typer.Option(help="Data or run that must not be forgotten; repeatable.")
    ] = None,
    continue_from: Annotated[str | None, typer.Option(help="An earlier run, to learn one more task.")] = None,
    forget_at_most: Annotated[float | None, typer.Option(help="Most that may be lost of what is retained.")] = None,
    goal: Annotated[str | None, typer.Option(help="What is good enough, such as accuracy>=0.95.")] = None,
    cv: Annotated[int | None, typer.Option(help="Cross-validate with this many folds.")] = None,
    seeds: Annotated[int | None, typer.Option(help="Train with this many seeds: mean and spread.")] = None,
    soup: Annotated[bool, typer.Option(help="With --seeds: average the models where that helps.")] = False,
    until: Annotated[str | None, typer.Option(help="Train, diagnose, remedy, until f1_macro=0.92 or so.")] = None,
    budget: Annotated[str, typer.Option(help="For --until: 30m, 2h, '20 trials', or $5 with a price.")] = "30m",
    price_per_hour: Price = None,
    settings: Settings = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; runs/<name>-0001 when not given.")] = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Fine-tune a model, test it against the baselines, and write the report."""
    from tunesmith.workflows import train as workflow
    from tunesmith.workflows.progress import listener

    words = words_of(
        settings, test=test, validation=validation, text=text, target=target, task=task, model=model, method=method,
        seed=seed,
    )  # fmt: skip
    if callback:
        words["callbacks"] = _with_default_callbacks(callback)
    more = {
        "template": template, "overflow": overflow, "freeze": freeze.split(",") if freeze else None,
        "retain": retain or None, "continue_from": continue_from, "forget_at_most": forget_at_most, "goal": goal,
    }  # fmt: skip
    words |= {name: value for name, value in more.items() if value is not None}
    if soup or any(value is not None for value in (cv, seeds, until)):
        refine.many_runs(data, out, words, refine.Many(cv, seeds, soup, until, budget, price_per_hour), as_json=as_json)
        return
    run = workflow.train(data, out=out, listeners=[listener()], **words)
    _show_run(run, as_json)


@app.command()
def check(
    data: Data,
    test: Test = None,
    validation: Validation = None,
    text: Text = None,
    target: Target = None,
    task: TaskName = None,
    model: ModelName = None,
    method: MethodName = None,
    settings: Settings = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Say what a run would do and what is wrong with the data; train nothing."""
    from tunesmith.cli import show
    from tunesmith.workflows import check as workflow

    words = words_of(
        settings, test=test, validation=validation, text=text, target=target, task=task, model=model, method=method,
        seed=seed,
    )  # fmt: skip
    found = workflow.check(data, **words)
    if "form" not in found:
        print_found(found, as_json, show.checked)
        return
    print_found(found, as_json, show.checked_language)
    if found["problems"]:
        sys.exit(DataError.exit_code)


@app.command()
def evaluate(
    run: RunPath,
    data: Annotated[str, typer.Option(help="Data with the columns that the run was trained on.")],
    as_json: Json = False,
) -> None:
    """Measure a finished run on other data."""
    from tunesmith.cli import show
    from tunesmith.workflows import evaluate as workflow

    print_found(workflow.evaluate(run, data), as_json, show.evaluated)


@app.command()
def predict(
    run: RunPath,
    texts: Annotated[list[str] | None, typer.Argument(help="Texts; for pairs, two for each.")] = None,
    file: Annotated[str | None, typer.Option(help="Predict every row of this file.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write them: .csv, .tsv, .jsonl or .parquet.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Abstain below this probability.")] = None,
    probabilities: Annotated[bool, typer.Option(help="Also the probability of every label.")] = False,
    precision: Annotated[str, typer.Option(help="auto (fast, the same labels) or fp32 (every digit).")] = "auto",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="How answers are written: max_new_tokens, temperature, ..."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Label and probability for texts, or for every row of a file; of a model that writes, its answers."""
    from tunesmith.cli import show
    from tunesmith.workflows import language_predict
    from tunesmith.workflows import model as models
    from tunesmith.workflows import predict as workflow
    from tunesmith.workflows.language_model import TextGenerator, sampling_of
    from tunesmith.workflows.load import language_folder

    if bool(texts) == bool(file):
        raise OptionError(
            "Give texts, or --file with --out.", 'Example: tunesmith predict runs/bank "where is my card?"'
        )
    if file and out is None:
        raise OptionError("--file needs --out, the file to write.", "Example: --out predictions.csv")
    words, writes = words_of(settings), language_folder(run, wanted=False)
    if words and not writes:
        raise OptionError("--set says how answers are written, and this model writes none.")
    if file and out:
        if writes:
            count = language_predict.predict(writes, file, out, sampling_of(words), emit=show.warned)
        else:
            count = workflow.predict(
                run, file, out, threshold=threshold, probabilities=probabilities, precision=precision, emit=show.warned
            )
        print_found(
            {"rows": count, "out": str(out)},
            as_json,
            lambda found: f"{found['rows']} rows written to {found['out']}",
        )
        return
    given: list[Any] = list(texts or [])
    if writes:
        found = TextGenerator.load(writes).predict(given, emit=show.warned, **words)
        print_found({"predictions": found}, as_json, lambda f: "\n".join(one["text"] for one in f["predictions"]))
        return
    model = models.Model.load(run)
    if model.columns.text_pair:
        if len(given) % 2:
            raise OptionError(f"The model reads pairs of texts; got {len(given)} texts.", "Give two for each pair.")
        given = list(zip(given[::2], given[1::2], strict=True))
    answers = model.predict(given, threshold=threshold, precision=precision, emit=show.warned)
    if not probabilities:
        answers = [{k: v for k, v in a.items() if k != "probabilities" or "label" not in a} for a in answers]
    print_found({"predictions": answers}, as_json, show.predicted)


@app.command()
def resume(run: RunPath, as_json: Json = False) -> None:
    """Continue a run that was killed, stopped or paused."""
    from tunesmith.workflows import train as workflow
    from tunesmith.workflows.progress import listener

    _show_run(workflow.resume(run, listeners=[listener()]), as_json)


@app.command()
def runs(
    root: Annotated[Path, typer.Argument(help="Folder of run folders.")] = Path("runs"), as_json: Json = False
) -> None:
    """List the runs, with their state and first metric."""
    from tunesmith.cli import show
    from tunesmith.workflows import catalogues

    print_found({"runs": catalogues.runs(root)}, as_json, show.runs)


@app.command()
def show(run: RunPath, as_json: Json = False) -> None:
    """What a run, or a folder of several, did and found."""
    from tunesmith.cli import show as screens
    from tunesmith.cli import show_refine
    from tunesmith.workflows import catalogues

    several = catalogues.series(run)
    if several is not None:
        name, document = several
        print_found(document, as_json, getattr(show_refine, f"show_{name}"))
        return
    print_found(catalogues.run(run), as_json, screens.run)


@app.command()
def models(
    name: Annotated[str | None, typer.Argument(help="A model, with --blocks.")] = None,
    blocks: Annotated[bool, typer.Option("--blocks", help="The parts of a model that --freeze can name.")] = False,
    as_json: Json = False,
) -> None:
    """Base models: size, licence, tasks, whether here, memory and time on this machine."""
    from tunesmith.cli import show
    from tunesmith.workflows import catalogues

    if bool(name) != blocks:
        raise OptionError("models: give a name and --blocks, or neither.", "Example: tunesmith models minilm --blocks")
    if name:
        print_found({"model": name, "blocks": catalogues.blocks(name)}, as_json, show.blocks)
        return
    print_found({"models": catalogues.models()}, as_json, show.models)


@app.command()
def methods(as_json: Json = False) -> None:
    """Methods: which weights move, and their options."""
    _list_seam("methods", as_json)


@app.command()
def tasks(as_json: Json = False) -> None:
    """Tasks: what can be learned, and their options."""
    _list_seam("tasks", as_json)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check this installation and this machine."""
    from tunesmith.cli import show
    from tunesmith.workflows import doctor as workflow

    found = workflow.doctor()
    print_found(found, as_json, show.doctor)
    if not found["ok"]:
        raise typer.Exit(2)


def _show_version(asked: bool) -> None:
    if asked:
        from tunesmith import __version__

        print(f"tunesmith {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Fine-tune pre-trained models on your own examples, and know whether it helped."""


app.add_typer(language.commands)  # without a name: its commands stand beside the others
app.add_typer(refine.commands)


def main() -> None:
    """Run the command line; every known error becomes a message and its exit code."""
    try:
        code = app(standalone_mode=False)
    except TunesmithError as error:
        _complain(error)
        sys.exit(error.exit_code)
    except Exception as error:
        if hasattr(error, "format_message"):  # one of the parser's own usage errors
            error.show()  # type: ignore[attr-defined]
            _answer({"kind": "UsageError", "message": error.format_message(), "fix": None})
            sys.exit(2)
        traceback.print_exc()
        print("Error: this is a fault of Tunesmith, not of your input. Please report the lines above.", file=sys.stderr)
        _answer({"kind": type(error).__name__, "message": str(error), "fix": None})
        sys.exit(3)
    if code == Stopped.exit_code:  # how typer tells of Ctrl-C
        _complain(Stopped("Stopped.", reason="signal"))
    sys.exit(code if isinstance(code, int) else 0)


def program() -> None:
    """`main` as the installed command: out at once after it, as Python takes over a second to take torch and
    transformers apart, piece by piece, before it gives their memory back all the same."""
    try:
        main()
    except SystemExit as end:
        atexit._run_exitfuncs()
        with suppress(BrokenPipeError):  # `tunesmith runs | head`
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)


def _complain(error: TunesmithError) -> None:
    print(f"Error: {error}", file=sys.stderr)
    found: dict[str, Any] = {"kind": type(error).__name__, "message": error.message, "fix": error.fix}
    if isinstance(error, DataError):
        found["problems"] = [vars(problem) for problem in error.problems]
    _answer(found)


def _answer(found: dict[str, Any]) -> None:
    """With --json an error is one JSON object on standard output too."""
    if "--json" in sys.argv:
        with suppress(OSError):  # nobody reads it, or the disk that it goes to is full
            print(json.dumps({"error": found}, ensure_ascii=False), flush=True)


def _with_default_callbacks(added: list[str]) -> list[str]:
    from tunesmith.core.spec import RunSpec

    default = list(RunSpec.model_fields["callbacks"].default)
    return default + [name for name in added if name not in default]


def _show_run(run: Any, as_json: bool) -> None:
    from tunesmith.cli import show
    from tunesmith.workflows import catalogues

    print_found(catalogues.run(run.path), as_json, show.run)


def _list_seam(seam: str, as_json: bool) -> None:
    from tunesmith.cli import show
    from tunesmith.workflows import catalogues

    print_found({seam: catalogues.plugins(seam)}, as_json, show.plugins)


if __name__ == "__main__":
    program()
