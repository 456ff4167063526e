"""Whether targets stay when rows are changed: asked of a linear head on the frozen base, on training rows alone."""

from __future__ import annotations

import numpy as np

from tunesmith.engine.batching import sample
from tunesmith.engine.encoded import EncodedItems
from tunesmith.engine.inference import gather
from tunesmith.engine.invariance import Ask, Invariance
from tunesmith.evaluate.measured import value_of
from tunesmith.evaluate.metrics import higher_is_better
from tunesmith.families.predictive import linear_head
from tunesmith.families.predictive.context import PredictiveRun

_ASKED = 200
"""Training rows that are asked, changed and as they are; a third of all where there are fewer than thrice as many."""
_FITTED = 2_000


def ask(run: PredictiveRun) -> Ask | None:
    """What the head makes of changed rows; None where no linear head gives the answers, or too few rows say so."""
    positions = run.data.splits["train"]
    if not run.has_probe or run.rows.answers is not None or len(positions) < 6:
        return None
    known = sample(positions, run.probe_rows, run.plan.spec.seed)  # whose features were computed
    drawn = sample(known, _ASKED + _FITTED, run.plan.spec.seed)
    order = np.random.default_rng(run.plan.spec.seed).permutation(drawn)
    count = min(_ASKED, len(order) // 3)
    asked, fitted = np.sort(order[:count]), np.sort(order[count:])
    metric = run.plan.task.metrics[0]

    def score(logits: np.ndarray) -> float:
        return float(value_of(run.measured_at(asked, logits), metric) or 0.0)

    def answer(changed: EncodedItems) -> Invariance:
        plain = gather(run.features_of_base, asked)
        targets = run.rows.targets
        assert targets is not None
        found = linear_head.solution(
            run.plan, run.bundle, (gather(run.features_of_base, fitted), plain), (targets[fitted], targets[asked]),
            run.stop.check, choose_penalty=False,
        )  # fmt: skip
        before, after = found.logits(plain), found.logits(run.features(changed, asked))
        constant = np.repeat(before.mean(0, keepdims=True), len(before), 0)
        return Invariance(
            metric, score(before), score(after), score(constant), len(asked), higher_is_better(metric)
        )  # fmt: skip

    return answer
