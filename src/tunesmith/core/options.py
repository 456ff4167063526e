"""Options: declared once, as a pydantic model in the part that uses them.

The attribute docstring is the help text; CLI flag, YAML key, Python argument and the reference page
all come from the model. Names are unique across the parts of one run, so `--set epochs=5` needs no
prefix.
"""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from tunesmith.core.errors import OptionError


class Options(BaseModel):
    """Base of all options: unknown names are refused, attribute docstrings are the help.

    Defaults become the declared type too: 8 of a float is 8.0, as it is once it was written and read.
    """

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, frozen=True, validate_default=True)


def resolve(given: Mapping[str, Any], parts: Mapping[str, type[Options]]) -> dict[str, Options]:
    """Hand each given option to the part that declares it, and validate.

    `parts` maps a part's name ('engine', 'method', ...) to its Options model. All faults are
    reported together. Raises OptionError.
    """
    owner: dict[str, str] = {}
    for part, model in parts.items():
        for field in model.model_fields:
            if field in owner:
                raise RuntimeError(f"option {field!r} is declared by both {owner[field]!r} and {part!r}")
            owner[field] = part

    faults = [_unknown(name, owner) for name in given if name not in owner]
    resolved: dict[str, Options] = {}
    for part, model in parts.items():
        mine = {name: value for name, value in given.items() if owner.get(name) == part}
        try:
            resolved[part] = model(**mine)
        except ValidationError as error:
            faults += [describe_fault(fault, model) for fault in error.errors()]
    if faults:
        raise OptionError("\n".join(faults))
    return resolved


def parse_value(text: str) -> Any:
    """The value of `--set name=value`: YAML scalars and lists, so `5`, `1e-4`, `true`, `[1, 2]` work."""
    import yaml

    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    if isinstance(value, str):
        try:
            return float(value)  # YAML 1.1 reads 1e-4 (no dot) as a string
        except ValueError:
            return value
    return value


def describe(model: type[Options]) -> list[dict[str, Any]]:
    """One row per option: name, type, default, help. For `--help` and the reference page."""
    return [
        {
            "name": name,
            "type": type_name(field.annotation),
            "default": field.get_default(call_default_factory=True),
            "help": " ".join((field.description or "").split()),
        }
        for name, field in model.model_fields.items()
    ]


def type_name(annotation: Any) -> str:
    if typing.get_origin(annotation) is typing.Literal:
        return " | ".join(str(value) for value in typing.get_args(annotation))
    arguments = typing.get_args(annotation)
    if arguments and (typing.get_origin(annotation) is typing.Union or "|" in str(annotation)):
        return " | ".join(type_name(argument) for argument in arguments)
    if annotation is type(None):
        return "null"
    return getattr(annotation, "__name__", str(annotation)) if not arguments else str(annotation)


def _unknown(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    hint = f"Did you mean {near[0]!r}?" if near else f"Known options: {', '.join(sorted(known))}."
    return f"There is no option called {name!r}. {hint}"


def describe_fault(fault: Any, model: type[Options]) -> str:
    """One sentence for one pydantic fault: the option, what was given, what was expected."""
    name = str(fault["loc"][0]) if fault["loc"] else ""
    field = model.model_fields.get(name)
    expected = f" (expected {type_name(field.annotation)})" if field else ""
    message = fault["msg"][0].lower() + fault["msg"][1:]
    subject = f"Option {name!r}: got {fault.get('input')!r}, but " if name else ""
    return f"{subject}{message}{expected}."
