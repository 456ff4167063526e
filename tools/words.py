"""Writes the types of the words of a run, src/tunesmith/core/words.py, from the options that declare them.

    python tools/words.py            # writes the file (`make docs` does, too)
    python tools/words.py --check    # says whether it is up to date

So that an editor completes `tunesmith.train(data, learning_rate=...)` and a type checker refuses what does not exist.
"""

from __future__ import annotations

import argparse
import pathlib
import subprocess
import sys
import textwrap
import types
import typing
from collections.abc import Iterator
from typing import Any

FILE = pathlib.Path(__file__).resolve().parent.parent / "src" / "tunesmith" / "core" / "words.py"
HEAD = '''\
"""The words of a run and of a written answer, typed: keyword arguments of `tunesmith.train` and its kin.

Written by tools/words.py from the options that declare them; do not edit it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict
'''
IN_MEMORY = ("validation", "test")
"""Words that take data: a path or what `train` takes itself."""
PATHS = ("model", "retain", "continue_from", "template")
"""Words that take a path, or a run."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Write src/tunesmith/core/words.py from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when it is out of date")
    if not parser.parse_args().check:
        FILE.write_text(text(), encoding="utf-8")
        print(f"wrote {FILE.name}")
        return 0
    stale = not FILE.exists() or FILE.read_text(encoding="utf-8") != text()
    print("core/words.py is out of date: run `python tools/words.py`" if stale else "core/words.py is up to date")
    return int(stale)


def text() -> str:
    """The whole file."""
    from tunesmith.core import registry
    from tunesmith.core.spec import RunSpec
    from tunesmith.data.types import ReadOptions, SplitOptions, ValueOptions
    from tunesmith.engine.generate import Sampling
    from tunesmith.engine.options import EngineOptions, LanguageOptions

    plugins = [registry.get(seam, name).Options for seam in registry.SEAMS for name in registry.names(seam)]
    parts = [RunSpec, EngineOptions, SplitOptions, ReadOptions, ValueOptions, LanguageOptions, *plugins]
    train = "What a run can be told: every option of every task, method and callback. None is as if it was not given."
    sampling = "How a model that writes text writes it."
    found = "\n\n".join([HEAD, *_dict("TrainWords", train, parts), *_dict("SamplingWords", sampling, [Sampling])])
    command = [sys.executable, "-m", "ruff", "format", "--quiet", "--stdin-filename", str(FILE), "-"]
    return subprocess.run(command, input=found, capture_output=True, text=True, check=True, cwd=FILE.parent).stdout


def _dict(name: str, help_text: str, parts: list[Any]) -> Iterator[str]:
    """A TypedDict of all options of the parts; an option that several declare has the types of all."""
    from tunesmith.core import registry

    found: dict[str, tuple[list[str], str]] = {}
    for part in parts:
        for option, field in part.model_fields.items():
            if option in ("data", "options"):
                continue
            kinds = ["Any"] if option in IN_MEMORY else [*_kinds(field.annotation), *_also(part, option)]
            if f"{option}s" in registry.SEAMS:  # names of other packages go, and an editor proposes ours
                kinds.insert(0, f"Literal[{', '.join(map(_quoted, ['auto', *registry.names(f'{option}s')]))}]")
            if option in PATHS:
                kinds = [kind.replace("[str]", "[str | os.PathLike[str]]") if "Seq" in kind else kind for kind in kinds]
            known, told = found.get(option, ([], ""))
            found[option] = (list(dict.fromkeys([*known, *kinds])), told or field.description or "")
    lines = [f"class {name}(TypedDict, total=False):", _docstring(help_text, blank=True)]
    for option, (kinds, told) in found.items():
        joined = "Any" if "Any" in kinds else " | ".join([*(kind for kind in kinds if kind != "None"), "None"])
        lines += [_declared(option, joined), _docstring(told)]
    yield "\n".join(lines)


def _declared(option: str, kind: str) -> str:
    """A line, or several that are filled: a formatter would write each name of a method on a line of its own."""
    line = f"    {option}: {kind}"
    if len(line) <= 120:
        return line
    edge = " " * 8
    filled = textwrap.fill(
        kind, 120, initial_indent=edge, subsequent_indent=edge, break_long_words=False, break_on_hyphens=False
    )
    return f"    {option}: (\n{filled}\n    )  # fmt: skip"


def _kinds(annotation: Any) -> list[str]:
    """The alternatives of a type, as a caller may give them: any sequence for a list, any mapping for a dict."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return [kind for argument in arguments for kind in _kinds(argument)]
    if origin is typing.Literal:
        return [f"Literal[{', '.join(_quoted(value) for value in arguments)}]"]
    if origin in (list, tuple):
        return [f"Sequence[{' | '.join(_kinds(arguments[0]))}]"]
    if origin is dict:
        return [f"Mapping[{', '.join(' | '.join(_kinds(argument)) for argument in arguments)}]"]
    if origin is typing.Annotated:
        return _kinds(arguments[0])
    return ["None"] if annotation in (None, types.NoneType) else [getattr(annotation, "__name__", "Any")]


def _also(part: Any, option: str) -> list[str]:
    """What is turned into the declared type: one text for a list of them, a path or a run for its name."""
    from pydantic import ValidationError

    declared = _kinds(part.model_fields[option].annotation)
    found = ["os.PathLike[str]"] if option in PATHS else []
    if "str" in declared or "Sequence[str]" not in declared:
        return found
    try:
        part(**{option: "x"})
    except ValidationError as error:
        if any(fault["loc"][:1] == (option,) for fault in error.errors()):
            return found
    return ["str", *found]


def _quoted(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _docstring(told: str, blank: bool = False) -> str:
    lines = textwrap.wrap(" ".join(told.split()), 110)
    body = "\n".join(f"    {line}" for line in lines)
    return f'    """{body.strip()}"""' + ("\n" if blank else "")


if __name__ == "__main__":
    raise SystemExit(main())
