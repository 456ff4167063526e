"""Weights are pulled back to where they started: L2-SP (Li, Grandvalet & Davoine 2018, section 3.2)."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tunesmith.core.options import Options
from tunesmith.engine.anchored import Anchored
from tunesmith.engine.retained import ForgettingMonitor, copies, moving_body
from tunesmith.engine.setup import Setup


class L2spOptions(Options):
    l2sp_strength: float = Field(default=0.1, ge=0)
    """Penalty of l2sp: strength/2 times the sum of squared distances of the weights from their start."""


class L2sp(Anchored):
    Options = L2spOptions
    summary: ClassVar[str] = "against forgetting: pull the weights back to where they started (L2-SP)"

    def on_setup(self, setup: Setup, monitor: ForgettingMonitor) -> None:
        self._hold(copies(moving_body(setup.model)), self.options.l2sp_strength, None)
