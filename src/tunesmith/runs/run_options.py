"""Which options a run may be given, and what is wrong with those that it was given."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tunesmith.core import registry
from tunesmith.core.errors import OptionError
from tunesmith.core.options import Options, faults_of, nearest
from tunesmith.core.plugins import origin
from tunesmith.core.spec import RunSpec
from tunesmith.data.types import ReadOptions, SplitOptions, ValueOptions
from tunesmith.data.workbook import WORKBOOK_SUFFIXES
from tunesmith.engine.options import EngineOptions
from tunesmith.evaluate.goal import parse_goal
from tunesmith.models import catalog

OF_EVERY_RUN: dict[str, type[Options]] = {
    "engine": EngineOptions, "split": SplitOptions, "read": ReadOptions, "values": ValueOptions,
}  # fmt: skip
"""Options that belong to no plugin, by part."""


def check_words(spec: RunSpec) -> None:
    """Names and option names, before any data is read. Raises OptionError with the nearest name."""
    for seam, asked in (("tasks", spec.task), ("methods", spec.method)):
        if asked != "auto":
            try:
                registry.get(seam, asked)
            except OptionError as error:
                raise OptionError(f"--{seam.removesuffix('s')} {asked}: {error.message}", error.fix) from None
    check_option_names(spec.task, spec.method, spec.callbacks)
    if spec.goal is not None:
        parse_goal(spec.goal, "--goal")
    if spec.options.get("sheet") is not None:
        files = [str(one) for one in (spec.data, spec.test, spec.validation) if one is not None]
        if not any(Path(one).suffix.lower() in WORKBOOK_SUFFIXES or os.path.isdir(one) for one in files):
            raise OptionError("--sheet names a sheet of a workbook, and the data is none.", "Leave it out.")
    if spec.model != "auto":
        catalog.find(spec.model)
    models = list(option_models(spec).values())
    known = (set(RunSpec.model_fields) - {"options"}).union(*(model.model_fields for model in models))
    faults: list[str] = []
    for name, value in spec.options.items():
        if name not in known:
            raise OptionError(f"There is no option called {name!r}{_elsewhere(name)}.", nearest(name, known))
        found = [faults_of(model, {name: value}) for model in models if name in model.model_fields]
        if found and all(found):  # no part that may turn out to be the owner takes it
            faults += found[0]
    if faults:
        raise OptionError("\n".join(faults))
    _check_sizes(spec)


def check_option_names(task: str = "auto", method: str = "auto", callbacks: Sequence[str] = ()) -> None:
    """Raises OptionError where two parts of a run have an option of one name, as a plugin of another package may."""
    every: list[type[Options]] = [RunSpec, *OF_EVERY_RUN.values()]
    owners = {name: "of every run" for model in every for name in model.model_fields}
    for seam, plugin in (("tasks", task), ("methods", method), *(("callbacks", name) for name in callbacks)):
        if plugin == "auto":
            continue
        fields = registry.get(seam, plugin).Options.model_fields
        point = registry.outside(seam, plugin)
        this = f"of the {origin(seam, point)}" if point else f"of the {seam.removesuffix('s')} {plugin}"
        for name in fields:
            if owners.setdefault(name, this) != this:
                raise OptionError(
                    f"An option {name!r} is one {this}, and one {owners[name]}; a run can not have two of one name.",
                    "Leave one of the two out, or rename the option in the package that is not Tunesmith's.",
                )


def _elsewhere(name: str) -> str:
    """' here: it belongs to method lora', where a plugin that this spec does not use has such an option."""
    owners = [
        f"{seam.removesuffix('s')} {plugin}"
        for seam in registry.SEAMS for plugin, kind in registry.usable(seam).items()
        if name in kind.Options.model_fields
    ]  # fmt: skip
    return f" here: it belongs to {', '.join(owners)}" if owners else ""


def _check_sizes(spec: RunSpec) -> None:
    """Raises OptionError where no rows would be left for one of the three parts."""
    shares = {
        f"{name}_size": spec.options.get(f"{name}_size")
        for name, given in (("validation", spec.validation), ("test", spec.test)) if given is None
    }  # fmt: skip
    for name, share in shares.items():
        if share == 0:
            raise OptionError(
                f"{name}=0 leaves no rows for {name.removesuffix('_size')}; every run chooses and tests on rows of "
                "their own.", f"Leave {name} out, or give a file with --{name.removesuffix('_size')}.",
            )  # fmt: skip
    if sum(share or 0.0 for share in shares.values()) >= 1:
        asked = " and ".join(f"{name}={share:g}" for name, share in shares.items() if share)
        raise OptionError(f"{asked} leave no rows for training.", "Choose shares with a sum well below 1.")


def parts_of(task: str, method: str, callbacks: Sequence[str]) -> dict[str, type[Options]]:
    """The Options models of a run whose task and method are settled, by part, as `core.options.resolve` takes them."""
    return {
        "task": registry.get("tasks", task).Options,
        "method": registry.get("methods", method).Options,
        **OF_EVERY_RUN,
        **{name: registry.get("callbacks", name).Options for name in callbacks},
    }


def option_models(spec: RunSpec) -> dict[str, type[Options]]:
    """Every Options model that may have a say in this spec, by owner ('task text-classification', ...)."""
    models = dict(OF_EVERY_RUN)
    for seam, asked in (("tasks", spec.task), ("methods", spec.method)):
        plugins = registry.usable(seam) if asked == "auto" else {asked: registry.get(seam, asked)}
        models |= {f"{seam.removesuffix('s')} {name}": plugin.Options for name, plugin in plugins.items()}
    for name in spec.callbacks:
        models[f"callback {name}"] = registry.get("callbacks", name).Options
    return models
