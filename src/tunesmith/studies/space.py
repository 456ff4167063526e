"""Which settings a search may change, and how far: derived from the options' own declarations.

The methods' defaults are the middle of each range, so that a search begins where a plain run would
and can only move away from there for a reason.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic.fields import FieldInfo

from tunesmith.core import registry
from tunesmith.core.errors import OptionError, did_you_mean
from tunesmith.core.options import Options, parse_value, resolve
from tunesmith.core.renamed import given_words
from tunesmith.core.spec import RunSpec, Words
from tunesmith.engine.options import EngineOptions
from tunesmith.models import catalog
from tunesmith.runs import choose, run_options
from tunesmith.runs.family import family_named

TUNED = ("learning_rate", "epochs", "batch_size", "weight_decay", "dropout", "rank", "frozen_share")
"""Changed unless the caller says what: those that most often matter (Mosbach et al. 2021; Godbole et al. 2023)."""
WIDTH = 4.0
"""Numbers without an upper bound range from a fourth to four times their default, on a log scale."""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, whole ones where `whole`, evenly spread in the logarithm where `log`."""

    low: float
    high: float
    log: bool = False
    whole: bool = False


Domain = Range | tuple[object, ...]
"""A range, or the values to choose from."""


@dataclass(frozen=True)
class Space:
    """What a search chooses from: base models, methods, and for each method its own settings."""

    models: tuple[str, ...]
    methods: tuple[str, ...]
    settings: Mapping[str, Mapping[str, Domain]]
    """method -> option -> domain."""
    task: str = "text-classification"

    def start(self, method: str) -> dict[str, object]:
        """Names as in a trial, at the method's defaults: where a search begins."""
        found: dict[str, object] = {"model": self.models[0], "method": method}
        for name, domain in self.settings[method].items():
            default = default_of(name, method, self.task, self.models[0])
            found[f"{method}.{name}"] = _nearest(domain, default)
        return found

    def record(self) -> dict[str, object]:
        return {
            "model": list(self.models), "method": list(self.methods),
            **{f"{m}.{n}": (vars(d) if isinstance(d, Range) else list(d))
               for m, names in self.settings.items() for n, d in names.items()},
        }  # fmt: skip


def derive(words: Words, space: Words, methods: Sequence[str], task: str) -> Space:
    """The space of a search: TUNED without what `words` fixes, or exactly what `space` names.

    `space`: option -> list of values, {"low", "high", "log"}, or text as `parse_space` reads it. Raises OptionError
    for names that no method has and for values that the option itself refuses.
    """
    models = tuple(space.get("model") or [words.get("model", "auto")])
    chosen = tuple(space.get("method") or methods)
    asked = given_words({name: domain for name, domain in space.items() if name not in ("model", "method")})
    fields = {method: fields_of(method, task) for method in chosen}
    known = {name for of_method in fields.values() for name in of_method}
    for name in asked:
        if name not in known:
            raise OptionError(f"--space {name}: no option of this search has that name.", did_you_mean(name, known))
    settings: dict[str, dict[str, Domain]] = {}
    for method in chosen:
        frozen = registry.get("methods", method).frozen_body and not words.get("epochs") and "epochs" not in asked
        names = asked or {} if frozen or asked else dict.fromkeys(n for n in TUNED if words.get(n) is None)
        mine = {name: spec for name, spec in names.items() if name in fields[method]}
        domains = {
            name: _given(name, spec, method, task)
            if spec is not None
            else _domain(fields[method][name], default_of(name, method, task, models[0]))
            for name, spec in mine.items()
        }
        settings[method] = {name: domain for name, domain in domains.items() if domain is not None}
    return Space(models, chosen, settings, task)


def parse_space(texts: Sequence[str]) -> Words:
    """`--space name=1e-5..1e-3` (a range) and `--space name=8,16,32` (values). Raises OptionError."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not value:
            raise OptionError(f"--space {text}: expected NAME=LOW..HIGH or NAME=A,B,C.")
        found[name.strip().replace("-", "_")] = value.strip()
    return {name: _parsed(name, value) for name, value in found.items()}


def default_of(name: str, method: str, task: str, model: str | None = None) -> Any:
    """What a plain run with `method` would use, on the base `model` as far as its size is known here."""
    plugin, family = registry.get("methods", method), family_named(choose.family_of_task(task))
    if name == "epochs":
        return family.epochs(method)
    if name == "learning_rate":
        size = None if model in (None, "auto") else catalog.size_of(catalog.find(model))
        return family.rate(method, task, size.hidden_size if size else None)
    for options in (EngineOptions, plugin.Options):
        if name in options.model_fields:
            default = options.model_fields[name].default
            return family.usual.get(name) if default is None else default
    return None  # the task's: the caller's field knows


def fields_of(method: str, task: str) -> dict[str, FieldInfo]:
    """The options that a run of this method on this task has, by name."""
    models: tuple[type[Options], ...]
    models = (EngineOptions, registry.get("methods", method).Options, registry.get("tasks", task).Options)
    return {name: field for model in models for name, field in model.model_fields.items()}


def _domain(field: FieldInfo, default: Any) -> Domain | None:
    """The range of an option: from its type, its bounds and its default; None where these do not tell it."""
    default = field.default if default is None else default
    kinds = [kind for kind in (typing.get_args(field.annotation) or (field.annotation,)) if kind is not type(None)]
    if typing.get_origin(field.annotation) is Literal:
        return tuple(typing.get_args(field.annotation))
    if bool in kinds:
        return (False, True)
    if default is None or not ({int, float} & set(kinds)):
        return None
    low, high = _bounds(field)
    if int in kinds:
        return Range(max(low, 1, default // 2 if default < 8 else default // 4), min(high, default * 2
                     if default < 8 else default * 4), log=default >= 8, whole=True)  # fmt: skip
    if math.isinf(high) and default > 0:
        return Range(default / WIDTH, default * WIDTH, log=True)
    return Range(max(low, 0.0), min(high, max(0.3, 2 * default)))


def _bounds(field: FieldInfo) -> tuple[float, float]:
    """(lowest, highest) from the declaration; an open bound of 1 is kept a little away from."""
    low, high = -math.inf, math.inf
    for rule in field.metadata:
        low = max(low, getattr(rule, "ge", None) or getattr(rule, "gt", None) or 0)
        high = min(high, *[bound for bound in (getattr(rule, "le", None), getattr(rule, "lt", None)) if bound], high)
    return low, high


def _parsed(name: str, text: str) -> Any:
    low, dots, high = text.partition("..")
    if not dots:
        return [parse_value(part.strip()) for part in text.split(",") if part.strip()]
    ends = parse_value(low.strip()), parse_value(high.strip())
    if not all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends):
        raise OptionError(f"--space {name}={text}: expected two numbers around '..'.", f"Example: {name}=1e-5..1e-3")
    return {"low": ends[0], "high": ends[1]}


def _given(name: str, spec: object, method: str, task: str) -> Domain:
    """A domain that the caller wrote; its ends and values must pass the option's own checks."""
    spec = _parsed(name, spec) if isinstance(spec, str) else spec
    if isinstance(spec, Mapping):
        if set(spec) - {"low", "high", "log"} or not {"low", "high"} <= set(spec) or not spec["low"] < spec["high"]:
            raise OptionError(f"--space {name}: expected low and high (and log), low below high; got {dict(spec)}.")
        low, high = spec["low"], spec["high"]
        whole = isinstance(low, int) and isinstance(high, int)
        log = bool(spec.get("log", low > 0 and high >= 10 * low))
        domain: Domain = Range(low, high, log, whole)
        values: Sequence[Any] = (low, high)
    else:
        values = list(spec) if isinstance(spec, list | tuple) else [spec]
        domain = tuple(values)
    if not values:
        raise OptionError(f"--space {name}: no value is given.")
    models: dict[str, type[Options]] = run_options.option_models(
        RunSpec(data="", task=task, method=method, callbacks=[])
    )
    for value in values:
        resolve({name: value}, models)
    return domain


def _nearest(domain: Domain, default: object) -> object:
    if isinstance(domain, Range):
        if not isinstance(default, int | float):
            return int(domain.low) if domain.whole else domain.low
        inside = min(max(default, domain.low), domain.high)
        return int(inside) if domain.whole else float(inside)
    return default if default in domain else domain[0]
