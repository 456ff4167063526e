"""What the commands share: their flags, flags as words, and printing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from tunesmith.core.errors import OptionError

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
Template = Annotated[str | None, typer.Option(help="Chat template for a base without one: chatml or a .jinja file.")]
Seed = Annotated[int | None, typer.Option(help="Seed of split, row order, new weights and dropout (0).")]
Models = Annotated[
    list[str] | None, typer.Option("--models", "--model", help="Base models, with commas between them or repeated.")
]
Methods = Annotated[
    list[str] | None, typer.Option("--methods", "--method", help="Methods, with commas between them or repeated.")
]
Budget = Annotated[str, typer.Option(help="30m, 2h, '20 trials', or $5 with --price-per-hour.")]
Price = Annotated[float | None, typer.Option("--price-per-hour", help="What an hour of this machine costs.")]
Folder = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the results, runs/DATA-COMMAND when not given; the same one goes on where it stopped.",
        show_default=False,
    ),
]

_NO_SETTINGS = {
    "data": "The data is the first argument: tunesmith train DATA",
    "out": "The folder has a flag of its own: --out DIR",
    "listeners": "Listeners are given in Python only.",
}


def words_of(settings: list[str] | None, **typed: Any) -> dict[str, Any]:
    """Flags as the words of RunSpec; what was not typed is left out."""
    from tunesmith.core.options import parse_value

    words: dict[str, Any] = {}
    for setting in settings or []:
        name, equals, value = setting.partition("=")
        if not equals:
            raise OptionError(f"--set {setting}: expected NAME=VALUE.", "Example: --set epochs=5")
        word = name.strip().replace("-", "_")
        if word in _NO_SETTINGS:
            raise OptionError(f"--set {setting}: {word!r} is no option.", _NO_SETTINGS[word])
        words[word] = parse_value(value)
    return words | {name: value for name, value in typed.items() if value is not None and value != []}


def names_of(values: list[str] | None) -> list[str] | None:
    """Names given with commas, or by repeating their flag; None where there are none."""
    return [name.strip() for value in values or [] for name in value.split(",") if name.strip()] or None


def folder_of(data: str, what: str) -> Path:
    """Where the results of a command on `data` go when no folder is given."""
    return Path("runs") / f"{Path(data.rstrip('/')).name.split('.')[0]}-{what}"


def print_found(found: dict[str, Any], as_json: bool, screen: Callable[[dict[str, Any]], str]) -> None:
    if as_json:
        print(json.dumps(found, ensure_ascii=False, default=str))
    else:
        print(screen(found))
