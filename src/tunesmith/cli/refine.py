"""Many runs: search, compare, and training with folds, seeds or a goal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from tunesmith.cli import completion
from tunesmith.cli.arguments import (
    COMPARED,
    SEVERAL,
    Budget,
    Folder,
    Json,
    Launcher,
    Methods,
    Models,
    Price,
    names_of,
    print_found,
    run_words,
)
from tunesmith.cli.help import IMPROVE, Commands
from tunesmith.core.errors import OptionError

commands = Commands()


@commands.command(section=IMPROVE)
@run_words(COMPARED)
def compare(
    data: str, words: dict[str, object], models: Models = None, methods: Methods = None, launcher: Launcher = None,
    out: Folder = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Is fine-tuning worth it here? From the simplest way to the costliest, all on the same test rows."""
    from tunesmith.cli import show
    from tunesmith.core.run import results_folder
    from tunesmith.display.progress import listener
    from tunesmith.studies import comparison as workflow

    folder = results_folder(out, data, "compare")
    found = workflow.compare(
        data, out=folder, models=names_of(models), methods=names_of(methods),
        launcher=launcher or "process", emit=listener(), **words,
    )  # fmt: skip
    print_found(found, as_json, lambda found: _with_report(show.show_comparison(found), folder))


@commands.command(section=IMPROVE)
@run_words(COMPARED)
def search(
    data: str, words: dict[str, object], models: Models = None, methods: Methods = None, budget: Budget = "20 trials",
    space: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUES", help="What to try: NAME=LOW..HIGH or NAME=A,B; repeatable.",
                     rich_help_panel=SEVERAL, autocompletion=completion.settings),
    ] = None,
    pruning: Annotated[
        bool, typer.Option(help="End trials that fall behind.", rich_help_panel=SEVERAL)
    ] = True,
    price_per_hour: Price = None, launcher: Launcher = None, out: Folder = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Find the best settings within a budget; the test rows are read once, at the end."""
    from tunesmith.cli import show
    from tunesmith.core.run import results_folder
    from tunesmith.display.progress import listener
    from tunesmith.studies import search as workflow
    from tunesmith.studies import series
    from tunesmith.studies.space import parse_space

    folder = results_folder(out, data, "search")
    found = workflow.search(
        data, out=folder, budget=series.parse_budget(budget, price_per_hour),
        space=parse_space(space or []), models=names_of(models), methods=names_of(methods), pruning=pruning,
        launcher=launcher or "here", emit=listener(), **words,
    )  # fmt: skip
    print_found(found.document, as_json, lambda found: _with_report(show.show_search(found), folder))


def _with_report(screen: str, folder: Path) -> str:
    return f"{screen}\nreport   {folder / 'report.html'}"


@dataclass(frozen=True)
class Many:
    """The flags of `train` that ask for more than one run."""

    cv: int | None
    seeds: int | None
    soup: bool
    until: str | None
    budget: str
    price_per_hour: float | None
    launcher: str | None


def many_runs(data: str, out: Path | None, words: dict[str, Any], many: Many, *, as_json: bool) -> None:
    """`train` with --cv, --seeds or --until: several runs and what they say together."""
    from tunesmith.cli import show
    from tunesmith.core.run import results_folder
    from tunesmith.studies import folds, series
    from tunesmith.studies import seeds as several
    from tunesmith.studies import until as goal

    asked = [flag for flag, value in (("--cv", many.cv), ("--seeds", many.seeds), ("--until", many.until))
             if value is not None]  # fmt: skip
    if many.soup and many.seeds is None:
        raise OptionError("--soup averages the models of several seeds, and none are asked for.", "Add --seeds 3.")
    if not asked:
        told = "--launcher says where several runs take place, and this is one."
        raise OptionError(told, "Add --cv, --seeds or --until, or leave it out.")
    if len(asked) > 1:
        raise OptionError(f"{' and '.join(asked)} do not go together.", "Use one of them.")
    folder = results_folder(out, data, asked[0].removeprefix("--"))
    words["launcher"] = many.launcher or "here"
    if many.cv is not None:
        group = words.pop("group", None)
        crossed = folds.cross_validate(data, out=folder, cv=many.cv, group=group, **words)
        print_found(crossed.document, as_json, show.show_folds)
    elif many.seeds is not None:
        spread = several.several_seeds(data, out=folder, seeds=many.seeds, soup=many.soup, **words)
        print_found(spread.document, as_json, show.show_seeds)
    elif many.until is not None:
        budget = series.parse_budget(many.budget, many.price_per_hour)
        reached = goal.until(data, metric=many.until, out=folder, budget=budget, **words)
        print_found(reached.document, as_json, show.show_until)
