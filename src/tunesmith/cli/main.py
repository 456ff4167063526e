"""`tunesmith`: one command a verb. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tunesmith.cli import completion, language, predict, process, refine
from tunesmith.cli.arguments import (
    SEVERAL,
    DataFlag,
    Json,
    Launcher,
    Out,
    Price,
    RunPath,
    Verbose,
    Verify,
    data_of,
    print_document,
    print_found,
    reads_files,
    run_words,
    verify_model,
)
from tunesmith.cli.help import START, UNDERSTAND, Commands
from tunesmith.core.errors import DataError, OptionError

app = Commands(name="tunesmith", no_args_is_help=True)
_ONE = "One, with its options."
Method = Annotated[str | None, typer.Argument(metavar="METHOD", help=_ONE, autocompletion=completion.methods)]
Task = Annotated[str | None, typer.Argument(metavar="TASK", help=_ONE, autocompletion=completion.tasks)]


@app.command(section=START)
@run_words()
def check(data: str, words: dict[str, Any], out: Out = None, verbose: Verbose = False, as_json: Json = False) -> None:
    """Show how your data is read, what would be trained on it, and what is wrong with it. Trains nothing."""
    from tunesmith.cli import show_check
    from tunesmith.workflows.check import check as checked

    if out is not None:
        from tunesmith.core.run import refuse_used

        refuse_used(out)
    found = checked(data, **words)
    screen = show_check.checked if "form" not in found else show_check.checked_language
    print_found(found, as_json, lambda f: screen(f, verbose))
    if "form" not in found:
        return
    if found["problems"]:
        sys.exit(DataError.exit_code)


@app.command(section=START)
@run_words()
def train(
    data: str,
    words: dict[str, object],
    cv: Annotated[
        int | None, typer.Option(metavar="N", help="Cross-validate with this many folds.", rich_help_panel=SEVERAL)
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(metavar="N", help="Train with this many seeds: mean and spread.", rich_help_panel=SEVERAL),
    ] = None,
    soup: Annotated[
        bool,
        typer.Option(help="With --seeds: average the models where that helps.", rich_help_panel=SEVERAL,
                           show_default=False),
    ] = False,
    until: Annotated[
        str | None,
        typer.Option(metavar="GOAL", help="Train, diagnose, remedy, until f1_macro=0.92 or so.",
                     rich_help_panel=SEVERAL),
    ] = None,
    budget: Annotated[
        str,
        typer.Option(metavar="BUDGET", help="For --until: 30m, 2h, '20 trials', or $5 with a price.",
                     rich_help_panel=SEVERAL),
    ] = "30m",
    price_per_hour: Price = None,
    launcher: Launcher = None,
    out: Out = None,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Train a model on your examples, test it beside simpler ones, and write the report."""
    from tunesmith.display.progress import listener
    from tunesmith.runs import train as workflow

    if soup or any(value is not None for value in (cv, seeds, until, launcher)):
        many = refine.Many(cv, seeds, soup, until, budget, price_per_hour, launcher)
        refine.many_runs(data, out, words, many, as_json=as_json)
        return
    run = workflow.train(data, out=out, listeners=[listener(verbose=verbose)], **words)
    _show_run(run, as_json, verbose)


@app.command(section=START)
def resume(run: RunPath, verbose: Verbose = False, as_json: Json = False) -> None:
    """Continue a run that was killed, stopped or paused."""
    from tunesmith.display.progress import listener
    from tunesmith.runs import train as workflow

    _show_run(workflow.resume(run, listeners=[listener(verbose=verbose)]), as_json, verbose)


@app.command(section=UNDERSTAND)
@reads_files
def evaluate(
    run: RunPath,
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="Data with the columns that the run was trained on.")
    ] = None,
    data_flag: DataFlag = None,
    verify: Verify = False,
    as_json: Json = False,
    reading: Any = None,
) -> None:
    """Measure a finished run on other data."""
    from tunesmith.cli import show
    from tunesmith.workflows import evaluate as workflow

    verify_model(run, verify)
    source = data_of(data, data_flag, example=f"evaluate {run} new.csv")
    print_found(workflow.evaluate(run, source, emit=show.warned, **reading), as_json, show.evaluated)


@app.command(section=UNDERSTAND)
def runs(
    root: Annotated[Path, typer.Argument(help="Folder of run folders.")] = Path("runs"), as_json: Json = False
) -> None:
    """List the runs, with their state and what they reached."""
    from tunesmith.cli import show
    from tunesmith.workflows import catalogues

    print_found({"runs": catalogues.runs(root)}, as_json, show.runs)


@app.command(section=UNDERSTAND)
def show(run: RunPath, verbose: Verbose = False, as_json: Json = False) -> None:
    """Say what a run, or a folder of several, did and found."""
    from tunesmith.cli import show as screens
    from tunesmith.workflows import catalogues

    several = catalogues.series(run)
    if several is not None:
        name, document = several
        print_document(document, as_json, getattr(screens, f"show_{name}"), run)
        return
    print_document(catalogues.run(run), as_json, lambda found: screens.run(found, verbose), run)


@app.command(section=UNDERSTAND)
def models(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="One model on a page; 'prepare MODEL' gets one ready, so that a run needs no network.",
            autocompletion=completion.models,
        ),
    ] = None,
    prepared: Annotated[str | None, typer.Argument(metavar="", hidden=True)] = None,
    blocks: Annotated[bool, typer.Option("--blocks", help="The parts of a model that --freeze can name.")] = False,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Measure how fast this machine is, for the column of times.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the base models: size, licence, language, memory and time on this machine."""
    from tunesmith.cli import show_models
    from tunesmith.workflows import base_models as workflow

    if blocks and not name:
        raise OptionError("--blocks needs the name of a model.", "Example: tunesmith models minilm --blocks")
    if estimate and name:
        raise OptionError("--estimate is for the whole list.", "Leave the name out: tunesmith models --estimate")
    if name == "prepare":
        if prepared is None:
            raise OptionError("models prepare needs the name of a model.", "Example: tunesmith models prepare minilm")
        print_found(workflow.prepare(prepared), as_json, show_models.prepared)
    elif prepared is not None:
        raise OptionError(f"models takes one name, and {prepared!r} is a second one.", "See tunesmith models --help.")
    elif name and blocks:
        print_found({"model": name, "blocks": workflow.blocks(name)}, as_json, show_models.blocks)
    elif name:
        print_found(workflow.model(name), as_json, show_models.page)
    else:
        print_found({"models": workflow.models(estimate=estimate)}, as_json, show_models.listed)


@app.command(section=UNDERSTAND)
def methods(name: Method = None, as_json: Json = False) -> None:
    """List the ways to train: how much of the model changes, and what that is good for."""
    _list_seam("methods", name, as_json)


@app.command(section=UNDERSTAND)
def tasks(name: Task = None, as_json: Json = False) -> None:
    """List what can be learned from examples."""
    _list_seam("tasks", name, as_json)


@app.command(section=START)
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


for _more in (refine.commands, predict.commands, language.commands):
    app.add_typer(_more)  # without a name: its commands stand beside the others


def main() -> None:
    process.run(app)


def program() -> None:
    process.end(main)


def _show_run(run: Any, as_json: bool, verbose: bool) -> None:
    from tunesmith.cli import show
    from tunesmith.workflows import catalogues

    print_found(catalogues.run(run.path), as_json, lambda found: show.run(found, verbose))


def _list_seam(seam: str, name: str | None, as_json: bool) -> None:
    from tunesmith.cli import show
    from tunesmith.core import registry
    from tunesmith.workflows import catalogues

    if name is None:
        print_found({seam: catalogues.plugins(seam)}, as_json, show.plugins)
        return
    registry.get(seam, name)
    found = next(one for one in catalogues.plugins(seam) if one["name"] == name)
    if "problem" in found:
        raise OptionError(found["problem"])
    print_found(found, as_json, show.plugin)


if __name__ == "__main__":
    program()
