"""What a run that writes text must not forget: earlier runs, files of text or conversations, general sentences."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tunesmith.core import registry
from tunesmith.core.errors import OptionError
from tunesmith.core.events import Decided, ignore
from tunesmith.core.options import pick
from tunesmith.core.spec import RunSpec, Words
from tunesmith.engine import batching
from tunesmith.engine.generate import Sampling, ending_ids
from tunesmith.engine.likelihood import TokenObjective, likelihoods
from tunesmith.engine.retained import ForgettingMonitor, Retained
from tunesmith.engine.sequences import SequenceRows, SequenceWriter
from tunesmith.engine.setup import overrides
from tunesmith.evaluate import forgetting
from tunesmith.families.generative.context import GenerativeRun
from tunesmith.families.generative.items import Items, encode_items
from tunesmith.families.generative.retained import Read, task_for
from tunesmith.forgetting import chain
from tunesmith.forgetting.monitor import is_regularised, watch
from tunesmith.models.codec import CausalCodec
from tunesmith.models.loaders.language import load_language_finished
from tunesmith.models.mask import Encoded

_PROBE_ITEMS = 500
"""Most texts of something retained that are measured."""
_BATCH_ROWS = 8
_SAMPLED_TOKENS = 128
"""Longest text that is sampled."""
_Losses = tuple[np.ndarray, np.ndarray]
"""Of each text the summed loss of its tokens, and their number."""


def snapshot(run: GenerativeRun) -> ForgettingMonitor | None:
    """Look at everything that must not be forgotten, before anything is trained. None where nothing can be.

    An encoder-decoder has no loss on plain sentences, so nothing is known of it unless something is retained.
    """
    spec = run.plan.spec
    continued = [one.path.resolve() for one in chain.earlier(spec)]
    tasks = [_task(run, one, one.path in continued, number) for number, one in enumerate(run.retained)]
    general = [_general(run)] if run.bundle.kind == "causal" else []
    if not tasks and not general:
        _refuse(spec)
        return None
    asked = int(spec.options.get("sampled_texts") or 0) if is_regularised(spec) else 0
    return watch(run, tasks, general, [_sampled(run, asked)] if asked else [])


def _refuse(spec: RunSpec) -> None:
    idle = [name for name in spec.callbacks if overrides(registry.get("callbacks", name), "on_setup")]
    asked = [f"--callback {name}" for name in idle] + ["--forget-at-most"] * (spec.forget_at_most is not None)
    if asked:
        raise OptionError(
            f"{asked[0]}: an encoder-decoder has no loss on plain sentences that could be held.",
            "Give what it must not forget with --retain: a file of pairs, or an earlier run.",
        )


class LossProbe:
    """The loss of a token of texts, by sequence."""

    apart = False

    def __init__(
        self, run: GenerativeRun, name: str, rows: SequenceRows, splits: dict[str, np.ndarray], *, is_task: bool
    ):
        self.run, self.name, self.rows, self.splits, self.is_task = run, name, rows, splits, is_task
        self.seed = run.plan.spec.seed

    def some(self, choosing: bool) -> np.ndarray:
        """Positions of the texts that are looked at."""
        return batching.sample(self.splits["validation" if choosing else "test"], _PROBE_ITEMS, self.seed)

    def look(self, choosing: bool) -> _Losses:
        found = self.run.measure(self.rows, self.some(choosing))
        return found.loss, found.tokens

    def compare(self, before: _Losses, after: _Losses) -> Words:
        probe = f"mean loss of a token on {len(before[0])} texts of {self.name}"
        return forgetting.lost_loss(before, after, name=self.name, probe=probe, seed=self.seed)

    def retained(self) -> Retained:
        # beside preferences, which count by item, a text counts as one item too
        by_item = self.run.plan.task.sequences_per_item > 1
        objective = TokenObjective(self.rows, self.splits["train"], _BATCH_ROWS, None, self.seed, by_item=by_item)
        return Retained(self.name, objective, lambda model, items, on, _: objective.loss(model, items, on))


class _ApartProbe(LossProbe):
    """The earlier run's own model: its adapter beside a base that this run leaves as it is."""

    apart = True

    def __init__(self, run: GenerativeRun, name: str, items: Items, model: Path):
        super().__init__(run, name, items.rows, items.splits, is_task=True)
        self.model = model

    def look(self, choosing: bool) -> _Losses:
        own = load_language_finished(self.model).model.to(self.run.device)
        found = likelihoods(
            own, self.rows, self.some(choosing), on=self.run.device, tokens_at_once=batching.TOKENS_AT_ONCE,
            check=self.run.stop.check,
        )  # fmt: skip
        return found.loss, found.tokens

    def compare(self, before: _Losses, after: _Losses) -> Words:
        found = super().compare(before, after)
        return {**found, "probe": f"{found['probe']}, by its own adapter"}


def _general(run: GenerativeRun) -> LossProbe:
    """The bundled sentences: every second one is for holding and choosing, the others are measured."""
    writer, codec = SequenceWriter(run.folder.cache / "general"), CausalCodec(run.bundle.tokenizer)
    for number, text in enumerate(forgetting.general_texts()):
        for whole in codec.sequences({"form": "text", "text": text}):
            writer.add(Encoded(whole.ids[: run.limit], whole.learned[: run.limit], ()), number)
    rows = writer.close(run.bundle.tokenizer.pad_token_id)
    held, measured = np.arange(0, len(rows), 2), np.arange(1, len(rows), 2)
    splits = {"train": held, "validation": held, "test": measured}
    return LossProbe(run, "general text", rows, splits, is_task=False)


def _sampled(run: GenerativeRun, count: int) -> LossProbe:
    """Texts that the model, as it is before training, writes when it is given nothing but the start of a text."""
    tokenizer = run.bundle.tokenizer
    start = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    lacks = "has no token that begins a text, and none that ends one." if start is None else ""
    if run.bundle.kind != "causal":
        lacks = "writes only what it is given a source for."
    if lacks:
        raise OptionError(
            f"sampled_texts: {run.bundle.name} {lacks}",
            "Leave sampled_texts out, and give what it must not forget with --retain.",
        )
    sampling = Sampling(
        max_new_tokens=max(1, min(_SAMPLED_TOKENS, run.limit - 1)), temperature=1.0, seed=run.plan.spec.seed
    )
    written = run.generate([[start]] * count, sampling, ending_ids(run.bundle.model.network, tokenizer))
    writer = SequenceWriter(run.folder.cache / "sampled")
    for number, text in enumerate(written):
        end = [tokenizer.eos_token_id] if text.stopped and tokenizer.eos_token_id is not None else []
        ids = np.array([start, *text.ids, *end], dtype=np.int32)
        if len(ids) > 1:
            writer.add(Encoded(ids, np.arange(len(ids)) > 0, ()), number)
    rows = writer.close(tokenizer.pad_token_id)
    run.emit(Decided("sampled_texts", len(rows), f"written by {run.bundle.name} itself, at temperature 1"))
    return LossProbe(run, "its own texts", rows, {"train": np.arange(len(rows))}, is_task=False)


def _task(run: GenerativeRun, read: Read, continued: bool, number: int) -> LossProbe:
    """A file, divided as a run of its own would; a run's data, divided as they were there."""
    path, spec, corpus = read.path, read.spec, read.corpus
    plugin = task_for(corpus.examples.form, run.bundle.kind)
    assert plugin is not None  # else it was refused when it was read
    task = plugin(pick(plugin.Options, {**run.plan.spec.options, **spec.options}))
    items = encode_items(
        corpus, task, task.codec(run.bundle.tokenizer), run.bundle,
        limit=run.limit, folder=run.folder.cache / f"retained-{number}", emit=ignore, check=run.stop.check,
    )  # fmt: skip
    if continued and chain.stands_apart(path):
        return _ApartProbe(run, path.name, items, path / "model")
    return LossProbe(run, path.name if read.is_run else path.stem, items.rows, items.splits, is_task=True)
