"""What is done with generative data and models beside training: check, convert, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np

from tunesmith.core.errors import DataError, OptionError, Problem
from tunesmith.core.events import Emit, ignore
from tunesmith.core.files import scratch
from tunesmith.data.conversations import Examples, read_examples
from tunesmith.data.conversations import convert as converted
from tunesmith.data.types import ReadOptions
from tunesmith.engine.batching import TOKENS_AT_ONCE
from tunesmith.engine.likelihood import likelihoods
from tunesmith.engine.sequences import SequenceWriter
from tunesmith.evaluate.measured import RowStatistics, with_intervals
from tunesmith.families.generative.corpus import asked_form
from tunesmith.families.generative.items import fit, start_token
from tunesmith.families.generative.predictor import TextGenerator, references, within, written_rows

CONVERT_TARGETS = ("openai", "sharegpt", "alpaca", "messages", "gemini")


def convert(source: str, out: str | Path, to: str, *, emit: Emit = ignore) -> int:
    """Write generative data in another format; returns the number of examples. Raises DataError, OptionError."""
    if to not in CONVERT_TARGETS:
        raise OptionError(f"--to {to}: expected one of {', '.join(CONVERT_TARGETS)}.")
    if not Path(out).resolve().parent.is_dir():
        raise OptionError(f"{out}: the folder {Path(out).parent} does not exist.", "Create it first.")
    return converted(source, out, to, emit=emit)


def evaluate(
    folder: Path | TextGenerator, data: Any, *, seed: int = 0, emit: Emit = ignore, reading: ReadOptions | None = None
) -> dict[str, Any]:
    """Token metrics of a finished run on other data, and those of its written answers for up to 200 rows."""
    model = folder if isinstance(folder, TextGenerator) else TextGenerator.load(folder)
    # as it was read to be learned
    examples = read_examples(data, emit=emit, form=asked_form(model.mark["task"]), reading=reading)
    if examples.form not in model.task.forms:
        raise DataError(
            Problem(
                f"the data is of the form {examples.form!r}, and the run learned {model.mark['form']!r}",
                examples.files[0],
            )
        )
    if model.task.sequences_per_item > 1:
        raise OptionError(
            f"evaluate: a run of the task {model.mark['task']} is measured against its base, which this command lacks.",
            "See metrics.json of the run, or train with --test FILE.",
        )
    metrics = with_intervals(statistics(model, examples), seed=seed)
    if examples.form != "text":
        some = [examples[i] for i in range(min(200, len(examples)))]
        limit = int(model.mark["max_length"])
        asked = [within(model.codec.prompt(example).tolist(), limit, model.bundle.kind) for example in some]
        answers = model.continued(asked)
        written = written_rows(answers, references(model.codec, some))
        metrics |= with_intervals(written, seed=seed)
    return {"rows": len(examples), "metrics": metrics}


def statistics(model: TextGenerator, examples: Examples) -> RowStatistics:
    """What the token metrics are made of, by example; of a task that needs no reference."""
    limit, bundle = int(model.mark["max_length"]), model.bundle
    with scratch() as place:
        writer = SequenceWriter(place)
        for example in examples:
            for one, source in model.task.encode(example, example, model.codec, limit):
                fitted = fit(one, source, limit, "truncate", example["row"] - 1, {})
                if fitted is not None:
                    writer.add(fitted[0], example["row"] - 1, fitted[1])
        rows = writer.close(
            bundle.tokenizer.pad_token_id, pairs=bundle.kind == "seq2seq", start_token_id=start_token(bundle)
        )
        device = next(bundle.model.parameters()).device
        found = likelihoods(bundle.model, rows, np.arange(len(rows)), on=device, tokens_at_once=TOKENS_AT_ONCE)
    return cast(RowStatistics, model.task.statistics(found))
