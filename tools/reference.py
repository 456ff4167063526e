"""Writes what the docs say about the code from the code itself.

    python tools/reference.py            # writes the pages (`make docs`)
    python tools/reference.py --check    # says whether they are up to date

docs/reference.md as a whole (commands, options, events, exit codes), the tables of docs/metrics.md
between its two marks, and the types of the options (tools/words.py). Knows no task, method, callback or
metric by name: it lists what the code lists.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import words

DOCS = Path(__file__).resolve().parent.parent / "docs"
BEGIN = "<!-- generated:begin (written by tools/reference.py) -->"
END = "<!-- generated:end -->"

INTRODUCTION = """\
# Reference

Every command, every option and every event. `make docs` writes this page from the code; do not edit it.

An option has one name everywhere: `--set epochs=5` on the command line, `epochs: 5` in a spec file,
`tunesmith.train(..., epochs=5)` in Python.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description="Write docs/reference.md from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when it is out of date")
    arguments = parser.parse_args()
    stale = [name for name, text in pages().items() if _read(name) != text]
    typed = words.text()
    if words.FILE.read_text(encoding="utf-8") != typed:
        stale.append(str(Path("..") / words.FILE.relative_to(DOCS.parent)))
    if arguments.check:
        for name in stale:
            print(f"docs/{name} is out of date: run `make docs`")
        if not stale:
            print("the pages are up to date")
        return 1 if stale else 0
    for name, text in pages().items():
        (DOCS / name).write_text(text, encoding="utf-8")
        print(f"wrote docs/{name}")
    words.FILE.write_text(typed, encoding="utf-8")
    print(f"wrote {words.FILE.relative_to(DOCS.parent)}")
    return 0


def pages() -> dict[str, str]:
    """Every page that is written from the code, in whole or in part: name -> text."""
    return {"reference.md": page(), "metrics.md": _between_marks(_read("metrics.md"), [*metrics(), *schema()])}


def _read(name: str) -> str:
    path = DOCS / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _between_marks(text: str, parts: list[str]) -> str:
    """`text` with what stands between its marks written anew."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"a page lacks its marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}{after}"


def page() -> str:
    """The whole page, the same on every machine."""
    parts = [INTRODUCTION, *commands(), *options(), *events(), *exit_codes()]
    return "\n".join(part.rstrip() + "\n" for part in parts)


# --- Commands -----------------------------------------------------------------------------------


def commands() -> Iterator[str]:
    """`--help` of every command, in the order in which the command line lists them."""
    os.environ["COLUMNS"] = os.environ["TERMINAL_WIDTH"] = "100"
    import typer.main

    from tunesmith.cli.main import app

    group: Any = typer.main.get_command(app)
    yield "## Commands"
    yield _help(group, "tunesmith")
    for name, command in group.commands.items():
        yield f"### tunesmith {name}"
        yield _help(command, f"tunesmith {name}")


def _help(command: Any, name: str) -> str:
    context = command.context_class(command, info_name=name, terminal_width=100, max_content_width=100)
    lines = [line.rstrip() for line in command.get_help(context).strip().splitlines()]
    return "```text\n" + "\n".join(lines) + "\n```"


# --- Options ------------------------------------------------------------------------------------


def options() -> Iterator[str]:
    """Tables of what can be set, part by part."""
    from tunesmith.core import registry
    from tunesmith.core.spec import RunSpec
    from tunesmith.data.types import ReadOptions, SplitOptions, ValueOptions
    from tunesmith.engine.options import EngineOptions, LanguageOptions

    yield "## Words of a run"
    yield "What every run has. On the command line most of these have a flag of their own."
    yield _table(RunSpec, without={"options"})
    yield "## Options of the engine"
    yield "The same for every task and method."
    yield _table(EngineOptions)
    yield "## Options of language tasks"
    yield "For chat, preference and seq2seq."
    yield _table(LanguageOptions)
    yield "## Options of the split"
    yield _table(SplitOptions)
    yield "## Options of reading"
    yield "For the data, the validation data and the test data; `predict` and `evaluate` read as their run did."
    yield _table(ReadOptions)
    yield "## What the cells of the target mean"
    yield _table(ValueOptions)
    for seam in registry.SEAMS:
        yield f"## {seam.capitalize()}"
        for name in registry.names(seam):
            plugin = registry.get(seam, name)
            summary = " ".join(plugin.summary.split())
            yield f"### {name}"
            yield f"{summary[0].upper()}{summary[1:]}."
            yield _table(plugin.Options)


def _table(model: Any, *, without: frozenset[str] | set[str] = frozenset()) -> str:
    from tunesmith.core.options import describe

    rows = [row for row in describe(model) if row["name"] not in without]
    if not rows:
        return "No options."
    required = {name for name, field in model.model_fields.items() if field.is_required()}
    lines = ["| option | type | default | |", "|---|---|---|---|"]
    for row in rows:
        default = "needed" if row["name"] in required else f"`{_yaml(row['default'])}`"
        lines.append(f"| `{row['name']}` | {_cell(row['type'])} | {default} | {_cell(row['help'])} |")
    return "\n".join(lines)


def _yaml(value: Any) -> str:
    """A default as it would stand in a spec file."""
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_yaml(item) for item in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


# --- Events -------------------------------------------------------------------------------------


def events() -> Iterator[str]:
    """The records of events.jsonl."""
    from tunesmith.core.events import Event

    yield "## Events"
    yield (
        "`events.jsonl` in the run folder holds one JSON object a line: `event`, `time` (Unix seconds), and "
        "the fields below."
    )
    lines = ["| event | fields | |", "|---|---|---|"]
    for kind in Event.__subclasses__():
        if kind.__module__ != "tunesmith.core.events":
            continue
        names = ", ".join(
            f"`{field.name}`" + ("" if field.default is MISSING and field.default_factory is MISSING else "?")
            for field in fields(kind)
        )
        own = kind.__doc__ or ""
        help_text = "" if own.startswith(f"{kind.__name__}(") else " ".join(own.split())
        lines.append(f"| `{kind.name}` | {names} | {_cell(help_text)} |")
    yield "\n".join(lines)
    yield "A field with a question mark may be null or empty."


def exit_codes() -> Iterator[str]:
    yield "## Exit codes"
    yield "\n".join(
        [
            "| code | |",
            "|---|---|",
            "| 0 | done |",
            "| 2 | something is wrong with the data, an option or a model; nothing was trained |",
            "| 3 | the run started and failed |",
            "| 130 | stopped on request, or paused on a full disk; `tunesmith resume` continues |",
            "",
            "What says that a run succeeded is its `result.json`, which is written last.",
        ]
    )


# --- Metrics ------------------------------------------------------------------------------------


def metrics() -> Iterator[str]:
    """Every metric: for which targets, which way is better, and between which bounds."""
    from tunesmith.core import registry
    from tunesmith.evaluate import words
    from tunesmith.evaluate.metrics import TABLE

    targets = {kind: registry.get("evaluate.targets", kind).said for kind in registry.names("evaluate.targets")}
    targets |= {"label": "one label", "labels": "several labels", "number": "number", "text": "text that is written"}
    yield "### All metrics"
    lines = ["| name | in the report | for | better | range |", "|---|---|---|---|---|"]
    for name, metric in TABLE.items():
        low, high = (f"{end:g}".replace("inf", "∞") for end in metric.range)
        kinds = ", ".join(targets[kind] for kind in metric.kinds)
        better = {True: "more", False: "less", None: "neither"}[metric.higher_is_better]
        lines.append(f"| `{name}` | {words.metric(name)} | {kinds} | {better} | {low} to {high} |")
    yield "\n".join(lines)


def schema() -> Iterator[str]:
    """The fields of metrics.json, from the schema that every document is checked against."""
    from tunesmith.evaluate.metrics_json import SCHEMA

    yield "### All fields of `metrics.json`"
    lines = ["| field | type | |", "|---|---|---|"]
    for path, part in _fields("", SCHEMA):
        lines.append(f"| `{path}` | {_json_type(part)} | {_cell(part.get('description', ''))} |")
    yield "\n".join(lines)
    interval = SCHEMA["$defs"]["interval"]
    yield f"An *interval* is {{{', '.join(f'`{name}`' for name in interval['properties'])}}}: " + " ".join(
        f"`{name}`: {part['description']}" for name, part in interval["properties"].items()
    )


def _fields(prefix: str, part: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(path, schema) of all fields below `part`, in the order of the document."""
    for name, field in part.get("properties", {}).items():
        path = f"{prefix}{name}"
        yield path, field
        inner = field.get("items", field)
        yield from _fields(f"{path}[]." if "items" in field else f"{path}.", inner)


def _json_type(part: Mapping[str, Any]) -> str:
    if "enum" in part:
        return " \\| ".join(f"`{value}`" for value in part["enum"])
    if "$ref" in part:
        return "interval"
    kinds = part["type"] if isinstance(part["type"], list) else [part["type"]]
    more = part.get("additionalProperties")
    if isinstance(more, dict):
        inner = {"string": "strings by name"}.get(more.get("type", ""), "by name: intervals by name")
        inner = "intervals by name" if "$ref" in more else inner
        kinds = [inner if kind == "object" else kind for kind in kinds]
    return " \\| ".join(kinds)


if __name__ == "__main__":
    sys.exit(main())
