"""What a tab completes: names of runs, models, methods, tasks, callbacks and options. Imports nothing heavy."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterable
from pathlib import Path

Items = list[tuple[str, str]]
"""Pairs of what is completed and its short help."""


def runs(incomplete: str) -> list[str]:
    """Run folders whose path has been begun, below `runs/` where nothing has; of a folder of runs those in it."""
    start = Path(incomplete or "runs/")
    parent = start if incomplete.endswith("/") or not incomplete else start.parent
    found: set[str] = set()
    for folder in _folders(parent):
        if str(folder).startswith(incomplete.removeprefix("./")):
            inner = [] if (folder / "spec.yaml").exists() else _folders(folder)
            found.update(map(str, inner or [folder]))
    return sorted(found)


def _folders(parent: Path) -> list[Path]:
    try:
        return [path for path in parent.iterdir() if path.is_dir() and not path.name.startswith(".")]
    except OSError:
        return []


def models(incomplete: str) -> Items:
    """Names of the catalogue, and folders of this place."""
    from tunesmith.models.catalog import CATALOG

    known = [(entry.alias, entry.note) for entry in CATALOG]
    return _after_comma(incomplete, [*known, *((name, "") for name in runs(incomplete) if incomplete)])


def methods(incomplete: str) -> Items:
    return _after_comma(incomplete, _plugins("methods"))


def tasks(incomplete: str) -> Items:
    return _after_comma(incomplete, _plugins("tasks"))


def callbacks(incomplete: str) -> Items:
    return _after_comma(incomplete, _plugins("callbacks"))


def launchers(incomplete: str) -> Items:
    return _plugins("launchers")


def settings(incomplete: str) -> Items:
    """Names of options, with the sign that follows."""
    return [(f"{name}=", text) for name, text in options().items() if f"{name}=".startswith(incomplete)]


def options() -> dict[str, str]:
    """Every option of tasks, methods, callbacks, engine and split, with the first sentence of its help.

    Read from the source by its syntax, as importing it takes torch, and torch takes seconds.
    """
    from tunesmith.core import registry

    modules = ["tunesmith.engine.options", "tunesmith.data.types"]
    for seam in registry.SEAMS:
        modules += [target.partition(":")[0] for target in registry.targets(seam).values()]
    found: dict[str, str] = {}
    for module in dict.fromkeys(modules):
        for name, text in _declared(module):
            found.setdefault(name, text)
    return dict(sorted(found.items()))


def _declared(module: str) -> Iterable[tuple[str, str]]:
    """Fields of the Options classes of a module, and of those that they are below of, each with its docstring."""
    package, *inner = module.split(".")
    spec = importlib.util.find_spec(package)  # of the whole module it would import the folders above it
    if spec is None or spec.origin is None:
        return
    file = Path(spec.origin).parent.joinpath(*inner).with_suffix(".py") if inner else Path(spec.origin)
    if not file.exists():
        return
    body = ast.parse(file.read_text(encoding="utf-8")).body
    for node in body:
        if isinstance(node, ast.ImportFrom) and node.module and any(
            name.name.endswith("Options") and name.name != "Options" for name in node.names
        ):  # fmt: skip
            yield from _declared(node.module)
        if not isinstance(node, ast.ClassDef) or not any("Options" in ast.unparse(base) for base in node.bases):
            continue
        for field, after in zip(node.body, [*node.body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                yield field.target.id, _text(after)


def _text(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return " ".join(node.value.value.split()).partition(". ")[0]
    return ""


def _plugins(seam: str) -> Items:
    from tunesmith.core import registry

    return [(name, "") for name in registry.names(seam)]


def _after_comma(incomplete: str, known: Items) -> Items:
    """What begins as the last name of a list with commas does, behind the names before it."""
    before, comma, begun = incomplete.rpartition(",")
    return [(f"{before}{comma}{name}", text) for name, text in known if name.startswith(begun)]
