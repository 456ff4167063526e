"""What a training step holds in memory, and how many operations it takes, from a model's config alone.

Weights, moments and gradients are counted; activations are not guessed from a formula but taken from the network
itself, run on shapes (`engine.meta_model`).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

from tunesmith.engine.meta_model import MetaModel
from tunesmith.engine.meta_network import MetaNetwork, Parameters

PROCESS_BYTES = 880e6
"""The interpreter with every library imported (590 MB of resident memory), their first kernels, and what a run
holds beside its training: rows, evaluation, report. Measured on models of 0.3 to 33 million weights."""
GPU_BYTES = 800e6
"""What a CUDA context and the libraries' workspaces take of a GPU."""
NF4_BYTES = (4 + 8 / 64 + 32 / (64 * 256)) / 8
"""Bytes of a weight in NF4 with double quantisation (Dettmers et al. 2023, section 3): 4.127 bits."""
_MOMENTS = 8  # bytes: AdamW's two moments in float32
_HOLES = 0.5
"""The heap of a processor keeps holes about this large a part of what one block makes and drops; measured."""
_GPU_SPARE = 0.1  # of gradients and activations: what PyTorch's allocator holds unused; assumed
_CHECKPOINTS = 3  # the two newest and the best
MANY_ROWS = 1_024
"""Larger batches are not looked for."""


@dataclass(frozen=True)
class Memory:
    """Bytes at the moment when most is held. `total` is their sum."""

    process: float
    weights: float
    optimizer: float
    gradients: float
    activations: float

    @property
    def total(self) -> float:
        return self.process + self.weights + self.optimizer + self.gradients + self.activations


def peak_bytes(meta_model: MetaNetwork, rows: int, length: int, *, gpu: bool = False) -> Memory:
    """Most memory that training holds at once, on batches of `rows` rows of `length` tokens.

    Either in the middle of the backward pass (activations, and the gradients that are there already)
    or when all gradients stand in float32 before the optimizer.
    """
    recipe, moving = meta_model.recipe, meta_model.parameters.trainable
    step, made = meta_model.step_bytes(rows, length)
    if recipe.packed:
        step += 2 * meta_model.parameters.largest_linear  # one layer at a time is unpacked
    whole = 4.0 * moving
    gradients = whole if whole >= step else min(step, moving * meta_model.dtype.itemsize)
    alive = max(whole, step)
    return Memory(
        process=GPU_BYTES if gpu else PROCESS_BYTES,
        weights=weight_bytes(meta_model),
        optimizer=_MOMENTS * moving,
        gradients=gradients,
        activations=alive - gradients + (_GPU_SPARE * alive if gpu else _HOLES * made),
    )


def weight_bytes(meta_model: MetaNetwork) -> float:
    """Weights as the products read them, and the float32 masters behind those that move."""
    counted, recipe = meta_model.parameters, meta_model.recipe
    everything = sum(p.numel() for p in meta_model.weights)
    if recipe.packed:
        packed = counted.linear * NF4_BYTES
        return packed + 2.0 * (everything - counted.linear) + 4.0 * meta_model.masters
    if recipe.precision != "bf16":
        return 4.0 * everything
    return 2.0 * everything + 4.0 * (everything if recipe.float32_base else meta_model.masters)


def largest_batch(meta_model: MetaNetwork, length: int, limit: float, *, gpu: bool = False) -> int:
    """Most rows of `length` tokens whose training stays below `limit` bytes, at most `MANY_ROWS`; 0 when
    one row does not. Memory grows ever steeper with rows, so one and two rows bound the search."""

    @functools.cache
    def need(rows: int) -> float:
        return peak_bytes(meta_model, rows, length, gpu=gpu).total

    if need(1) > limit:
        return 0
    bound = 1 + (limit - need(1)) / max(1.0, need(2) - need(1))
    fits, over = 1, math.floor(min(bound, MANY_ROWS))
    if need(over) <= limit:
        return over
    while over - fits > 1:  # a step is simulated for each look: where the chord meets the limit, then halfway
        chord = fits + (over - fits) * (limit - need(fits)) / (need(over) - need(fits))
        near = min(max(math.floor(chord), fits + 1), over - 1)
        if need(near) <= limit < need(near + 1):
            return near
        for rows in (near, (fits + over) // 2):
            if fits < rows < over:
                fits, over = (rows, over) if need(rows) <= limit else (fits, rows)
    return fits


def checkpoint_bytes(parameters: Parameters) -> float:
    """A checkpoint: the moving weights in float32 and their two moments."""
    return 12.0 * parameters.trainable


def disk_bytes(parameters: Parameters, saved: float, caches: float) -> dict[str, float]:
    """'checkpoints', 'model', 'caches' and their 'total'. `saved`: weights of the finished model."""
    parts = {"checkpoints": _CHECKPOINTS * checkpoint_bytes(parameters), "model": 4.0 * saved, "caches": caches}
    return {**parts, "total": sum(parts.values())}


def operations_per_token(meta_model: MetaModel, length: int, learned: float = 1.0) -> tuple[float, float]:
    """Operations for each token of a forward pass alone, and of a training step.

    2 a weight forward, 2 for the gradient that goes on to the inputs, 2 for that of a weight that moves
    (Kaplan et al. 2020, table 1); logits and recomputed blocks count twice forward. `learned` is the share of
    tokens that have logits. For encoder-decoders a token is one that is read and one that is written.
    """
    counted, recipe = meta_model.parameters, meta_model.recipe
    text = meta_model.config.get_text_config()
    blocks = counted.total - counted.embedding - (0 if meta_model.tied else counted.head)
    # queries times keys, and scores times values; an encoder-decoder has three of them
    scores = 4.0 * length * int(text.num_hidden_layers) * int(text.hidden_size)
    through = 2.0 * blocks + scores * (3 if meta_model.kind == "seq2seq" else 1)
    logits = 2.0 * counted.head * learned if meta_model.kind != "classification" else 0.0
    moving = 1 - meta_model.frozen
    if not moving and meta_model.kind == "classification":
        return through, 0.0  # the head alone, on features that are computed once
    # the frozen bottom of an encoder is run once, of a language model in every step
    forward = through * (moving if meta_model.kind == "classification" else 1)
    again = through * moving if recipe.checkpointing else 0.0
    backward = (through + scores) * moving + 3 * logits
    trained = counted.trainable - sum(table.numel() for table in meta_model.tables.values() if table.requires_grad)
    if meta_model.kind != "classification" and meta_model.head.weight.requires_grad:
        trained -= 0 if meta_model.tied else counted.head
        backward += logits  # for the output layer's own gradient
    return through + logits, forward + again + backward + 2.0 * trained
