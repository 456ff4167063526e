"""Commands and their flags in groups, and help pages that cut no sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

START, UNDERSTAND, IMPROVE, USE = "Start", "Understand", "Improve", "Use"
SECTIONS = (START, UNDERSTAND, IMPROVE, USE)


class Commands(typer.Typer):
    """A typer whose commands stand in one of SECTIONS."""

    def __init__(self, **settings: Any):
        super().__init__(
            cls=Sections, rich_markup_mode=None, pretty_exceptions_enable=False,
            context_settings={"help_option_names": ["--help", "-h"]}, **settings,
        )  # fmt: skip

    def command(self, name: str | None = None, *, section: str = USE, **settings: Any) -> Callable[..., Any]:
        return super().command(name, cls=Command, rich_help_panel=section, **settings)


class Command(TyperCommand):
    """Arguments first, then the options by their group, those without one at the end."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {"Arguments": []}
        last: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            if parameter.param_type_name == "argument":
                groups["Arguments"].append(record)
            elif group := getattr(parameter, "rich_help_panel", None):
                groups.setdefault(group, []).append(record)
            else:
                last.append(record)
        groups["Options"] = last
        for group, records in groups.items():
            if records:
                with formatter.section(group):
                    formatter.write_dl(records)


class Sections(TyperGroup):
    """Commands by section, each with the whole of its first sentence."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        commands = [(name, command) for name, command in self.commands.items() if not command.hidden]
        width = max(len(name) for name, _ in commands)
        for section in SECTIONS:
            rows = [
                (name.ljust(width), " ".join((command.help or "").split("\n\n")[0].split()))
                for name, command in commands if getattr(command, "rich_help_panel", None) == section
            ]  # fmt: skip
            if rows:
                with formatter.section(section):
                    formatter.write_dl(rows)

    def list_commands(self, ctx: object) -> list[str]:
        """By section, as the help page has them."""

        def place(name: str) -> int:
            section = getattr(self.commands[name], "rich_help_panel", None)
            return SECTIONS.index(section) if section in SECTIONS else len(SECTIONS)

        return sorted(self.commands, key=place)
