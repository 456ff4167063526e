"""A kind of target without labels: each of its rows is a target of its own."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tunesmith.data import labels
from tunesmith.data.labels import TargetIndex
from tunesmith.runs import choose


class _Boxes:
    labelled = False


def test_targets_without_labels_set_no_row_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (labels, choose):
        monkeypatch.setattr(module, "kind_named", lambda kind: _Boxes())
    index = TargetIndex.of(pa.chunked_array([[[1.0, 2.0]], [[1.0, 2.0], []]]), "boxes")
    assert (index.names, index.sets, index.values) == (None, [], None)
    assert np.array_equal(index.codes, [0, 1, 2])
    assert np.array_equal(index.strata(), [0, 0, 0])
    assert choose.median_per_label("boxes", [[1.0], [2.0]]) == 2
    assert labels.find_conflicts(pa.table({"row_id": [0, 1, 2]}), "text", index, index.codes) == ([], 0, 0)
