"""What the columns beside the texts are worth to a model: how much worse it is where each of them is another row's."""

from __future__ import annotations

import numpy as np

from tunesmith.core.spec import Words
from tunesmith.engine.tokens import EncodedRows
from tunesmith.evaluate.measured import compute
from tunesmith.evaluate.metrics import higher_is_better
from tunesmith.families.predictive.context import PredictiveRun

TEXT = "the text"
_SHUFFLES = 5


def worth(run: PredictiveRun, logits: np.ndarray) -> list[Words]:
    """Of each column, and of the text, by how much the first metric on the test rows falls where its cells are shuffled
    among them (permutation importance: Breiman 2001), the mean of five times: {"name", "read_as", "lost"}; [] where
    there are no columns. `logits`: the model's own of the test rows."""
    table = run.plan.task.table
    if table is None or not isinstance(run.rows, EncodedRows) or run.rows.table is None:
        return []
    test, model = run.data.splits["test"], run.bundle.model
    weight = model.head.weight[:, model.hidden_size :].detach().float().cpu().numpy()
    cells = run.rows.table[test]
    added = cells @ weight.T
    chance = np.random.default_rng(run.plan.spec.seed)
    orders = [chance.permutation(len(test)) for _ in range(_SHUFFLES)]
    found: list[Words] = []
    start = 0
    for column in table.columns:
        part = slice(start, start + column.width)
        share = cells[:, part] @ weight[:, part].T
        found.append(_lost(run, column.name, column.described, [logits - share + share[order] for order in orders]))
        start += column.width
    of_text = logits - added
    found.append(_lost(run, TEXT, "text", [of_text[order] + added for order in orders]))
    return sorted(found, key=lambda one: -one["lost"])


def _lost(run: PredictiveRun, name: str, read_as: str, shuffled: list[np.ndarray]) -> Words:
    first = run.plan.task.metrics[0]
    sign = 1 if higher_is_better(first) else -1
    before = compute(run.ours["test"], [first]).get(first, 0.0)
    values = [compute(run.measured("test", one, run.thresholds), [first]).get(first, 0.0) for one in shuffled]
    return {"name": name, "read_as": read_as, "lost": sign * (before - float(np.mean(values)))}
