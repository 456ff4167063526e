"""The shape of the house: imports make no circle, private names stay in their file, families are asked, not named."""

from __future__ import annotations

import ast
import re
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

SRC = Path(__file__).resolve().parent.parent / "src"
MODULES = {
    ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SRC.rglob("*.py"))
}


@cache
def imports(module: str) -> list[tuple[str, str]]:
    """(module, name) of everything that a module takes from this package, late and for types alone too."""
    found = []
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tunesmith"):
            found += [(str(node.module), name.name) for name in node.names]
        elif isinstance(node, ast.Import):
            found += [(name.name, "") for name in node.names if name.name in MODULES]
    return found


def target(module: str, name: str) -> str:
    whole = f"{module}.{name}"
    return whole if whole in MODULES else module


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Not even late, or for types: what two modules ask of each other lies in a third.

    The package's own `__init__` gives names of all parts, each when it is asked for, and is left out.
    """
    graph = {
        module: {target(*one) for one in imports(module)} - {module, "tunesmith"}
        for module in MODULES if module != "tunesmith"
    }  # fmt: skip
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None


def test_private_names_stay_in_their_file() -> None:
    taken = [
        f"{module}: {source}.{name}"
        for module in MODULES
        for source, name in imports(module)
        if name.startswith("_") and not name.startswith("__")
    ]
    assert not taken, "give it a public name, or ask for less: " + ", ".join(taken)


def test_only_families_know_their_earlier_names() -> None:
    asked = re.compile(r"""famil.*["'](rows|language)["']|["'](rows|language)["'].*famil""")
    found = [
        f"{module}: {line.strip()}"
        for module, path in MODULES.items()
        if not module.startswith("tunesmith.families")
        for line in path.read_text(encoding="utf-8").splitlines()
        if asked.search(line)
    ]
    assert not found, "\n".join(found)


def test_families_are_asked_and_not_named() -> None:
    """Outside `families/` only a task says which family it is of, as do the two bases of tasks, and a method which it
    fits."""
    named = re.compile(r"""["'](predictive|generative)["']""")
    attribute = re.compile(r"^    (family: ClassVar\[str\]|families(: [^=]*)?) = ")
    says = ("tasks", "methods", "engine")
    found = [
        f"{module}: {line.strip()}"
        for module, path in MODULES.items()
        if not module.startswith("tunesmith.families")
        for line in path.read_text(encoding="utf-8").splitlines()
        if named.search(line) and not (attribute.match(line) and module.split(".")[1] in says)
    ]
    assert not found, "ask the family (`runs.protocols.Family`): " + "\n".join(found)
