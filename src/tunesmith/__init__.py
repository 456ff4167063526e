"""Tunesmith fine-tunes pre-trained models and puts them to work.

import tunesmith
run = tunesmith.train("tickets.csv")          # a bar, and in the end the verdict: run, run.show()
run.model.predict(df)                         # the DataFrame with the answers added
model = tunesmith.load("runs/tickets-0001")
model.predict("where is my card?")            # one answer
"""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tunesmith.core.version import VERSION as __version__

# transformers reads it when it is imported: no native code from a hub, whatever a model's config.json names
os.environ.setdefault("USE_HUB_KERNELS", "0")

# Name to module: importing tunesmith itself costs nothing; torch comes with the first use.
_VERBS = (
    "chat", "check", "compare", "convert", "evaluate", "export", "load", "plan", "predict", "preview", "search",
    "train",
)  # fmt: skip
_PUBLIC = {
    **{verb: f"tunesmith.workflows.{verb}" for verb in _VERBS},
    **dict.fromkeys(("methods", "runs", "tasks"), "tunesmith.workflows.catalogues"),
    "models": "tunesmith.workflows.base_models",
    "resume": "tunesmith.workflows.train",
    "Model": "tunesmith.families.predictive.predictor",
    "Run": "tunesmith.runs.train",
    "TunesmithError": "tunesmith.core.errors",
}

__all__ = [
    "Model",
    "Run",
    "TunesmithError",
    "__version__",
    "chat",
    "check",
    "compare",
    "convert",
    "evaluate",
    "export",
    "load",
    "methods",
    "models",
    "plan",
    "predict",
    "preview",
    "resume",
    "runs",
    "search",
    "tasks",
    "train",
]

if TYPE_CHECKING:
    from tunesmith.core.errors import TunesmithError
    from tunesmith.families.predictive.predictor import Model
    from tunesmith.runs.train import Run
    from tunesmith.workflows.base_models import models
    from tunesmith.workflows.catalogues import methods, runs, tasks
    from tunesmith.workflows.chat import chat
    from tunesmith.workflows.check import check
    from tunesmith.workflows.compare import compare
    from tunesmith.workflows.convert import convert
    from tunesmith.workflows.evaluate import evaluate
    from tunesmith.workflows.export import export
    from tunesmith.workflows.load import load
    from tunesmith.workflows.plan import plan
    from tunesmith.workflows.predict import predict
    from tunesmith.workflows.preview import preview
    from tunesmith.workflows.search import search
    from tunesmith.workflows.train import resume, train


def __getattr__(name: str) -> Any:
    if name == "sklearn":
        return importlib.import_module("tunesmith.sklearn")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'tunesmith' has no attribute {name!r}")
    if "IPython" in sys.modules:
        _import_bars()
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def _import_bars() -> None:
    """tqdm, which the libraries below bring along, complains once where a notebook lacks ipywidgets; our own card needs
    none."""
    import warnings
    from contextlib import suppress

    with warnings.catch_warnings(), suppress(ImportError):
        warnings.simplefilter("ignore")
        importlib.import_module("tqdm.auto")


def __dir__() -> list[str]:
    return __all__


class _Package(ModuleType):
    """`evaluate`, `models`, ... are verbs and folders of the package: importing a folder must not hide the verb."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _PUBLIC and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
