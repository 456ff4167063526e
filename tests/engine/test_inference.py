"""Many rows without training: in order whoever computed them, stopped at once, halved where memory is short."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from tunesmith.engine.inference import run_rows
from tunesmith.engine.tokens import EncodedRows

CPU = torch.device("cpu")


@pytest.fixture(params=[1, 2, 3])
def cores(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def rows(count: int = 40) -> EncodedRows:
    """Rows of 100 to 900 tokens that all say the row's own number: some twenty batches."""
    lengths = np.random.default_rng(0).integers(100, 900, count)
    return EncodedRows(
        ids=np.repeat(np.arange(count), lengths).astype(np.int32), types=None,
        offsets=np.concatenate([[0], np.cumsum(lengths)]), cut=np.zeros(0, dtype=np.int64), pad_token_id=0,
        targets=np.zeros(count, dtype=np.int64), row_ids=np.arange(count), features=None,
    )  # fmt: skip


def first_token(batch: dict[str, Tensor]) -> Tensor:
    return batch["input_ids"][:, :1].double()


def test_rows_come_back_in_the_order_asked_for(cores: int) -> None:
    asked = np.random.default_rng(1).permutation(40)[:33]
    threads = set()

    def compute(batch: dict[str, Tensor]) -> Tensor:
        assert not torch.is_grad_enabled()
        threads.add(threading.get_ident())
        return first_token(batch)

    found = run_rows(compute, rows(), asked, on=CPU)
    assert found.dtype == np.float32
    assert found[:, 0].tolist() == asked.tolist()
    assert (len(threads) == 1) if cores == 1 else (threading.get_ident() not in threads)
    assert torch.get_num_threads() == cores


def test_a_batch_too_large_for_the_memory_is_halved(cores: int) -> None:
    def compute(batch: dict[str, Tensor]) -> Tensor:
        if len(batch["input_ids"]) > 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return first_token(batch)

    assert run_rows(compute, rows(), np.arange(40), on=CPU)[:, 0].tolist() == list(range(40))


def test_other_errors_come_through(cores: int) -> None:
    def compute(batch: dict[str, Tensor]) -> Tensor:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="do not fit"):
        run_rows(compute, rows(), np.arange(40), on=CPU)
    assert torch.get_num_threads() == cores


def test_a_stop_drops_the_batches_that_wait(cores: int) -> None:
    computed, asked = [], []

    def compute(batch: dict[str, Tensor]) -> Tensor:
        computed.append(1)
        threading.Event().wait(0.01)
        return first_token(batch)

    def check() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_rows(compute, rows(200), np.arange(200), on=CPU, check=check)
    assert len(computed) < 12
