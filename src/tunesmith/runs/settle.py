"""What a run would be: every name of its spec turned into a thing.

The run and `check` both begin with it, so that what one refuses the other does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from tunesmith.core import registry
from tunesmith.core.options import resolve
from tunesmith.core.spec import RunSpec
from tunesmith.engine.options import EngineOptions
from tunesmith.engine.protocols import Method, Task
from tunesmith.engine.setup import Callback
from tunesmith.runs import choose, run_options

T = TypeVar("T", bound=Task)


@dataclass
class Plan(Generic[T]):
    """The spec with every name turned into a thing."""

    spec: RunSpec
    """With every default written out."""
    task: T
    method: Method
    engine: EngineOptions
    callbacks: list[Callback] = field(default_factory=list)

    def settle(self, **words: object) -> None:
        """Write what was chosen on the way into engine and spec, so that a resumed or repeated run does not choose
        anew."""
        self.engine = self.engine.model_copy(update=words)
        self.spec = self.spec.model_copy(update={"options": {**self.spec.options, **words}})

    @property
    def init_seed(self) -> int:
        """Of weights that begin at random."""
        return self.spec.seed if self.engine.init_seed is None else self.engine.init_seed

    def make_callbacks(self, folder: Path) -> None:
        """The callbacks of the run in `folder`."""
        names = self.spec.callbacks
        options = resolve(self.spec.options, run_options.parts_of(self.spec.task, self.spec.method, names))
        self.callbacks = [
            registry.get("callbacks", name)(options[name], engine=self.engine, folder=folder) for name in names
        ]


def settle(spec: RunSpec, chosen: Mapping[str, object], epochs: int, learning_rate: float | None) -> Plan[Any]:
    """Everything that was chosen as things, and every default written out; without the callbacks, which need a run's
    folder.

    `chosen`: the words "task", "model" and "method" of the spec, and others. `epochs` and `learning_rate`: where none
    are asked for; None where the rate follows from the base model. Raises OptionError for what the task or the method
    do not allow.
    """
    spec = spec.model_copy(update=chosen)
    choose.check_method(spec.method, spec.task)
    run_options.check_option_names(spec.task, spec.method, spec.callbacks)
    options = resolve(spec.options, run_options.parts_of(spec.task, spec.method, spec.callbacks))
    task = registry.get("tasks", spec.task)(options["task"])
    method = registry.get("methods", spec.method)(options["method"])
    written = {name: value for part in options.values() for name, value in part.model_dump().items()}
    method.check(written)
    engine = cast(EngineOptions, options["engine"])
    engine = engine.model_copy(update={
        "epochs": epochs if engine.epochs is None else engine.epochs,
        "learning_rate": engine.learning_rate or learning_rate,
    })  # fmt: skip
    written_out = spec.model_copy(update={"options": {**written, **engine.model_dump()}})
    return Plan(written_out, task, method, engine)
