"""What events say on a screen: in plain words, or with --verbose every choice with its reason and its numbers."""

from __future__ import annotations

from collections.abc import Mapping

from tunesmith.core.events import Decided, Evaluated, Event, Paused, Phase, RolledBack, Step, Warned
from tunesmith.core.text import shortened, visible
from tunesmith.evaluate import words

_PHASES = {
    "read": "Reading {}",
    "load": "Loading the base model {}",
    "features": "Letting the base model read the data: {}",
    "probe": "Training a simple model to compare with",
    "base": "Asking the base model as it is, to compare with",
    "train": "Training (method {})",
    "evaluate": "Testing on {}",
    "save": "Saving the model in {}",
    "compare": "Comparing, {}",
    "search": "Searching, {}",
    "report": "Writing the report {}",
}
"""Title by phase; phases that are not here are for --verbose."""

_LABELS = {
    "text": "text to read",
    "target": "answer to learn",
    "target kind": "kind of answer",
    "split": "rows",
    "skipped columns": "left out",
    "left out columns": "columns not read",
    "cut": "cut rows",
    "class_weights": "rare labels",
    "kept_step": "kept",
    "kept_weights": "kept",
    "moved rows": "moved rows",
}
"""What a choice is called in plain words, where its own name is no such word."""

DEPTH = frozenset({
    "task", "delimiter", "pooling", "max_length", "precision", "batch_size", "frozen_cache", "penalty", "base",
    "scale_of_logits", "validation_rows", "batch_parts", "attention", "chunked_logits", "packing", "pad_token",
    "tokenizer", "virtual_tokens", "interpolate_alpha", "learn_names", "baseline_features", "baseline_rows", "stage",
    "learning_rate", "base_saved_beside", "sampled_texts", "retained", "predicted", "languages", "new_tokens",
    "states_kept",
})  # fmt: skip
"""Choices that say something only to who knows how training works."""

_REASON = 240
"""Letters of a reason that are read; --verbose has the rest."""

_KINDS = {"label": "one label for each row", "labels": "several labels for each row", "number": "a number for each row"}
_PARTS = (("train", "to learn from"), ("validation", "to choose by"), ("test", "to test on"))


class Narrator:
    """A sentence for each event that is worth one, remembering what went before."""

    def __init__(self, verbose: bool = False):
        self.verbose = verbose
        self._phase = ""
        self._keeps_last = False

    def sentence(self, event: Event) -> str | None:
        """One line, without what could steer a terminal; None for an event that is not told."""
        if isinstance(event, Phase):
            self._phase = event.phase
        if isinstance(event, Decided) and event.what == "kept_weights":
            self._keeps_last = True
        told = self._verbose(event) if self.verbose else self._plain(event)
        if told is None:
            return None
        return visible(told)

    def step(self, event: Step, seconds_left: float | None) -> str:
        if self.verbose:
            return f"step {event.step}/{event.steps}  {rate(event)}"
        left = f", about {words.about(seconds_left)} left" if seconds_left and event.step < event.steps else ""
        return f"step {event.step} of {event.steps}{left}"

    def _plain(self, event: Event) -> str | None:
        if isinstance(event, Phase):
            title = _PHASES.get(event.phase)
            return None if title is None or event.seconds is not None else title.format(event.detail)
        if isinstance(event, Decided):
            if event.what in DEPTH or (event.what == "model" and self._phase == "load"):
                return None
            if event.what == "class_weights" and event.value == "off":
                return None
            return "  " + decided(event.what, event.value, event.why)
        if isinstance(event, Evaluated):
            name = next((name for name in event.metrics if name != "loss"), "loss")
            value = f"{words.metric(name)} {words.number(event.metrics[name])} on the {event.split} rows"
            when = f"after step {event.step}" if event.step else "before training"
            return f"  {when}: {value}{self._best(event)}"
        if isinstance(event, RolledBack):
            return f"  warning: at step {event.step} {event.why}; going on from step {event.to_step} in smaller steps"
        return _either(event)

    def _best(self, event: Evaluated) -> str:
        """Whether these weights would be kept if it ended here: not where the last ones are, whatever is better."""
        return " (the best so far)" if event.best and event.step and not self._keeps_last else ""

    def _verbose(self, event: Event) -> str | None:
        if isinstance(event, Phase):
            return None if event.seconds is not None else f"[{event.phase}] {event.detail}".rstrip()
        if isinstance(event, Decided):
            return f"  {event.what} = {shortened(str(event.value), 80)} ({event.why})"
        if isinstance(event, Evaluated):
            numbers = ", ".join(f"{name} {value:.4f}" for name, value in event.metrics.items())
            return f"  step {event.step}, {event.split}: {numbers}{self._best(event)}"
        if isinstance(event, RolledBack):
            return (
                f"  step {event.step}: {event.why}; back to step {event.to_step}, "
                f"learning rate x {event.learning_rate_factor:g}"
            )
        return _either(event)


def _either(event: Event) -> str | None:
    if isinstance(event, Warned):
        return f"  warning, {event.what}: {event.message}"
    if isinstance(event, Paused):
        return f"  paused at step {event.step}: {event.reason}"
    return None


def decided(what: str, value: object, why: str) -> str:
    """A choice in plain words: 'answer to learn: intent (10 different values, ...)'."""
    label = _LABELS.get(what, what.replace("_", " "))
    if len(why) > _REASON:
        why = f"{why[:_REASON].rpartition(' ')[0]} ...; --verbose has all of it"
    if what == "kept_step":
        return f"{label}: the weights {f'of step {value}' if value else 'from before training'} ({why})"
    if what == "cut":
        return f"{label}: {value:,} ({why})"
    return f"{label}: {_value(what, value)} ({why})"


def _value(what: str, value: object) -> str:
    if what == "split" and isinstance(value, Mapping):
        return ", ".join(f"{value[name]:,} {use}" for name, use in _PARTS if value.get(name))
    if what == "target kind":
        return _KINDS.get(str(value), str(value))
    if what == "class_weights":
        return "count more, so that they are learned too"
    if isinstance(value, list | tuple):
        return shortened(", ".join(map(str, value)), 80)
    return shortened(str(value), 80)


def rate(event: Step) -> str:
    speed = event.rows / max(event.seconds, 1e-9)
    return f"loss {event.loss:.4f}  {speed:.0f} rows/s"
