"""Work for one core while the others wait for each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Generic, TypeVar

import torch

from tunesmith.core.events import Emit, Event

T = TypeVar("T")

_SECONDS = 0.1
"""Between looks at whether the run should stop."""


class BackgroundTask(Generic[T]):
    """`compute(emit)` on a thread of its own, begun at once."""

    def __init__(self, compute: Callable[[Emit], T]):
        self._said: list[Event] = []
        pool = ThreadPoolExecutor(max_workers=1)
        self._future = pool.submit(compute, self._said.append)
        pool.shutdown(wait=False)

    def wait(self, check: Callable[[], None]) -> None:
        """Until it is done, or `check`, which is called now and then, raises."""
        while wait([self._future], timeout=_SECONDS).not_done:
            check()

    def result(self, emit: Emit) -> T:
        """What was computed; its events are passed on now, in their order, and what it raised is raised."""
        found = self._future.result()
        while self._said:
            emit(self._said.pop(0))
        return found


@contextmanager
def leave_one_core() -> Iterator[None]:
    """Torch computes on all cores but one: of cores that share a product, the slowest makes all others wait."""
    cores = torch.get_num_threads()
    torch.set_num_threads(max(1, cores - 1))
    try:
        yield
    finally:
        torch.set_num_threads(cores)
