"""Writes docs/reference.md from the code: commands, options, events, exit codes.

    python tools/reference.py            # writes the page (`make docs`)
    python tools/reference.py --check    # says whether it is up to date

Knows no task, method or callback by name: it lists what the registry lists.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference.md"

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
    text = page()
    if arguments.check:
        same = PAGE.exists() and PAGE.read_text(encoding="utf-8") == text
        print("docs/reference.md is up to date" if same else "docs/reference.md is out of date: run `make docs`")
        return 0 if same else 1
    PAGE.write_text(text, encoding="utf-8")
    print(f"wrote {PAGE.relative_to(PAGE.parent.parent)}")
    return 0


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
    from tunesmith.data.types import SplitOptions
    from tunesmith.engine.options import EngineOptions

    yield "## Words of a run"
    yield "What every run has. On the command line most of these have a flag of their own."
    yield _table(RunSpec, without={"options"})
    yield "## Options of the engine"
    yield "The same for every task and method."
    yield _table(EngineOptions)
    yield "## Options of the split"
    yield _table(SplitOptions)
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


if __name__ == "__main__":
    sys.exit(main())
