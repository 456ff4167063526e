"""What the commands share: the flags that say what a run is, flags as words, and printing."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tunesmith.cli import completion, process
from tunesmith.core.errors import FolderError, OptionError
from tunesmith.core.text import visible_within

Found = dict[str, Any]

# How the flags of a command are grouped in its help.
DATA, FILES, MODEL, TRAINING, KEPT, SEVERAL, OUTPUT = (
    "Data", "How files are read", "Model and method", "Training", "What must be kept", "Several runs", "Output",
)  # fmt: skip


def _located(path: Path | None) -> Path | None:
    from tunesmith.core.run import locate  # brings pydantic and YAML: not for --help

    return locate(path) if path else path


RunPath = Annotated[
    Path,
    typer.Argument(metavar="RUN", help="A run folder, or the name of one below runs/.", show_default=False,
                   callback=_located, autocompletion=completion.runs),
]  # fmt: skip
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.", rich_help_panel=OUTPUT)]
Verify = Annotated[
    bool, typer.Option("--verify", help="Compare every byte of the model with what the run saved, however large.",
                       show_default=False)
]  # fmt: skip
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Every choice with its reason, and the numbers behind them.",
                       rich_help_panel=OUTPUT)
]  # fmt: skip
Out = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Run folder; runs/<name>-0001 when not given.", rich_help_panel=OUTPUT),
]
DataFlag = Annotated[
    str | None, typer.Option("--data", help="The same as the argument DATA.", rich_help_panel=DATA, metavar="DATA")
]
Models = Annotated[
    list[str] | None,
    typer.Option("--models", "--model", metavar="NAMES", help="Base models, with commas between them or repeated.",
                 autocompletion=completion.models, rich_help_panel=MODEL),
]  # fmt: skip
Methods = Annotated[
    list[str] | None,
    typer.Option("--methods", "--method", metavar="NAMES", help="Methods, with commas between them or repeated.",
                 autocompletion=completion.methods, rich_help_panel=MODEL),
]  # fmt: skip
Budget = Annotated[
    str,
    typer.Option(metavar="BUDGET", help="30m, 2h, '20 trials', or $5 with --price-per-hour.", rich_help_panel=SEVERAL),
]
Price = Annotated[
    float | None,
    typer.Option(
        "--price-per-hour", metavar="PRICE", help="What an hour of this machine costs.", rich_help_panel=SEVERAL
    ),
]
Launcher = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Where the runs take place: here, in this process, or each in a process of its "
                 "own, with its own memory (process).", show_default=False, rich_help_panel=SEVERAL,
                 autocompletion=completion.launchers),
]  # fmt: skip
Folder = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder of the results, runs/DATA-COMMAND when not given; the same one goes on where it stopped.",
        show_default=False, rich_help_panel=OUTPUT,
    ),
]  # fmt: skip
MaxNewTokens = Annotated[int | None, typer.Option(min=1, metavar="TOKENS", help="Most tokens of an answer.")]

Data = Annotated[
    str | None,
    typer.Argument(metavar="DATA", help="File, folder, hub id, or the spec.yaml of a run.", show_default=False),
]


def _flag(kind: Any, panel: str, text: str, *names: str, **more: Any) -> Any:
    return Annotated[kind | None, typer.Option(*names, help=text, rich_help_panel=panel, **more)]


READING: dict[str, Any] = {
    "encoding": _flag(str, FILES, "Encoding, such as cp1252; found out when not given.", metavar="NAME"),
    "encoding_errors": _flag(str, FILES, "Bytes that are not of the encoding: strict (refused, with the lines), repair "
                             "or replace.", metavar="HOW"),
    "delimiter": _flag(str, FILES, "Sign between the cells, such as ';' or tab.", metavar="SIGN"),
    "decimal": _flag(str, FILES, "Sign before the fraction of a number: '.' or ','.", metavar="SIGN"),
    "header_row": _flag(int, FILES, "Line with the names of the columns, from 1; 0 where there is none.", min=0,
                        metavar="LINE"),
    "sheet": _flag(str, FILES, "Sheet of a workbook.", metavar="NAME"),
}  # fmt: skip
"""The flags that say how files are read, by parameter."""

WORDS: dict[str, Any] = {
    "test": _flag(str, DATA, "Test data of your own.", metavar="FILE"),
    "validation": _flag(str, DATA, "Validation data of your own.", metavar="FILE"),
    "text": _flag(list[str], DATA, "Text column, or other column to read (--input); give it twice for pairs of texts.",
                  "--text", "--input", metavar="COLUMN"),
    "target": _flag(list[str], DATA, "Column to learn; several for one 0/1 column per label.", metavar="COLUMN"),
    "features": _flag(str, DATA, "Columns to read beside the text: a,b,c or auto.", metavar="COLUMNS"),
    "corpus": _flag(str, DATA, "File of more documents among which those of test queries are looked for.",
                    metavar="FILE"),
    "group": _flag(str, DATA, "Column whose equal values never stand in two splits; of pictures also a word in their "
                   "names, or folder.", metavar="COLUMN"),
    **READING,
    "task": _flag(str, MODEL, "What is learned, from `tunesmith tasks`; guessed when not given.",
                  autocompletion=completion.tasks, metavar="NAME"),
    "model": _flag(str, MODEL, "A name from `tunesmith models`, a hub id, or a folder.",
                   autocompletion=completion.models, metavar="NAME"),
    "method": _flag(str, MODEL, "How it is trained, from `tunesmith methods`; chosen when not given.",
                    autocompletion=completion.methods, metavar="NAME"),
    "effort": _flag(str, MODEL, "How far to go for quality: quick (seconds), better or best; for --method of its own "
                    "choice.", metavar="NAME"),
    "goal": _flag(str, TRAINING, "What is good enough, such as accuracy>=0.95.", metavar="METRIC>=VALUE"),
    "epochs": _flag(int, TRAINING, "How often every training row is seen.", metavar="N"),
    "batch_size": _flag(int, TRAINING, "Rows that are learned from together in one step.", metavar="N"),
    "learning_rate": _flag(float, TRAINING, "How large the steps are, such as 2e-5.", metavar="RATE"),
    "max_length": _flag(int, TRAINING, "Longest text in tokens (about 3/4 of a word each); the rest is cut.",
                        metavar="TOKENS"),
    "augment": _flag(str, TRAINING, "How far training pictures are changed at random: none, light, standard or strong.",
                     metavar="LEVEL"),
    "flip": _flag(str, TRAINING, "How pictures may be mirrored: none, horizontal, vertical or both; found out when not "
                  "given.", metavar="WAY"),
    "tta": _flag(str, TRAINING, "Mirror images that the saved model asks too: horizontal, vertical or both.",
                 metavar="WAY"),
    "overflow": _flag(str, TRAINING, "Conversations that are longer: truncate, drop or error.", metavar="HOW"),
    "template": _flag(str, TRAINING, "Chat template for a base without one: chatml or a .jinja file.", metavar="NAME"),
    "freeze": _flag(str, TRAINING, "Blocks that stay as they are: embeddings,layers.0-3", metavar="BLOCKS"),
    "callback": _flag(list[str], TRAINING, "Add a callback; repeatable.",
                      autocompletion=completion.callbacks, metavar="NAME"),
    "retain": _flag(list[str], KEPT, "Data or run that must not be forgotten; repeatable.", metavar="DATA"),
    "continue_from": _flag(str, KEPT, "An earlier run, to learn one more task.",
                           autocompletion=completion.runs, metavar="RUN"),
    "forget_at_most": _flag(float, KEPT, "Most that may be lost of what is retained.", metavar="SHARE"),
    "settings": _flag(list[str], TRAINING, "Any option of `docs/reference.md`; repeatable.", "--set",
                      metavar="NAME=VALUE", autocompletion=completion.settings),
    "seed": _flag(int, TRAINING, "Seed of split, row order, new weights and dropout (0).", metavar="N"),
}  # fmt: skip
"""The flags that say what a run is, by parameter. The same for every command that starts or forecasts one."""

_SEVERAL_OF_THEM = ("model", "method", "retain", "continue_from", "forget_at_most")
COMPARED = tuple(name for name in WORDS if name not in _SEVERAL_OF_THEM)
"""The flags of commands that try models and methods of their own."""

_NO_SETTINGS = {
    "data": "The data is the first argument: tunesmith train DATA",
    "out": "The folder has a flag of its own: --out DIR",
    "listeners": "Listeners are given in Python only.",
}
_LISTS = {"callback": "callbacks"}
"""Flags whose word is called otherwise."""


def run_words(names: Collection[str] = tuple(WORDS)) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command with DATA (also as --data) and the flags `names` of WORDS before its own.

    The function gets `data` (str) and `words`, the flags that were typed as the words of RunSpec.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(**typed: Any) -> None:
            given = {name: typed.pop(name) for name in names}
            data = data_of(typed.pop("data"), typed.pop("data_flag"))
            function(data, words_of(given.pop("settings", None), **given), **typed)

        flags = _parameters({"data": Data, "data_flag": DataFlag, **{name: WORDS[name] for name in names}})
        return _with_parameters(command, [*flags, *_own(function, "data", "words")])

    return decorate


def reads_files(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the flags of READING; it takes those that are given as `reading`, a dict."""

    @functools.wraps(command)
    def wrapped(**typed: object) -> None:
        command(reading=words_of(None, **{name: typed.pop(name) for name in READING}), **typed)

    return _with_parameters(wrapped, [*_own(command, "reading"), *_parameters(READING)])


def _parameters(flags: Mapping[str, Any]) -> list[inspect.Parameter]:
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in flags.items()
    ]


def _own(function: Callable[..., None], *left_out: str) -> list[inspect.Parameter]:
    known = inspect.signature(function, eval_str=True).parameters.values()
    return [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in known if one.name not in left_out]


def _with_parameters(command: Callable[..., None], parameters: list[inspect.Parameter]) -> Callable[..., None]:
    """The command as typer reads it."""
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


def data_of(position: str | None, flag: str | None, what: str = "DATA", example: str = "train tickets.csv") -> str:
    """The data of a command, which may be the argument or --data. Raises OptionError for none, or for two."""
    if position and flag and position != flag:
        raise OptionError(f"{what} {position} and --data {flag} contradict each other.", "Give one of them.")
    data = position or flag
    if not data:
        raise OptionError(f"{what} is missing: the file to read.", f"Example: tunesmith {example}")
    return data


def words_of(settings: list[str] | None, **typed: Any) -> dict[str, Any]:
    """Flags as the words of RunSpec; what was not typed is left out.

    Raises OptionError for a setting that is none, and for a flag and a --set, or two of them, that contradict.
    """
    from tunesmith.core.options import parse_value

    words: dict[str, Any] = {}
    for setting in settings or []:
        name, equals, value = setting.partition("=")
        if not equals:
            raise OptionError(f"--set {setting}: expected NAME=VALUE.", "Example: --set epochs=5")
        word = name.strip().replace("-", "_")
        if word in _NO_SETTINGS:
            raise OptionError(f"--set {setting}: {word!r} is no option.", _NO_SETTINGS[word])
        parsed = parse_value(value)
        if word in words and words[word] != parsed:
            raise OptionError(f"--set {word}={words[word]} and --set {setting} contradict each other.", "Give one.")
        words[word] = parsed
    for name, value in typed.items():
        if value is None or value == []:
            continue
        word, meant = _LISTS.get(name, name), _meant(name, value)
        if word in words and _listed(words[word]) != _listed(meant):
            both = f"--{name.replace('_', '-')} {_shown(value)} and --set {word}={_shown(words[word])}"
            raise OptionError(f"{both} contradict each other.", "Give one of them.")
        words[word] = meant
    return words


def _meant(name: str, value: Any) -> Any:
    """The value of a flag as RunSpec takes it."""
    if name == "freeze":
        return [block.strip() for block in value.split(",")]
    if name == "callback":
        from tunesmith.core.spec import RunSpec

        default = list(RunSpec.model_fields["callbacks"].default)
        return default + [added for added in value if added not in default]
    return value


def _listed(value: object) -> list[object]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    return list(value) if isinstance(value, list | tuple) else [value]


def _shown(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def renamed(old: str, new: str) -> None:
    """Say on standard error that a flag has another name now. The old one goes on working."""
    print(f"note: {old} is called {new} now; the old name goes on working.", file=sys.stderr)


def names_of(values: list[str] | None) -> list[str] | None:
    """Names given with commas, or by repeating their flag; None where there are none."""
    return [name.strip() for value in values or [] for name in value.split(",") if name.strip()] or None


def verify_model(run: Path, verify: bool) -> None:
    """What --verify does, before the command itself. Raises FolderError, ModelError."""
    if verify:
        from tunesmith.runs.load import verify as every_byte

        every_byte(run)


def print_found(found: Found, as_json: bool, screen: Callable[[Found], str]) -> None:
    """One JSON object, or what `screen` makes of it for people: of text that can not steer their terminal."""
    print(process.as_json(found) if as_json else screen(visible_within(found)))


def print_document(found: Found, as_json: bool, screen: Callable[[Found], str], folder: Path) -> None:
    """`print_found` of what files in `folder` hold. Raises FolderError where that is not what was written there."""
    try:
        print_found(found, as_json, screen)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        told = f"What is written in {folder} is damaged: {type(error).__name__}: {error}."
        raise FolderError(told, "--json shows it as it is.") from error
