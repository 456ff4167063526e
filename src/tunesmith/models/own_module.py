"""A network of the user's own, or of timm, as a base: `--model my_package:build`, `--model timm:NAME`.

`build(outputs)` gives a `torch.nn.Module` whose `forward(pixel_values)` makes logits float [b, outputs] of pictures
float32 [b, 3, height, width], and whose last `nn.Linear` of so many outputs is its head. What it was trained on it may
say in attributes: `image_size` (224 where it does not), `image_mean` and `image_std` (of colours from 0 to 1; 0.5).

Code is run that the user names in this process and no other: as `--model` on the command line, as `model` in Python, or
in the environment variable TUNESMITH_MODULES. What a folder of data or of a model names is never imported for that;
Python's own search path says where a package is found, and neither the data nor the model is on it.
"""

from __future__ import annotations

import importlib
import os
import re
from typing import Any

from tunesmith.core.errors import ModelError, TunesmithError
from tunesmith.core.imports import require

TIMM = "timm"
VARIABLE = "TUNESMITH_MODULES"
"""Names of packages, with commas between them."""
_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[\w.-]+", re.ASCII)
_named: set[str] = set()


def is_name(model: str) -> bool:
    """Whether a model is called PACKAGE:FUNCTION or timm:NAME."""
    return _NAME.fullmatch(model) is not None


def allow(model: object) -> None:
    """The user has named this model in this process."""
    if isinstance(model, str) and is_name(model):
        _named.add(model.partition(":")[0])


def build(name: str, outputs: int, *, pretrained: bool = True) -> Any:
    """The module called `name` with so many outputs, and what it says of its pictures. Without `pretrained` timm gives
    it no weights. Raises ModelError: nobody allowed it, it can not be imported, or gives no module;
    MissingPackageError."""
    module_name, _, function_name = name.partition(":")
    if module_name == TIMM:
        return _timm(function_name, outputs, pretrained)
    function = _function(name, module_name, function_name)
    try:
        found = function(outputs)
    except TunesmithError:
        raise
    except Exception as error:
        raise ModelError(
            f"{name}({outputs}) failed: {type(error).__name__}: {error}", "It is called with the number of outputs."
        ) from error
    from torch import nn

    if not isinstance(found, nn.Module):
        raise ModelError(f"{name}({outputs}) gave a {type(found).__name__}; expected a torch.nn.Module.")
    return found


def _function(name: str, module_name: str, function_name: str) -> Any:
    allowed = {*_named, *os.environ.get(VARIABLE, "").replace(" ", "").split(",")}
    if not allowed & {module_name, module_name.partition(".")[0]}:
        raise ModelError(
            f"The model is built by {name}, and nobody has named that code here: a file that asks is not enough.",
            f"If you trust it, set the environment variable {VARIABLE}={module_name}, in Python by os.environ.",
        )
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ModelError(
            f"--model {name}: Python can not import {module_name!r} ({error}).",
            f"Install the package, or name its folder: PYTHONPATH=folder tunesmith ... --model {name}",
        ) from None
    except Exception as error:
        raise ModelError(
            f"--model {name}: importing {module_name!r} failed: {type(error).__name__}: {error}"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ModelError(f"--model {name}: {module_name!r} has no function called {function_name!r}.")
    return function


def _timm(name: str, outputs: int, pretrained: bool) -> Any:
    timm = require("timm", extra=TIMM, why=f"--model timm:{name}")
    try:
        found = timm.create_model(name, pretrained=pretrained, num_classes=outputs)
        about = timm.data.resolve_model_data_config(found)
    except Exception as error:
        raise ModelError(
            f"timm has no model {name!r}, or can not get its weights: {type(error).__name__}: {error}",
            "timm.list_models(pretrained=True) lists what it has.",
        ) from None
    found.image_size, found.image_mean, found.image_std = about["input_size"][-1], about["mean"], about["std"]
    return found
