"""What this machine is and what it does fast: asked or measured, said as events."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from tunesmith.core.errors import UsageError
from tunesmith.core.events import Decided, Emit
from tunesmith.engine.batching import TOKENS_AT_ONCE

_WORTH_IT = 1.2
"""bf16 must be this much faster than fp32 to be chosen: it costs three decimal digits."""
_BF16_WIDTH = 32
"""Narrower products gain less than that on a processor with bf16 instructions."""


def prepare() -> None:
    """Settings of the libraries below, before they are first used.

    oneDNN keeps the compiled kernels of the last 1,024 shapes; batches of many lengths fill that with
    hundreds of MB for no measurable speed.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")


def device() -> torch.device:
    """The accelerator if there is one, else the processor."""
    if torch.accelerator.is_available():
        current = torch.accelerator.current_accelerator()
        if current is not None:
            return current
    return torch.device("cpu")


def tokens_at_once(on: torch.device) -> int | None:
    """Tokens that go through a model together in training; None where a batch goes as it is."""
    return TOKENS_AT_ONCE if on.type == "cpu" else None


def random_state() -> dict[str, torch.Tensor]:
    """The random generators of the processor and, where there is one, the GPU; uint8 tensors."""
    device_state = {"device": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {}
    return {"cpu": torch.get_rng_state(), **device_state}


def set_random_state(state: Mapping[str, torch.Tensor]) -> None:
    torch.set_rng_state(state["cpu"])
    if "device" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["device"])


def choose_precision(asked: str, on: torch.device, hidden_size: int, emit: Emit, *, by_channel: bool = False) -> str:
    """'fp32' or 'bf16'. With 'auto', the faster one.

    A processor of the x86 family is asked for its instructions, so that one seed gives the same weights however busy
    the machine is; others are measured, on a product of the model's own shape. `by_channel`: the network has
    convolutions of each channel alone, whose gradients take a third longer in bf16.
    """
    choice, why = (asked, "asked for") if asked != "auto" else _faster(on, hidden_size)
    if asked == "auto" and by_channel and on.type == "cpu":
        choice, why = "fp32", "convolutions of each channel alone learn faster so"
    emit(Decided("precision", choice, why))
    return choice


def _faster(on: torch.device, hidden_size: int) -> tuple[str, str]:
    """The faster number format, and how that is known."""
    if on.type == "cuda":
        good = torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16" if good else "fp32", "what this GPU computes natively"
    if platform.machine() in ("x86_64", "AMD64"):
        if not torch.cpu._is_avx512_bf16_supported():
            return "fp32", "no bf16 instructions"
        if hidden_size < _BF16_WIDTH:
            return "fp32", f"a model of width {hidden_size}"
        return "bf16", "this processor multiplies in bf16"
    ratio = seconds_per_product(torch.float32, hidden_size) / seconds_per_product(torch.bfloat16, hidden_size)
    why = f"bf16 matrix products ran {ratio:.1f}x as fast as fp32 on this machine"
    return "bf16" if ratio >= _WORTH_IT else "fp32", why


def seconds_per_product(dtype: torch.dtype, hidden_size: int, budget: float = 0.12) -> float:
    """Best time of one [1024, h] x [h, 4h] product, measured for about `budget` seconds."""
    left = torch.randn(1024, hidden_size).to(dtype)
    right = torch.randn(4 * hidden_size, hidden_size).to(dtype)
    torch.nn.functional.linear(left, right)
    best, end = float("inf"), time.perf_counter() + budget
    while time.perf_counter() < end:
        start = time.perf_counter()
        torch.nn.functional.linear(left, right)
        best = min(best, time.perf_counter() - start)
    return best


def peak_memory_bytes() -> int:
    """Most memory that this process held at once (the device's where there is one)."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    if sys.platform == "linux":
        # getrusage also counts what the process was before it became this program: its parent's memory
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def release_memory() -> None:
    """Give freed memory back to the system: after many shapes glibc keeps hundreds of MB. A few ms."""
    if sys.platform == "linux":
        try:
            ctypes.CDLL("libc.so.6").malloc_trim(0)
        except (OSError, AttributeError):
            return  # another C library: nothing is lost but the memory


def check_disk(folder: Path, checkpoint_bytes: int) -> None:
    """Refuse to start where two checkpoints would not fit. Raises UsageError."""
    free = shutil.disk_usage(folder).free
    needed = 2 * checkpoint_bytes
    if free < needed:
        raise UsageError(
            f"The disk of {folder} has {_size(free)} free; two checkpoints need {_size(needed)}.",
            "Free some space, or choose a folder on another disk with --out.",
        )


def memory_bytes() -> int:
    """Memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _size(size: float) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
