"""Examples as token sequences on disk: what is learned of each, what was cut, and what can not be learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tunesmith.core.errors import DataError, Problem
from tunesmith.core.events import Emit, Warned
from tunesmith.data.conversations import Examples
from tunesmith.engine.protocols import GenerativeTask
from tunesmith.engine.sequences import SequenceRows, SequenceWriter
from tunesmith.families.generative.corpus import Corpus
from tunesmith.models.bundle import LanguageBundle
from tunesmith.models.codec import Codec
from tunesmith.models.mask import Cut, Encoded, Overflow, check_learned, cut

_CHECKED = 20_000
"""Training sequences that are looked at for what is never learned."""


@dataclass
class Items:
    """What is trained and measured on: `rows` holds `task.sequences_per_item` sequences an item."""

    rows: SequenceRows
    splits: dict[str, np.ndarray]
    """Items of 'train', 'validation' and 'test', int64."""
    example: np.ndarray
    """The example of each item, int64."""
    good: np.ndarray | None = None
    """For judged single answers: the judgement of each item, bool."""
    preview: list[Encoded] = field(default_factory=list)
    """The first training sequences, to be shown."""
    uncut: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """Tokens of each example's sequences before anything was cut, those that are left out with them, int64."""


def encode_items(
    corpus: Corpus, task: GenerativeTask, codec: Codec, bundle: LanguageBundle, *,
    limit: int, folder: Path, emit: Emit, check: Callable[[], None],
) -> Items:  # fmt: skip
    """Tokens of every example, the ledger of what was cut, and a stop where nothing can be learned.

    Raises DataError with every row that can not be encoded, or where no answer or no end is learned.
    """
    data, writer = corpus.examples, SequenceWriter(folder)
    owner: list[int] = []
    preview: list[Encoded] = []
    cuts: dict[str, list[int]] = {}
    many, overflow = task.sequences_per_item, task.options.overflow
    before = _partners(corpus.splits, len(data))
    problems: list[Problem] = []
    fix: str | None = None
    in_training = np.zeros(len(data), dtype=bool)
    in_training[corpus.splits["train"]] = True
    learned: list[Encoded] = []
    uncut: list[int] = []
    for number, example in enumerate(data):
        if number % 256 == 0:
            check()
        row_id = example["row"] - 1
        try:
            whole = task.encode(example, data[before[number]], codec, limit)
            for one, _ in whole:
                _require_embeddings(one, bundle)
            fitted = [fit(one, source, limit, overflow, row_id, cuts) for one, source in whole]
        except DataError as error:
            problems += [data.problem(example["row"], problem.message) for problem in error.problems]
            fix = fix or error.fix
            continue
        uncut += [len(one) for one, _ in whole]
        kept = [one for one in fitted if one is not None]
        if (len(kept) < len(whole) and many > 1) or not any(one.learned[1:].any() for one, _ in kept):
            if not any(row_id == rows[-1] for rows in cuts.values()):
                cuts.setdefault("drop: nothing in it is learned", []).append(row_id)
            continue
        for one, source in kept:
            writer.add(one, row_id, source)
            if in_training[number] and len(learned) < _CHECKED:
                learned.append(one)
        owner += [number] * (len(kept) // many)
        if in_training[number] and len(preview) < 5:
            preview.append(kept[0][0])
    if problems:
        raise DataError(problems, fix or "Correct these rows; `tunesmith preview` shows what is learned of the others.")
    _tell_cut(data, cuts, emit)
    tell_unseen(codec, emit)
    chat = data.form == "chat"
    # that the end is learned of text and targets is sure: the codec adds it
    refusals = check_learned(learned, bundle.tokenizer, codec.stop_ids, chat=chat)
    if task.sequences_per_item == 1 and data.form == "text":
        refusals = [refusal for refusal in refusals if not refusal.startswith("The end of an answer")]
    if refusals:
        raise DataError([Problem(refusal, data.files[0]) for refusal in refusals])
    rows = writer.close(
        bundle.tokenizer.pad_token_id, pairs=bundle.kind == "seq2seq", start_token_id=start_token(bundle)
    )
    example_of = np.asarray(owner, dtype=np.int64)
    found = {name: np.flatnonzero(np.isin(example_of, where)) for name, where in corpus.splits.items()}
    empty = [name for name, where in found.items() if not len(where)]
    if empty:
        raise DataError(Problem(f"no example is left for {empty[0]}", data.files[0]), "Add rows, or raise max_length.")
    good = None
    if data.form == "feedback":
        good = np.array([bool(data[int(number)]["label"]) for number in example_of])
    return Items(rows, found, example_of, good, preview, np.asarray(uncut, dtype=np.int64))


def _require_embeddings(encoded: Encoded, bundle: LanguageBundle) -> None:
    """Refuse text with a token for which the model has no embedding, such as the place of an image."""
    highest = int(encoded.ids.max(initial=0))
    if highest >= bundle.model.network.get_input_embeddings().weight.shape[0]:
        token = bundle.tokenizer.convert_ids_to_tokens(highest)
        raise DataError(Problem(f"the text holds {token!r}, a token that the model can not read"), "Leave it out.")


def fit(
    encoded: Encoded, source: int, limit: int, overflow: Overflow, row_id: int, cuts: dict[str, list[int]]
) -> tuple[Encoded, int] | None:
    """Within the limit, or None where it is left out; what happened is noted in `cuts`."""
    done = cut_of(encoded, source, limit, overflow)
    if source:
        if done is None:
            return encoded, source
        if overflow == "truncate":
            cuts.setdefault(f"longer than {limit} tokens: the end was cut", []).append(row_id)
            size, total = min(source, limit), int(done.kept.sum())
            return Encoded(encoded.ids[done.kept], encoded.learned[done.kept], ((size, total),)), size
        encoded = Encoded(encoded.ids, encoded.learned, ())
    if not encoded.spans and len(encoded) <= limit:
        return encoded, source
    shorter, done = cut(encoded, limit, overflow)
    if done is not None:
        reason = done.reason if shorter is not None else f"drop: {done.reason} of {limit} tokens"
        cuts.setdefault(reason, []).append(row_id)
    return None if shorter is None else (shorter, source)


def cut_of(encoded: Encoded, source: int, limit: int, overflow: Overflow) -> Cut | None:
    """What `fit` cuts away, if anything. Raises DataError where nothing may be."""
    if not source:
        return cut(encoded, limit, overflow)[1]
    target = len(encoded) - source  # an encoder's text and the target have the limit each, and keep their beginning
    if max(source, target) <= limit:
        return None
    if overflow != "truncate":
        return cut(Encoded(encoded.ids, encoded.learned, ()), limit, overflow)[1]
    kept = np.zeros(len(encoded), dtype=bool)
    kept[: min(source, limit)] = kept[source : source + limit] = True
    return Cut(kept, "longer than the limit: the end was cut")


def _partners(splits: Mapping[str, np.ndarray], count: int) -> np.ndarray:
    """For each example another one of its own split."""
    found = np.arange(count)
    for where in splits.values():
        found[where] = np.roll(where, 1)
    return found


def _tell_cut(data: Examples, cuts: dict[str, list[int]], emit: Emit) -> None:
    for reason, rows in cuts.items():
        ids, dropped = np.unique(rows), reason.startswith("drop: ")
        words = reason.removeprefix("drop: ")
        (data.ledger.drop if dropped else data.ledger.cut)(ids, words)
        emit(Warned("dropped rows" if dropped else "cut rows", f"{len(ids):,} of {len(data):,} examples: {words}"))


def tell_unseen(codec: Codec, emit: Emit) -> None:
    """What the chat template left out of the examples that were encoded so far."""
    for what, count in codec.unseen.items():
        emit(Warned("not shown", f"{count:,} examples: the model's chat template leaves out {what}"))


def start_token(bundle: LanguageBundle) -> int:
    """What a decoder reads first."""
    config = bundle.model.config
    found = getattr(config, "decoder_start_token_id", None)
    return int(found if found is not None else bundle.tokenizer.pad_token_id)
