"""Networks as their configs have them, without the weights of their files: enough to know what a run on them takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_DEVICE: ContextVar[str | None] = ContextVar("bare", default=None)


@contextmanager
def without_weights(on: str = "meta") -> Iterator[None]:
    """Loaders give networks of the shape that they would have, made on that device (meta: without storage), and read
    of a model no more than its config and what says how its inputs are made."""
    import torch

    token = _DEVICE.set(on)
    try:
        with torch.device(on):
            yield
    finally:
        _DEVICE.reset(token)


@contextmanager
def with_weights() -> Iterator[None]:
    """Inside of that, what is made and kept is made as it is elsewhere."""
    if _DEVICE.get() is None:
        yield
        return
    import torch

    token = _DEVICE.set(None)
    try:
        with torch.device("cpu"):
            yield
    finally:
        _DEVICE.reset(token)


def device() -> str | None:
    """Where networks are made; None where they are read from their files."""
    return _DEVICE.get()
