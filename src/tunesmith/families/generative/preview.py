"""Rows as a model would learn them, token by token; only its tokenizer is loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rich.markup import escape

from tunesmith.core import registry
from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import Emit, Warned, ignore
from tunesmith.core.files import unnamed_file
from tunesmith.core.options import resolve
from tunesmith.core.run import is_run
from tunesmith.core.spec import Words
from tunesmith.data.conversations import read_examples
from tunesmith.data.types import ReadOptions
from tunesmith.engine.options import LONGEST_EXAMPLE
from tunesmith.evaluate.preview import Style, render_preview, token_table
from tunesmith.families.generative.corpus import asked_form
from tunesmith.families.generative.items import cut_of, tell_unseen
from tunesmith.models import catalog
from tunesmith.models.guard import loading
from tunesmith.models.loaders.language import load_language_tokenizer, position_limit
from tunesmith.models.manifest import METADATA, read_metadata
from tunesmith.models.mask import Cut, Encoded
from tunesmith.models.own_template import use_template
from tunesmith.models.pretrained import quiet_transformers
from tunesmith.models.safety import check_config_alone, code_note
from tunesmith.models.types import Tokenizer
from tunesmith.runs import choose
from tunesmith.runs.reading import read_options


@dataclass(frozen=True)
class Previewed:
    """A sequence of row `row` (from 1), before it is cut, and how it will be; `of` sequences has the row."""

    row: int
    number: int
    of: int
    encoded: Encoded
    cut: Cut | None
    tokenizer: Tokenizer


class Preview:
    """Previewed rows that show themselves, coloured in a notebook."""

    def __init__(self, rows: list[Previewed]):
        self.rows = rows

    def tokens(self) -> list[list[Words]]:
        """For each sequence its tokens: {"text", "learned", "cut"}."""
        return [token_table(one.encoded, one.tokenizer, cut=one.cut) for one in self.rows]

    def __repr__(self) -> str:
        return rendered(self.rows, "plain")

    def _repr_html_(self) -> str:
        return rendered(self.rows, "html")


def previewed(
    data: object, *, model: str, row: int | None = None, task: str = "auto", template: str | None = None,
    max_length: int | None = None, emit: Emit = ignore, **options: object,
) -> Iterator[Previewed]:  # fmt: skip
    """The sequences of one row, or of all (None), of data that `read_examples` takes, cut as a run would.

    `options` are the task's, such as overflow. Raises DataError for a row that does not exist, can not be encoded
    or is too long for overflow='error', ModelError, OptionError.
    """
    reading = read_options({name: options.pop(name) for name in ReadOptions.model_fields if name in options})
    examples = read_examples(data, emit=emit, form=asked_form(task), reading=reading)
    some = [number for number in range(len(examples)) if row is None or examples[number]["row"] == row]
    if not some:
        count = examples.ledger.rows_in
        left_out = row is not None and 1 <= row <= count
        reason = examples.ledger.reasons[examples.ledger.reason[row - 1]] if left_out and row else ""
        why = f"row {row} is left out: {reason or 'it has no text'}" if left_out else f"there is no row {row}"
        raise DataError(Problem(f"{why}; the data has {count} rows, counted from 1", examples.files[0]))
    plugin = registry.get("tasks", choose.task_of(task, examples.form, examples.format, examples.files[0]))
    made = plugin(resolve(options, {"task": plugin.Options})["task"])
    folder = _folder(model)
    if note := code_note(folder):
        emit(Warned("code", note))
    tokenizer = load_language_tokenizer(folder, model)
    use_template(tokenizer, template, emit)
    codec, limit = made.codec(tokenizer), max_length or _limit(folder)
    refused: list[DataError] = []
    for number in some:
        example = examples[number]
        try:
            sequences = made.encode(example, example, codec, limit)
            if examples.form == "feedback":  # the second one has the answer of another row, and is not learned
                sequences = sequences[:1]
            cuts = [cut_of(whole, source, limit, made.options.overflow) for whole, source in sequences]
        except DataError as error:
            found = [examples.problem(example["row"], problem.message) for problem in error.problems]
            refused.append(DataError(found, error.fix))
            continue
        for at, ((whole, _), done) in enumerate(zip(sequences, cuts, strict=True), 1):
            yield Previewed(int(example["row"]), at, len(sequences), whole, done, tokenizer)
    tell_unseen(codec, emit)
    if refused:
        raise DataError([problem for error in refused for problem in error.problems], refused[0].fix)


def rendered(rows: Iterable[Previewed], style: Style) -> str:
    """Each sequence with a title above it."""
    parts = []
    for one in rows:
        title = f"row {one.row}, sequence {one.number} of {one.of}" if one.of > 1 else f"row {one.row}"
        if one.cut is not None:
            title += f" ({one.cut.reason}{'' if one.cut.kept.any() else ', so it is left out'})"
        shown = render_preview(one.encoded, one.tokenizer, cut=one.cut, style=style)
        if style == "html":
            parts.append(f"<h2>{title}</h2>{shown}")
        else:
            parts.append(f"{escape(title) if style == 'ansi' else title}\n{shown}")
    return ("" if style == "html" else "\n").join(parts)


def write_json(rows: Iterable[Previewed], out: TextIO) -> None:
    """One object {"rows": [{"row", "tokens": [{"text", "learned", "cut"}]}]}, or nothing where a row is refused.

    Rows of several sequences stand there as often, with "sequence" counting them from 1.
    """
    with unnamed_file(text=True) as aside:
        aside.write('{"rows": [')
        for at, one in enumerate(rows):
            tokens = token_table(one.encoded, one.tokenizer, cut=one.cut)
            numbered = {"sequence": one.number} if one.of > 1 else {}
            line = json.dumps({"row": one.row, **numbered, "tokens": tokens}, ensure_ascii=False)
            aside.write(f"{',' if at else ''}\n{line}")
        aside.write("\n]}\n")
        aside.seek(0)
        shutil.copyfileobj(aside, out)


def _limit(folder: Path) -> int:
    """How many tokens a run would read: as many as the run that is in `folder`, or as a base can, up to a bound."""
    if (folder / METADATA).exists():
        return int(read_metadata(folder)["max_length"])
    if not (folder / "config.json").exists():
        return LONGEST_EXAMPLE
    from transformers import AutoConfig

    check_config_alone(folder, str(folder))
    with quiet_transformers(), loading(folder, "config"):
        return min(position_limit(AutoConfig.from_pretrained(folder, trust_remote_code=False)), LONGEST_EXAMPLE)


def _folder(model: str) -> Path:
    """Where the tokenizer of a base model, or of an earlier run, lies."""
    run = Path(model).expanduser()
    if is_run(run) and (run / "model").is_dir():
        return run / "model"
    source = catalog.fetch(model)
    assert source.folder is not None
    return source.folder
