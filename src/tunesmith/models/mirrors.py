"""Further looks at a picture: at its mirror images, where nothing is learned (test-time flips)."""

from __future__ import annotations

from torch import Tensor

WIDTH, HEIGHT = 3, 2
"""Axes of pictures [b, 3, height, width] and of maps."""
Axes = tuple[int, ...]


class Mirrored:
    """A model of pictures that puts together what it sees in a picture and in mirror images of it."""

    mirrors: tuple[Axes, ...] = ()
    """The axes along which a picture is turned over, for each further look."""
    training: bool

    def looks(self, pixels: Tensor) -> list[tuple[Tensor, Axes]]:
        """`pixels` as they are and, except while something is learned, each of their mirror images, with its axes."""
        turned = () if self.training else self.mirrors
        return [(pixels, ()), *((pixels.flip(axes), axes) for axes in turned)]
