"""Machines that a training may run on: this one, measured, and well-known GPUs, from their data sheets."""

from __future__ import annotations

import csv
import functools
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from tunesmith.core.errors import OptionError, did_you_mean
from tunesmith.core.options import Options
from tunesmith.engine import hardware
from tunesmith.engine.memory import operations_per_token
from tunesmith.engine.meta_model import MetaModel, shrink
from tunesmith.engine.meta_network import Everything, Recipe
from tunesmith.engine.optim import ParameterGroup, make_optimizer
from tunesmith.engine.protocols import Method
from tunesmith.models.attention import use_for_short_rows

HERE = "this machine"
UTILISATION = 0.35
"""Part of a GPU's bf16 peak that fine-tuning steps reach, assumed: PyTorch with fused attention reports 30 to
50 % for dense models on A100 and H100 (Touvron et al. 2023; MosaicML's LLM Foundry tables)."""
_MEMORY_SHARE = 0.95
"""Of a GPU's memory: the driver and the allocator's rounding take the rest."""
_UPDATE_BYTES = 50
"""What an optimizer step reads and writes for each weight that moves: gradients to float32 (6), their norm and
clipping (12), AdamW's weight, gradient and moments (28), and the new working weight (6), less what is cached."""
_LAUNCH_SECONDS = 0.002
"""What a GPU needs for the kernels of one block, forward and backward, however little is in them: some 200 of them
at about 10 microseconds."""
WHOLE_STEPS = 0.77
"""Part of the speed of a few blocks on rows of one length that whole steps on rows of many lengths reach;
measured on a model of 33 million weights, with all of them moving and with LoRA."""
_PROBE_TOKENS = 2_048
_PROBE_WORDS = 32_000
_PROBE_OPERATIONS = 1e11  # a second or two on a few cores
_PROBE_TIMES = 4  # the first of them warms up
_SPEEDS: dict[str, float] = {}
"""What was timed in this process, by shape."""
_UPDATED = 2**22


@dataclass(frozen=True)
class Device:
    """Numbers are bytes, operations per second (dense: without structured sparsity) and bytes per second."""

    name: str
    memory: float
    bf16: float
    """Dense bf16 peak; 0 where the chip has none and computes in float32."""
    fp32: float
    bandwidth: float

    @property
    def peak(self) -> float:
        return self.bf16 or self.fp32


def _listed() -> Iterator[Device]:
    """From gpus.csv, which has the units of data sheets. Peaks there are those with float32 accumulation and without
    sparsity: data sheets that print only the sparse number are halved, and GeForce cards run bf16 with float32
    accumulation at half of their fp16 number."""
    with Path(__file__).with_name("gpus.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            memory, bf16, fp32, bandwidth = (float(row[name]) for name in
                                             ("memory_gib", "bf16_tflops", "fp32_tflops", "bandwidth_gbs"))  # fmt: skip
            yield Device(row["name"], memory * 2**30, bf16 * 1e12, fp32 * 1e12, bandwidth * 1e9)


DEVICES = {device.name: device for device in _listed()}


def resolve(name: str) -> Device:
    """The named GPU; case, spaces, underscores and 'NVIDIA' do not matter. Raises OptionError."""
    asked = "-".join(name.lower().replace("_", " ").replace("-", " ").removeprefix("nvidia").split())
    found = DEVICES.get(asked) or next(
        (d for key, d in DEVICES.items() if key.replace("-", "") == asked.replace("-", "")), None
    )
    if found is None:
        raise OptionError(f"--device {name}: there is no device of that name here.", did_you_mean(asked, DEVICES))
    return found


def on_gpu(device: Device | None) -> bool:
    """`None` is this machine."""
    return device is not None or torch.cuda.is_available()


def usable_bytes(device: Device | None) -> float:
    """Memory that a training may take: of this machine's processor, what is free now."""
    if device is not None:
        return device.memory * _MEMORY_SHARE
    if torch.cuda.is_available():
        return float(torch.cuda.get_device_properties(0).total_memory) * _MEMORY_SHARE
    return _free_memory()


def free_disk(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def _free_memory() -> float:
    """Bytes that programs may still take; all of it where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return float(hardware.memory_bytes())
    return float(min(free, hardware.memory_bytes()))


def measured_speed(meta_model: MetaModel, length: int) -> float:
    """Operations per second that training reaches on this machine, with blocks of the model's own shape.

    Networks of one and of three blocks are timed in turn, on random weights and few tokens; the
    difference is what a block takes, and the rest what the word tables take. One shape is timed once in a process:
    the trials of a search and the folds of a test share it.
    """
    recipe = replace(meta_model.recipe, checkpointing=False, tokens_at_once=None, packed=False, freeze=())
    method = _probed(meta_model.method)
    shape = repr((
        meta_model.config.to_json_string(use_diff=False), meta_model.kind, recipe,
        type(method), method.options, length,
    ))  # fmt: skip
    if shape not in _SPEEDS:
        _SPEEDS[shape] = _timed_speed(meta_model, recipe, length)
    return _SPEEDS[shape]


def _timed_speed(meta_model: MetaModel, recipe: Recipe, length: int) -> float:
    words = int(min(meta_model.config.get_text_config().vocab_size, _PROBE_WORDS))
    on = str(hardware.device())
    small = [
        MetaModel(shrink(meta_model.config, blocks, words), meta_model.kind, _probed(meta_model.method), recipe, on=on)
        for blocks in (1, 3)
    ]
    if on == "cpu" and meta_model.kind == "causal" and recipe.attention == "sdpa":  # as a run has it
        for network in small:
            use_for_short_rows(network.network)
    affordable = _PROBE_OPERATIONS / operations_per_token(small[1], length)[1]
    length = int(max(16, min(length, affordable)))
    rows = int(max(1, min(_PROBE_TOKENS, affordable) // length))
    one, three = (float(np.median(times[1:])) for times in zip(*(
        [_timed(network, rows, length) for network in small] for _ in range(_PROBE_TIMES)
    ), strict=True))  # fmt: skip
    block = max((three - one) / 2, three / 100)
    # the whole network as the recipe would train it without what the operations account for
    blocks = int(meta_model.config.get_text_config().num_hidden_layers)
    each = [operations_per_token(network, length)[1] for network in small]
    operations = each[0] + (blocks - 1) * (each[1] - each[0]) / 2
    return rows * length * operations / (one + (blocks - 1) * block)


def _probed(method: Method) -> Method:
    """The method anew where it adds to every block; where it freezes or unfreezes, all moves, and the operations
    that it saves are counted elsewhere."""
    return type(method)(method.options) if method.adds else Everything(Options())


def _timed(network: MetaModel, rows: int, length: int) -> float:
    start = time.perf_counter()
    network.loss(rows, length).backward()
    _wait()
    return time.perf_counter() - start


@functools.cache
def measured_update() -> float:
    """Seconds that an optimizer step takes on this machine for each weight that moves."""
    weight = torch.nn.Parameter(torch.zeros(1024, _UPDATED // 1024, device=hardware.device()))
    gradient = torch.ones_like(weight, dtype=torch.bfloat16)
    optimizer = make_optimizer([ParameterGroup({"weight": weight}, 1e-4)], 0.01)
    times = []
    for _ in range(_PROBE_TIMES):
        start = time.perf_counter()
        weight.grad = gradient.float()
        torch.nn.utils.clip_grad_norm_([weight], 1.0)
        optimizer.step()
        gradient.copy_(weight.detach())
        _wait()
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:])) / _UPDATED


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@dataclass(frozen=True)
class Pace:
    """How fast a model trains somewhere, and how that is known."""

    operations: float
    """Of the forward and backward pass, per second."""
    update_seconds: float
    """Of an optimizer step, for each weight that moves."""
    how: str
    block_seconds: float = 0.0
    """Least time that one block takes of a step, however small the batch."""


def pace(meta_model: MetaModel, length: int, device: Device | None) -> Pace:
    """Measured on this machine (None); derived from the data sheet for a named GPU."""
    if device is None:
        speed = WHOLE_STEPS * measured_speed(meta_model, length)
        return Pace(speed, measured_update(), "measured here, on a few blocks of this model")
    return of_data_sheet(device)


def of_data_sheet(device: Device) -> Pace:
    how = f"derived, not measured: {UTILISATION:.0%} of the data sheet's {device.peak / 1e12:g} Tflop/s"
    return Pace(device.peak * UTILISATION, _UPDATE_BYTES / device.bandwidth, how, _LAUNCH_SECONDS)


def seconds(
    meta_model: MetaModel, at: Pace, *, length: float, trained: float, read: float, steps: int, learned: float = 1.0
) -> float:
    """Time for `trained` tokens in `steps` optimizer steps, and `read` tokens that are only predicted.

    `length` is the tokens of a usual row, `learned` the share of tokens that have logits.
    """
    forward, training = operations_per_token(meta_model, max(1, round(length)), learned)
    update = meta_model.parameters.trainable * at.update_seconds
    blocks = int(meta_model.config.get_text_config().num_hidden_layers)
    computed = max(trained * training / at.operations, steps * blocks * at.block_seconds)
    return computed + read * forward / at.operations + steps * update
