"""Plugins of another package: those that work, and how each fault is told, without breaking what does not use them."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from configparser import ConfigParser
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tunesmith
from tunesmith import testing
from tunesmith.core import registry
from tunesmith.core.errors import OptionError
from tunesmith.core.plugins import faults_of, protocol_of
from tunesmith.workflows import catalogues

EXTRAS = Path(__file__).parents[1] / "plugins"
Install = Callable[..., str]
_NUMBERS = itertools.count()

OPTIONS = """
from tunesmith.core.options import Options
from tunesmith.engine.protocols import GenerativeTask, Method, PredictiveTask
from tunesmith.engine.setup import Callback

class Own(Options):
    volume: int = 1
    "How loud."
"""


@pytest.fixture
def install(in_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """`install("callbacks", "shout", source)`: a package with one module and one entry point, as pip leaves it. Gives
    the module's name, which no other test has."""
    monkeypatch.syspath_prepend(str(in_tmp))

    def make(seam: str, name: str, source: str) -> str:
        module = f"outsider_{next(_NUMBERS)}"
        (in_tmp / f"{module}.py").write_text(OPTIONS + source, encoding="utf-8")
        about = in_tmp / f"{module}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}-pkg\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[tunesmith.{seam}]\n{name} = {module}:Plugin\n")
        importlib.invalidate_caches()
        return module

    return make


@pytest.fixture
def extras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXTRAS))


def test_every_plugin_of_ours_has_what_it_must_and_nothing_misspelled() -> None:
    for seam in registry.SEAMS:
        protocols = importlib.import_module(f"tunesmith.{seam}").PROTOCOLS
        for name in registry.names(seam):
            plugin = registry.get(seam, name)
            protocol = protocol_of(plugin, protocols, registry.targets("families"))
            assert protocol is not None
            assert list(faults_of(plugin, protocol)) == [], name


CALLBACK = """
class Plugin:
    Options = Own
    summary = "x"
    {line}
"""
METHOD = """
class Plugin(Method):
    Options = Own
    summary = "x"
    learning_rate, epochs = 1e-3, 1
    def prepare(self, bundle, seed): ...
    def groups(self, bundle, learning_rate): return []
    {line}
"""
FAULTS = [
    ("callbacks", "import a_package_that_is_not_there", "can not be imported: ModuleNotFoundError"),
    ("callbacks", "raise SystemExit(3)", "can not be imported: SystemExit"),
    ("callbacks", "", "can not be imported: AttributeError"),
    ("callbacks", "Plugin = 3", "it is no class"),
    ("callbacks", CALLBACK.format(line="def on_stepp(self, state, event): ..."), "'on_stepp'.*Did you mean 'on_step'"),
    ("callbacks", CALLBACK.format(line="def on_step(self, state): ..."), "its on_step does not take"),
    ("callbacks", "class Plugin: Options = Own", "it has no summary"),
    ("callbacks", CALLBACK.format(line="Options = dict"), "its Options are no class below"),
    ("methods", METHOD.format(line="virtual_token = 3"), "'virtual_token'.*Did you mean 'virtual_tokens'"),
    ("methods", METHOD.format(line="").replace("def prepare(self, bundle, seed): ...", ""), "it has no prepare"),
    ("tasks", "class Plugin(PredictiveTask):\n    summary, Options, family = 'x', Own, 'diffusion'",
     "family 'diffusion', which is not installed"),
    ("tasks", "class Plugin(PredictiveTask):\n    summary, Options, modality = 'x', Own, 'smell'",
     "modality 'smell', which is not installed .known: text"),
    ("tasks", "class Plugin(GenerativeTask):\n    summary, Options = 'x', Own", "encode, metrics, network, objective"),
]  # fmt: skip


@pytest.mark.parametrize(("seam", "source", "told"), FAULTS)
def test_a_plugin_that_can_not_be_used_is_told_and_breaks_nothing_else(
    seam: str, source: str, told: str, install: Install
) -> None:
    module = install(seam, "broken", source)
    with pytest.raises(OptionError, match=told) as caught:
        registry.get(seam, "broken")
    assert f"'broken' of the package {module}-pkg (entry point {module}:Plugin)" in str(caught.value)
    assert "uninstall it" in str(caught.value)
    assert "broken" not in registry.usable(seam)
    listed = catalogues.plugins(seam)
    assert [row["name"] for row in listed if "problem" in row] == ["broken"]
    assert len(listed) == len(registry.names(seam))


def test_an_attribute_of_an_earlier_version_is_taken_and_said(install: Install) -> None:
    install("methods", "old", METHOD.format(line="def lesson(self, plain, bundle, label_names, emit): return 'own'"))
    with pytest.warns(FutureWarning, match="Plugin.lesson is called objective now"):
        plugin = registry.get("methods", "old")
    assert plugin(plugin.Options()).objective(None, None, None, None) == "own"


def test_two_parts_with_one_option_are_told(install: Install, tiny_model: Path, tickets: Any) -> None:
    source = "class Rank(Options):\n    rank: int = 1\n" + CALLBACK.format(line="").replace("Own", "Rank")
    module = install("callbacks", "loud", source)
    words: dict[str, Any] = {"model": str(tiny_model), "callbacks": ["loud"], "out": "run"}
    with pytest.raises(
        OptionError, match=rf"'rank' is one of the callback 'loud' of the package {module}-pkg.*method lora"
    ):
        tunesmith.train(tickets, method="lora", **words)
    assert not Path("run").exists()


def test_an_option_of_every_run_is_taken(install: Install) -> None:
    source = "class Mine(Options):\n    seed: int = 1\n" + CALLBACK.format(line="").replace("Own", "Mine")
    install("callbacks", "seeded", source)
    [problem] = [row["problem"] for row in catalogues.plugins("callbacks") if "problem" in row]
    assert "An option 'seed' is one of the callback 'seeded'" in problem


def test_a_plugin_of_an_earlier_version_gets_the_defaults(install: Install) -> None:
    """It inherits nothing, and names the families as they were called."""
    source = METHOD.format(line="families = ('rows',)").replace("(Method)", "")
    install("methods", "old", source)
    plugin = registry.get("methods", "old")
    assert (plugin.adds, plugin.keeps_last, plugin.__name__) == (False, False, "Plugin")
    assert plugin(plugin.Options()).options == plugin.Options()
    from tunesmith.runs.choose import families_of

    assert families_of("old") == ("predictive",)


def test_a_broken_plugin_on_the_command_line(install: Install, run: Any, tiny_model: Path) -> None:
    install("methods", "broken", "import a_package_that_is_not_there")
    Path("rows.csv").write_text("text,label\n" + "".join(f"word {n},{'ab'[n % 2]}\n" for n in range(40)))
    asked = ("rows.csv", "--method", "broken", "--model", tiny_model)
    for command in (("check", *asked), ("train", *asked), ("methods", "broken")):
        done = run(*command)
        assert done.code == 2, done.stderr
        assert "broken" in done.stderr
        assert "Traceback" not in done.stderr
    done = run("methods")
    assert done.code == 0
    assert "can not be imported" in " ".join(done.stdout.split())
    assert run("check", "rows.csv", "--model", tiny_model).code == 0


SAID_BADLY = [
    (CALLBACK.format(line="").replace('"x"', "'two\\nlines'"), "has several lines"),
    (CALLBACK.format(line="").replace('"x"', "'x' * 121"), "more than 120 letters"),
    (
        "class Bare(Options):\n    loud: int = 1\n" + CALLBACK.format(line="").replace("Own", "Bare"),
        "without a docstring: loud",
    ),
]


@pytest.mark.parametrize(("source", "fault"), SAID_BADLY)
def test_the_suite_finds_what_is_said_badly(source: str, fault: str, install: Install) -> None:
    install("callbacks", "unsaid", source)
    with pytest.raises(AssertionError, match=fault):
        testing.check_plugin("callbacks", "unsaid")


@pytest.mark.story
def test_the_suite_finds_a_task_that_is_not_learned_and_one_that_is_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = registry.get("tasks", "text-classification")
    [toy, _] = task.toys()
    monkeypatch.setattr(task, "toys", classmethod(lambda _: [replace(toy, reaches=1.01)]))
    (tmp_path / "one").mkdir()
    with pytest.raises(AssertionError, match=r"accuracy is \S+, expected 1\.01"):
        testing.check("text-classification", 0, "full", tmp_path / "one")
    monkeypatch.setattr(task, "toys", classmethod(lambda _: [replace(toy, rate=1e-9)]))
    (tmp_path / "two").mkdir()
    with pytest.raises(AssertionError, match=r"of the loss before 1\.000 is left"):
        testing.check("text-classification", 0, "full", tmp_path / "two", epochs=1)
    (tmp_path / "three").mkdir()
    with pytest.raises(AssertionError, match="was to be refused"):
        testing.check_refused("text-classification", 0, "full", tmp_path / "three")


@pytest.mark.slow
def test_a_package_of_its_own_passes_the_suite(in_tmp: Path) -> None:
    """As its author runs it: in a process that finds the package by its entry points."""
    path = os.pathsep.join([str(EXTRAS), str(Path(registry.__file__).parents[2])])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--basetemp=work",
               "--confcutdir", str(EXTRAS), "--rootdir", str(EXTRAS), str(EXTRAS / "check_extras.py")]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path})
    assert "3 passed" in done.stdout, f"{done.stdout[-4000:]}\n{done.stderr[-2000:]}"
    documents = [json.loads(one.read_text(encoding="utf-8")) for one in in_tmp.rglob("metrics.json")]
    [ordinal] = [one for one in documents if one["task"] == "text-ordinal"]
    assert (ordinal["method"], ordinal["test"]["levels_off"]["value"] <= 0.1) == ("last-block", True)
    [shouted] = in_tmp.rglob("shouted.txt")
    assert shouted.read_text(encoding="utf-8").splitlines() == ["! 1", "! 2", "! 3", "! 4"]


def test_the_page_about_plugins_shows_the_very_files() -> None:
    text = (EXTRAS.parents[1] / "docs" / "plugins.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", text, re.M | re.S))
    points = ConfigParser()
    points.read(EXTRAS / "tunesmith_extras-1.0.dist-info" / "entry_points.txt", encoding="utf-8")
    project = tomllib.loads(shown.pop("pyproject.toml"))["project"]
    assert project["entry-points"] == {group: dict(points[group]) for group in points.sections()}
    files = {path.relative_to(EXTRAS).as_posix(): path.read_text(encoding="utf-8") for path in EXTRAS.rglob("*.py")}
    assert shown == {name: content for name, content in files.items() if not name.endswith("__init__.py")}
    assert max(content.count("\n") for content in files.values()) < 80


@pytest.mark.usefixtures("extras")
def test_cases_of_the_suite_are_what_fits_each_other() -> None:
    assert list(testing.cases(["text-ordinal"], ["last-block", "qlora"])) == [("text-ordinal", 0, "last-block")]
    test: Any = testing.conformance(["text-ordinal"], ["last-block"], ["shout"])
    [cases] = [mark.args[1] for mark in test.pytestmark if mark.name == "parametrize"]
    assert [case.values for case in cases] == [("text-ordinal-0-last-block",), ("shout",)]


def test_what_is_built_in_stays(install: Install) -> None:
    install("callbacks", "tensorboard", CALLBACK.format(line=""))
    assert registry.names("callbacks")[:2] == ["early-stopping", "tensorboard"]
    assert registry.get("callbacks", "tensorboard").__name__ == "TensorBoard"
