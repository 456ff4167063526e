"""The one TABLE of metrics, of every kind of thing that is measured.

To add a metric: one function and one line in the table of its kind; values, intervals, comparison, report, card,
`metrics.json` and the conformance tests follow (`evaluate.measured`). To add a kind: a table here. Another package
brings a metric with an entry point in the group `tunesmith.metrics` that names a `Metric`.
"""

from __future__ import annotations

from collections.abc import Iterable

from tunesmith.core import registry
from tunesmith.core.errors import OptionError, did_you_mean
from tunesmith.core.imports import resolve
from tunesmith.evaluate.metrics import answers, boxes, labels, likelihoods, masks, numbers, relevance, spans, texts
from tunesmith.evaluate.metrics.metric import Metric

TABLE: dict[str, Metric] = (
    labels.TABLE | numbers.TABLE | spans.TABLE | answers.TABLE | boxes.TABLE | masks.TABLE | relevance.TABLE
    | texts.TABLE | likelihoods.TABLE
)  # fmt: skip
"""name -> Metric. The order is the order of tables in the report."""

UNUSABLE: dict[str, str] = {}
"""name -> why not, of metrics that other packages bring: they break nothing, and who asks for one is told."""


def _add_those_of_other_packages() -> None:
    """Those with an entry point in the group `tunesmith.metrics`: a `Metric` each."""
    for name, point in registry.external_plugins("metrics").items():
        try:
            found = resolve(point.value)
        except Exception as error:  # whatever it runs when it is imported
            UNUSABLE[name] = f"can not be loaded from {point.value}: {error}"
            continue
        if isinstance(found, Metric):
            TABLE.setdefault(name, found)
        else:
            UNUSABLE[name] = f"is no `Metric` ({point.value})"


_add_those_of_other_packages()


def names_for(kind: str) -> list[str]:
    """Every metric that fits this kind, in the order of TABLE."""
    return [name for name, metric in TABLE.items() if kind in metric.kinds]


def get(name: str, kind: str | None = None) -> Metric:
    """The metric of that name. Raises OptionError for an unknown one, or one that does not fit `kind`."""
    fitting = TABLE if kind is None else names_for(kind)
    if name not in fitting:
        raise unknown(name, fitting, kind)
    return TABLE[name]


def unknown(name: str, fitting: Iterable[str], kind: str | None = None) -> OptionError:
    if name in UNUSABLE:
        return OptionError(f"The metric {name!r} of another package {UNUSABLE[name]}.", "Correct or uninstall it.")
    of_kind = "" if kind is None else " of texts" if kind == "text" else f" for outcomes of kind {kind!r}"
    return OptionError(f"There is no metric called {name!r}{of_kind}.", did_you_mean(name, fitting))


def higher_is_better(name: str) -> bool:
    """Raises OptionError for an unknown metric, or one that is best in the middle."""
    better = get(name).higher_is_better
    if better is None:
        raise OptionError(f"Of {name}, neither more nor less is better: no run can be chosen by it.")
    return better
