"""Tunesmith fine-tunes pre-trained models and puts them to work.

import tunesmith
run = tunesmith.train("tickets.csv")
run.metrics["accuracy"]; run.report; run.model.predict(["where is my card?"])
model = tunesmith.load("runs/tickets-0001")
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Name to module: importing tunesmith itself costs nothing; torch comes with the first use.
_PUBLIC = {
    "Model": "tunesmith.workflows.model",
    "Run": "tunesmith.workflows.train",
    "check": "tunesmith.workflows.check",
    "evaluate": "tunesmith.workflows.evaluate",
    "load": "tunesmith.workflows.load",
    "predict": "tunesmith.workflows.predict",
    "resume": "tunesmith.workflows.train",
    "train": "tunesmith.workflows.train",
    "TunesmithError": "tunesmith.core.errors",
}

__all__ = [
    "Model",
    "Run",
    "TunesmithError",
    "__version__",
    "check",
    "evaluate",
    "load",
    "predict",
    "resume",
    "train",
]

if TYPE_CHECKING:
    from tunesmith.core.errors import TunesmithError
    from tunesmith.workflows.check import check
    from tunesmith.workflows.evaluate import evaluate
    from tunesmith.workflows.load import load
    from tunesmith.workflows.model import Model
    from tunesmith.workflows.predict import predict
    from tunesmith.workflows.train import Run, resume, train


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'tunesmith' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return __all__


class _Package(ModuleType):
    """`tunesmith.evaluate` is a verb and a folder of the package: importing the folder must not hide the verb."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _PUBLIC and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
