"""`tunesmith`: one command a verb. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from tunesmith.core.errors import DataError, OptionError, TunesmithError

app = typer.Typer(
    name="tunesmith",
    help="Fine-tune pre-trained models on your own examples, and know whether it helped.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Data = Annotated[
    str, typer.Argument(metavar="DATA", help="File, folder, hub id, or the spec.yaml of a run.", show_default=False)
]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Text = Annotated[list[str] | None, typer.Option(help="Text column; give it twice for pairs of texts.")]
Target = Annotated[list[str] | None, typer.Option(help="Column to learn; several for one 0/1 column per label.")]
TaskName = Annotated[str | None, typer.Option(help="A name from `tunesmith tasks`; guessed when not given.")]
ModelName = Annotated[str | None, typer.Option(help="A name from `tunesmith models`, a hub id, or a folder.")]
MethodName = Annotated[str | None, typer.Option(help="A name from `tunesmith methods`; chosen when not given.")]
Validation = Annotated[str | None, typer.Option(help="Validation data of your own.")]
Test = Annotated[str | None, typer.Option(help="Test data of your own.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any option of task, method, engine or split; repeatable."),
]
Seed = Annotated[int | None, typer.Option(help="Seed of split, row order, new weights and dropout (0).")]


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
    settings: Settings = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; runs/<name>-0001 when not given.")] = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Fine-tune a model, test it against the baselines, and write the report."""
    from tunesmith.workflows import train as workflow
    from tunesmith.workflows.progress import listener

    words = _words(test, validation, text, target, task, model, method, settings, seed)
    if callback:
        words["callbacks"] = _with_default_callbacks(callback)
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

    words = _words(test, validation, text, target, task, model, method, settings, seed)
    found = workflow.check(data, **words)
    _print(found, as_json, show.checked)


@app.command()
def evaluate(
    run: RunPath,
    data: Annotated[str, typer.Option(help="Data with the columns that the run was trained on.")],
    as_json: Json = False,
) -> None:
    """Measure a finished run on other data."""
    from tunesmith.cli import show
    from tunesmith.workflows import evaluate as workflow

    _print(workflow.evaluate(run, data), as_json, show.evaluated)


@app.command()
def predict(
    run: RunPath,
    texts: Annotated[list[str] | None, typer.Argument(help="Texts; for pairs, two for each.")] = None,
    file: Annotated[str | None, typer.Option(help="Predict every row of this file.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write them: .csv, .tsv, .jsonl or .parquet.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Abstain below this probability.")] = None,
    probabilities: Annotated[bool, typer.Option(help="Also the probability of every label.")] = False,
    precision: Annotated[str, typer.Option(help="auto (fast, the same labels) or fp32 (every digit).")] = "auto",
    as_json: Json = False,
) -> None:
    """Label and probability for texts, or for every row of a file."""
    from tunesmith.cli import show
    from tunesmith.workflows import model as models
    from tunesmith.workflows import predict as workflow

    if bool(texts) == bool(file):
        raise OptionError(
            "Give texts, or --file with --out.", 'Example: tunesmith predict runs/bank "where is my card?"'
        )
    if file:
        if out is None:
            raise OptionError("--file needs --out, the file to write.", "Example: --out predictions.csv")
        count = workflow.predict(run, file, out, threshold=threshold, probabilities=probabilities, precision=precision)
        _print(
            {"rows": count, "out": str(out)},
            as_json,
            lambda found: f"{found['rows']} rows written to {found['out']}",
        )
        return
    given: list[Any] = list(texts or [])
    model = models.Model.load(run)
    if model.columns.text_pair:
        if len(given) % 2:
            raise OptionError(f"The model reads pairs of texts; got {len(given)} texts.", "Give two for each pair.")
        given = list(zip(given[::2], given[1::2], strict=True))
    answers = model.predict(given, threshold=threshold, precision=precision)
    if not probabilities:
        answers = [{k: v for k, v in a.items() if k != "probabilities" or "label" not in a} for a in answers]
    _print({"predictions": answers}, as_json, show.predicted)


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

    _print({"runs": catalogues.runs(root)}, as_json, show.runs)


@app.command()
def show(run: RunPath, as_json: Json = False) -> None:
    """What a run did and found."""
    from tunesmith.cli import show as screens
    from tunesmith.workflows import catalogues

    _print(catalogues.run(run), as_json, screens.run)


@app.command()
def models(as_json: Json = False) -> None:
    """Base models: size, licence, tasks, whether here, memory and time on this machine."""
    from tunesmith.cli import show
    from tunesmith.workflows import catalogues

    _print({"models": catalogues.models()}, as_json, show.models)


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
    _print(found, as_json, show.doctor)
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


def main() -> None:
    """Run the command line; every known error becomes a message and its exit code."""
    try:
        code = app(standalone_mode=False)
    except TunesmithError as error:
        _complain(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if not hasattr(error, "format_message"):  # not one of the parser's own usage errors
            raise
        if "--json" in sys.argv:
            print(json.dumps({"error": {"kind": "UsageError", "message": error.format_message()}}))
        error.show()  # type: ignore[attr-defined]
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)


def _complain(error: TunesmithError) -> None:
    print(f"Error: {error}", file=sys.stderr)
    if "--json" not in sys.argv:
        return
    found: dict[str, Any] = {"kind": type(error).__name__, "message": error.message, "fix": error.fix}
    if isinstance(error, DataError):
        found["problems"] = [vars(problem) for problem in error.problems]
    print(json.dumps({"error": found}, ensure_ascii=False))


def _words(
    test: str | None, validation: str | None, text: list[str] | None, target: list[str] | None,
    task: str | None, model: str | None, method: str | None, settings: list[str] | None, seed: int | None,
) -> dict[str, Any]:  # fmt: skip
    """Flags as the words of RunSpec; what was not typed is left out."""
    from tunesmith.core.options import parse_value

    words: dict[str, Any] = {}
    for setting in settings or []:
        name, equals, value = setting.partition("=")
        if not equals:
            raise OptionError(f"--set {setting}: expected NAME=VALUE.", "Example: --set epochs=5")
        words[name.strip().replace("-", "_")] = parse_value(value)
    typed = {
        "test": test, "validation": validation, "text": text, "target": target,
        "task": task, "model": model, "method": method, "seed": seed,
    }  # fmt: skip
    return words | {name: value for name, value in typed.items() if value is not None and value != []}


def _with_default_callbacks(added: list[str]) -> list[str]:
    from tunesmith.core.spec import RunSpec

    default = list(RunSpec.model_fields["callbacks"].default)
    return default + [name for name in added if name not in default]


def _show_run(run: Any, as_json: bool) -> None:
    from tunesmith.cli import show
    from tunesmith.workflows import catalogues

    _print(catalogues.run(run.path), as_json, show.run)


def _list_seam(seam: str, as_json: bool) -> None:
    from tunesmith.cli import show
    from tunesmith.workflows import catalogues

    _print({seam: catalogues.plugins(seam)}, as_json, show.plugins)


def _print(found: dict[str, Any], as_json: bool, screen: Callable[[dict[str, Any]], str]) -> None:
    if as_json:
        print(json.dumps(found, ensure_ascii=False, default=str))
    else:
        print(screen(found))


if __name__ == "__main__":
    main()
