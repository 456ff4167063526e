"""What a run with an answer for each row costs, as far as that differs by family."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tunesmith.core.errors import OptionError
from tunesmith.core.events import Emit
from tunesmith.core.spec import RunSpec
from tunesmith.data.prepared import PreparedData
from tunesmith.engine import batching
from tunesmith.engine.meta_model import MetaModel
from tunesmith.engine.meta_network import Parameters
from tunesmith.engine.protocols import Method
from tunesmith.families.plan_data import SAMPLE, DataSummary, Texts, spread
from tunesmith.families.plan_pictures import DECODED, Pictures
from tunesmith.families.predictive.frozen_prefix import CACHE_BYTES
from tunesmith.families.predictive.settle import check_model, settle_plan
from tunesmith.models.lengths import USUAL
from tunesmith.models.types import Config, Tokenizer
from tunesmith.runs.reading import read
from tunesmith.runs.settle import Plan


class Rows(DataSummary):
    """Rows with a text, or two, and an answer."""

    @property
    def batch_rows(self) -> tuple[int, int]:  # type: ignore[override]
        rows: tuple[int, int] = self.settled.task.batch_rows
        return rows

    batch_tokens = batching.TOKENS
    plain_attention = True
    cuts_unasked = True

    def read(self, config: Config, tokenizer: Tokenizer | None) -> Texts:
        texts = [" ".join(cell for cell in row.values() if cell) for row in self.some]
        return Texts("classification", self.rows, texts, [])

    def limit(self, reads: int, usual: int | None) -> int:
        return usual or min(reads, USUAL)

    def float32_base(self, method: Method) -> bool:
        return True

    def saved(self, parameters: Parameters, method: Method) -> int:
        return parameters.total

    def feature_bytes(self, meta_model: MetaModel, tokens: int, frozen: Sequence[float]) -> float:
        hidden = int(meta_model.config.get_text_config().hidden_size)
        states = len({share for share in frozen if 0 < share < 1})
        return 4.0 * hidden * self.rows + min(CACHE_BYTES, states * meta_model.dtype.itemsize * hidden * tokens)


def look(data: object, spec: RunSpec, folder: Path, emit: Emit) -> Rows | Pictures:
    """See `runs.protocols.Family`."""
    prepared = read(spec.data if data is None else data, spec, folder, emit=emit)
    plan = settle_plan(spec, prepared, emit)
    return summary_of(prepared, plan, check_model(plan, emit, weights=False))


def summary_of(prepared: PreparedData, plan: Plan, unchecked: Sequence[str]) -> Rows | Pictures:
    """What is known of prepared rows and the run that they would make. Raises OptionError for what is neither texts nor
    pictures."""
    modality = prepared.modality
    if not modality.in_tokens and not modality.in_pixels:
        raise OptionError(
            f"plan counts tokens or pixels, and {modality.nouns} are read as neither.",
            "`tunesmith check` says what a run would do; its first lines say what it needs.",
        )
    splits = {name: len(rows) for name, rows in prepared.splits.items()}
    in_tokens = modality.in_tokens
    inputs = [name for name in modality.roles if name in prepared.rows.column_names]
    places = spread(len(prepared.rows), SAMPLE if in_tokens else DECODED)
    some = list(prepared.rows.select_columns(inputs).select(places))
    found = prepared.columns.kind, splits, some, plan, tuple(unchecked)
    return Rows(*found) if in_tokens else Pictures(*found)
