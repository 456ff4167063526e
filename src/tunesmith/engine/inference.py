"""The model over many rows without training: predictions, and frozen features kept on disk."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from tunesmith.core.files import new_file, own_folder
from tunesmith.engine.batching import TOKENS_AT_ONCE, by_length
from tunesmith.engine.encoded import EncodedItems, ranges
from tunesmith.engine.hardware import release_memory
from tunesmith.engine.packed import packed
from tunesmith.engine.precision import working
from tunesmith.engine.tokens import EncodedRows, HiddenStates
from tunesmith.models.model import Model

TIDY_BATCHES = 16
"""Freed memory is given back every so many batches."""
SAMPLE = 128
"""Most rows computed in both precisions to see how far they differ; an eighth of fewer, or 32."""
_MOST_UNSURE = 0.3
"""Share of the sample from which on computing the unsure ones twice takes longer than computing all in float32."""
_Answer = TypeVar("_Answer")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """No dropout, no gradients; training mode is put back after."""
    before = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(before)


@contextmanager
def answering(model: Model, precision: str) -> Iterator[None]:
    """`evaluating` in `precision` arithmetic, and as quick as that goes; float32 weights as they were after it."""
    with evaluating(model), working(model, precision, model.float32_names), packed(model, TOKENS_AT_ONCE):
        yield


def run_rows(
    compute: Callable[[dict[str, Tensor]], Tensor],
    rows: EncodedItems,
    positions: np.ndarray,
    *,
    on: torch.device,
    into: np.ndarray | RowFile | None = None,
    check: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """`compute(batch)` [answers, ...] for all `positions`, in their order: float32, or whole numbers as they are.

    Batches are rows of similar length; when memory runs out the batch is halved. With `into`
    [rows.answer_count, d] results go to their own places there instead, and nothing is returned.
    `check` is called before the first batch and after each, and may raise.
    """
    lengths = rows.lengths[positions] if rows.features is None else np.ones(len(positions), dtype=np.int64)
    batches = list(by_length(lengths))
    counts = rows.counts(positions)
    total = len(positions) if counts is None else int(counts.sum())
    starts = None if counts is None else np.cumsum(counts) - counts
    result: np.ndarray | None = None

    @torch.no_grad()
    def values_of(some: np.ndarray) -> np.ndarray:
        values = compute(to_device(rows.collate(positions[some]), on))
        return (values.float() if values.is_floating_point() else values).cpu().numpy()

    def computed(some: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        return in_memory(values_of, some)

    with _taking_turns(computed, batches, on) as answers:
        check()
        for number, answer in enumerate(answers):
            check()
            if number % TIDY_BATCHES == 0:
                release_memory()
            for some, values in answer:
                if into is not None:
                    into[rows.places(positions[some])] = values
                    continue
                if result is None:
                    result = np.empty((total, *values.shape[1:]), dtype=values.dtype)
                places = some if counts is None or starts is None else ranges(starts[some], counts[some])
                result[places] = values
    return result if result is not None else np.empty((0, 0), dtype=np.float32)


def in_memory(compute: Callable[[np.ndarray], _Answer], some: np.ndarray) -> list[tuple[np.ndarray, _Answer]]:
    """What `compute` says of some items, int64 [n]: of all at once, or of halves of them where memory runs out."""
    try:
        return [(some, compute(some))]
    except (RuntimeError, MemoryError) as error:
        if len(some) == 1 or not is_out_of_memory(error):
            raise
    half = len(some) // 2  # not within the handler: what failed holds its memory until that is left
    return [*in_memory(compute, some[:half]), *in_memory(compute, some[half:])]


class RowFile:
    """A new .npy file of float32 rows [n, d] that are written to their places as they come; zeros elsewhere.

    Written, not mapped: a process that writes to a map of a full disk is killed, while a write can be refused.
    """

    def __init__(self, file: IO[bytes], shape: tuple[int, int]):
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": shape}
        )  # fmt: skip
        self._file, self._begin, self._row_bytes = file, file.tell(), 4 * shape[1]
        file.truncate(self._begin + shape[0] * self._row_bytes)

    def __setitem__(self, positions: np.ndarray, values: np.ndarray) -> None:
        for position, row in zip(positions, np.ascontiguousarray(values, dtype="<f4"), strict=True):
            self._file.seek(self._begin + int(position) * self._row_bytes)
            self._file.write(row.data)


@contextmanager
def _taking_turns(
    compute: Callable[[np.ndarray], _Answer], batches: Sequence[np.ndarray], on: torch.device
) -> Iterator[Iterator[_Answer]]:
    """What `compute` says of each batch, in order.

    On a processor each core computes batches of its own: cores that share every small product wait for each other a
    fifth of the time.
    """
    cores = torch.get_num_threads()
    workers = min(cores, len(batches)) if on.type == "cpu" else 1
    if workers < 2:
        yield map(compute, batches)
        return
    try:
        with (
            ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(cores // workers,)) as pool,
            closing(cast(Generator[_Answer], pool.map(compute, batches))) as answers,  # closed, it drops what waits
        ):
            yield answers
    finally:
        torch.set_num_threads(cores)


def run_rows_quickly(
    model: Any,
    rows: EncodedItems,
    unsure: Callable[[np.ndarray, float], np.ndarray],
    *,
    on: torch.device,
) -> np.ndarray:
    """Logits float32 [rows.answer_count, outputs]: in bf16 where the answer is clear, in float32 elsewhere.

    Up to `SAMPLE` rows are computed both ways; twice their largest difference bounds the error of a logit.
    `unsure(logits, bound)` bool [answers] says which answers an error of that size could change. Where that is so of
    many of the sample, everything is computed in float32.
    """
    sample = np.linspace(0, len(rows) - 1, min(SAMPLE, max(32, len(rows) // 8))).astype(np.int64)
    sample = np.unique(sample)
    rest = np.setdiff1d(np.arange(len(rows)), sample)
    with answering(model, "fp32"):
        exact = run_rows(model, rows, sample, on=on)
    with answering(model, "bf16"):
        rough = run_rows(model, rows, sample, on=on)
        bound = 2 * float(np.abs(exact - rough).max())
        quick = np.isfinite(bound) and unsure(exact, bound).mean() <= _MOST_UNSURE
        logits = np.empty((rows.answer_count, *exact.shape[1:]), dtype=exact.dtype)
        logits[rows.places(sample)] = exact
        if quick and len(rest):
            logits[rows.places(rest)] = run_rows(model, rows, rest, on=on)
    if quick:
        rest = np.intersect1d(rest, _rows_of(rows, unsure(logits, bound)))
    if len(rest):
        with answering(model, "fp32"):
            logits[rows.places(rest)] = run_rows(model, rows, rest, on=on)
    return logits


def _rows_of(rows: EncodedItems, chosen: np.ndarray) -> np.ndarray:
    """Positions of the rows with an answer that is `chosen`, bool [rows.answer_count]."""
    found = np.flatnonzero(chosen)
    if rows.answers is None:
        return found
    return np.unique(np.searchsorted(np.cumsum(rows.answers), found, side="right")).astype(np.int64)


def frozen_bottom(
    model: Any,
    rows: EncodedRows,
    batches: Sequence[np.ndarray],
    depths: Sequence[int],
    *,
    folder: Path,
    fingerprint: str,
    precision: str,
    on: torch.device,
    check: Callable[[], None] = lambda: None,
) -> list[HiddenStates]:
    """Token states after the lowest blocks, which no training step will change: after as many as each of `depths`,
    ascending, says.

    Computed once for the rows of `batches` (positions), in these batches: a product rounds by what it is computed
    with, so states that are to be those of the training itself are made in its own batches. Kept in `folder` under
    a name made of everything they depend on.
    """
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    positions = np.concatenate([*batches, np.zeros(0, dtype=np.int64)])
    key = _key(rows, positions, f"{fingerprint} {precision} {[len(batch) for batch in batches]}")
    paths = {depth: folder / f"hidden-{key}-{depth}.bin" for depth in depths}
    size = model.hidden_size
    if not all(path.exists() for path in paths.values()):
        own_folder(folder)
        with ExitStack() as stack:
            stack.enter_context(answering(model, precision))
            files = {depth: stack.enter_context(new_file(path, durable=False)) for depth, path in paths.items()}
            for number, some in enumerate(batches):
                check()
                if number % TIDY_BATCHES == 0:
                    release_memory()
                batch = to_device(rows.collate(some), on)
                for depth, file in files.items():
                    batch |= {"hidden": model.bottom(batch, depth), "blocks": torch.tensor(depth)}
                    _write_states(file, batch["hidden"].to(dtype), rows, some)
    known = np.zeros(len(rows), dtype=bool)
    known[positions] = True
    return [HiddenStates(path, size, depth, dtype, known) for depth, path in paths.items()]


def _write_states(file: IO[bytes], states: Tensor, rows: EncodedRows, positions: np.ndarray) -> None:
    """States [rows, length, hidden] of the rows at `positions` to their places, without those of padding."""
    raw = states.cpu().contiguous().view(torch.uint8).numpy()
    for i, position in enumerate(positions):
        start, end = int(rows.offsets[position]), int(rows.offsets[position + 1])
        file.seek(start * raw.shape[2])
        file.write(raw[i, : end - start].tobytes())


def _key(rows: EncodedItems, positions: np.ndarray, words: str) -> str:
    digest = hashlib.sha256(words.encode())
    for array in (*rows.content, positions):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:24]


def frozen_features(
    model: Any,
    rows: EncodedItems,
    positions: np.ndarray,
    *,
    folder: Path,
    fingerprint: str,
    precision: str,
    on: torch.device,
    check: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """What the head reads from the body as it is now, float32 [rows.answer_count, hidden], zeros elsewhere.

    Only `positions` are computed (the file is sparse). Computed once, kept in `folder` under a name
    made of `fingerprint` (of the model), the rows, the positions and the precision; the same
    question again is answered from disk.
    """
    own_folder(folder)
    path = folder / f"features-{_key(rows, positions, f'{fingerprint} {precision} {model.pooling}')}.npy"
    if path.exists():
        return np.load(path, mmap_mode="r")
    with new_file(path, durable=False) as file, answering(model, precision):
        into = RowFile(file, (rows.answer_count, model.width))
        run_rows(model.features, rows, positions, on=on, into=into, check=check)
    return np.load(path, mmap_mode="r")


def parts(features: np.ndarray, positions: np.ndarray) -> Iterator[np.ndarray]:
    """Features at `positions`, ascending, in pieces: each row read maps its neighbours too, and of scattered rows
    that would soon be the whole file."""
    for start in range(0, len(positions), 10_000):
        yield features[positions[start : start + 10_000]]
        forget_pages(features)


def gather(features: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """A copy of the features at `positions`, ascending, float32 [len(positions), hidden]."""
    return np.concatenate([features[:0], *parts(features, positions)])


def forget_pages(array: np.ndarray) -> None:
    """Let go of what was read or written of a memory map: it stays in the file, and would else stay in memory
    too, up to the whole file."""
    owner = array.base if isinstance(array, np.memmap) else None
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that a smaller batch might work."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return "out of memory" in text or "can't allocate memory" in text or "not enough memory" in text


def to_device(batch: dict[str, Tensor], on: torch.device) -> dict[str, Tensor]:
    return {name: tensor.to(on, non_blocking=True) for name, tensor in batch.items()}
