"""What is done with generative data and models beside training: check, convert, evaluate, predict."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tunesmith.core import registry
from tunesmith.core.errors import DataError, OptionError, Problem
from tunesmith.core.events import Decided, Emit, Warned, ignore
from tunesmith.core.options import resolve
from tunesmith.core.spec import RunSpec
from tunesmith.data.conversations import convert as converted
from tunesmith.data.conversations import lint, read_examples, validate
from tunesmith.data.conversations.inputs import Input, open_parts
from tunesmith.data.conversations.messages import Fault
from tunesmith.data.types import SplitOptions
from tunesmith.engine.batching import TOKENS_AT_ONCE
from tunesmith.engine.generate import Sampling
from tunesmith.engine.likelihood import likelihoods
from tunesmith.engine.sequences import SequenceWriter
from tunesmith.evaluate import text_metrics
from tunesmith.models.mask import cut
from tunesmith.workflows import choose, output
from tunesmith.workflows.language_data import asked_form, divided
from tunesmith.workflows.language_items import start_token
from tunesmith.workflows.language_model import Prompt, TextGenerator, prompt_of_row

CONVERT_TARGETS = ("openai", "sharegpt", "alpaca", "messages", "gemini")
_FORMATS = (".jsonl", ".csv")


def check(spec: RunSpec) -> dict[str, Any]:
    """Format, division, every problem and what is advised; trains and loads nothing."""
    decisions: list[dict[str, Any]] = []
    warnings: list[dict[str, Any]] = []

    def listen(event: Any) -> None:
        if isinstance(event, Decided):
            decisions.append({"what": event.what, "value": event.value, "why": event.why})
        elif isinstance(event, Warned):
            warnings.append({"what": event.what, "message": event.message})

    words = {name: value for name, value in spec.options.items() if name in SplitOptions.model_fields}
    options: Any = resolve(words, {"split": SplitOptions})["split"]
    given = {name: path for name in ("validation", "test") if (path := getattr(spec, name))}
    examples = read_examples(
        {"train": spec.data, **given} if given else spec.data, emit=listen, check=False, group=options.group,
        form=asked_form(spec.task),
    )  # fmt: skip
    task = choose.task_of(spec.task, examples.form, examples.format, examples.files[0])
    method = "lora" if spec.method == "auto" else spec.method
    choose.check_family(method, "language")
    resolve(spec.options, choose.parts_of(task, method, spec.callbacks))
    problems = validate(examples)
    splits = {} if problems else {name: len(rows) for name, rows in divided(examples, options, spec.seed).items()}
    return {
        "task": task, "form": examples.form, "format": examples.format,
        "rows": examples.ledger.rows_in, "ledger": examples.ledger.counts(), "splits": splits,
        "problems": [vars(problem) for problem in problems], "advice": lint(examples),
        "decisions": decisions, "warnings": warnings,
    }  # fmt: skip


def convert(source: str, out: str | Path, to: str) -> int:
    """Write generative data in another format; returns the number of examples. Raises DataError, OptionError."""
    if to not in CONVERT_TARGETS:
        raise OptionError(f"--to {to}: expected one of {', '.join(CONVERT_TARGETS)}.")
    if not Path(out).resolve().parent.is_dir():
        raise OptionError(f"{out}: the folder {Path(out).parent} does not exist.", "Create it first.")
    return converted(source, out, to)


def evaluate(folder: Path, data: Any, *, seed: int = 0, emit: Emit = ignore) -> dict[str, Any]:
    """Token metrics of a finished run on other data, and those of its written answers for up to 200 rows."""
    model = TextGenerator.load(folder)
    examples = read_examples(data, emit=emit)
    task = registry.get("tasks", model.mark["task"])
    if examples.form not in task.forms:
        raise DataError(
            Problem(
                f"the data is of the form {examples.form!r}, and the run learned {model.mark['form']!r}",
                examples.files[0],
            )
        )
    if task.sequences_per_item > 1:
        raise OptionError(
            f"evaluate: a run of the task {model.mark['task']} is measured against its base, which this command lacks.",
            "See metrics.json of the run, or train with --test FILE.",
        )
    plugin = task(task.Options(**{k: model.mark[k] for k in ("prefix",) if k in task.Options.model_fields}))
    limit = int(model.mark["max_length"])
    with TemporaryDirectory(prefix="tunesmith-") as place:
        writer = SequenceWriter(Path(place))
        for example in examples:
            for one, source in plugin.encode(example, example, model.codec, limit):
                shorter = cut(one, limit)[0] if one.spans and not source else one
                if shorter is not None:
                    writer.add(shorter, example["row"] - 1, source)
        bundle = model.bundle
        rows = writer.close(
            bundle.tokenizer.pad_token_id, pairs=bundle.kind == "seq2seq", start_token_id=start_token(bundle)
        )
        device = next(bundle.model.parameters()).device
        found = likelihoods(bundle.model, rows, np.arange(len(rows)), on=device, tokens_at_once=TOKENS_AT_ONCE)
    metrics = text_metrics.with_intervals(plugin.statistics(found), seed=seed)
    if examples.form != "text":
        some = [examples[i] for i in range(min(200, len(examples)))]
        answers = model.generate([prompt_of_row(_asked(example)) for example in some])
        written = text_metrics.text_rows(
            [a.text.strip() for a in answers], [model.codec.references(e) for e in some], [a.stopped for a in answers]
        )
        metrics |= text_metrics.with_intervals(written, seed=seed)
    return {"rows": len(examples), "metrics": metrics}


def _asked(example: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in example.items() if value is not None}


def _asked_of(parts: Mapping[str, Sequence[Input]], model: TextGenerator) -> tuple[list[Prompt], list[dict[str, Any]]]:
    """The prompt and the cells of every row. Raises DataError with all rows that can not be asked."""
    prompts, rows = [], []
    refused: list[DataError] = []
    for one in (one for inputs in parts.values() for one in inputs):
        for number, (line, row) in enumerate(one.rows, 1):
            try:
                prompts.append(prompt_of_row(row))
                model.prompt_ids(prompts[-1])
                rows.append(dict(row))
            except (DataError, Fault) as error:
                told = error.problems if isinstance(error, DataError) else [Problem(str(error))]
                placed = [replace(problem, file=one.name, row=number, line=line or None) for problem in told]
                refused.append(DataError(placed, getattr(error, "fix", None)))
    if refused:
        raise DataError([problem for error in refused for problem in error.problems], refused[0].fix)
    return prompts, rows


def predict(folder: Path, data: Any, out: str | Path, sampling: Sampling) -> int:
    """Write every row of `data` with its answer as further column `predicted`; returns the number of rows."""
    target = output.checked(out, data, _FORMATS)
    model = TextGenerator.load(folder)
    with TemporaryDirectory(prefix="tunesmith-") as place:
        prompts, rows = _asked_of(open_parts(data, Path(place), ignore), model)
    answers = model.generate(prompts, sampling)
    for row, answer in zip(rows, answers, strict=True):
        row["predicted"] = answer.text.strip()
    with output.written(target) as aside, open(aside, "w", encoding="utf-8", newline="") as file:
        if target.suffix == ".jsonl":
            file.writelines(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)
        else:
            columns = list(dict.fromkeys(name for row in rows for name in row))
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(
                {k: json.dumps(v, ensure_ascii=False) if isinstance(v, list | dict) else v for k, v in row.items()}
                for row in rows
            )
    return len(rows)
